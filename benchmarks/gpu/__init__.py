"""Every operator on a GPU."""
