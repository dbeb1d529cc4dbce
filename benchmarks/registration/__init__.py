"""Nearest neighbors and ICP beside other libraries."""
