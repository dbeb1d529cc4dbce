"""Crops, poses, parameter vectors and projection."""
