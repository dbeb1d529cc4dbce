"""Untrusted bytes in, whole files out."""
