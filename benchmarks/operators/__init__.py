"""Every operator beside eager and compiled PyTorch."""
