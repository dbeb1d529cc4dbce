"""Photos to train on, by kind."""
