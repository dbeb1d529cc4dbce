"""From a photo to a 3D face."""
