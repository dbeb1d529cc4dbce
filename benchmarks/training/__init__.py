"""A training step, and the data that it reads."""
