"""Sculpted features: each module changes the head's distance field in its own region of the face."""
