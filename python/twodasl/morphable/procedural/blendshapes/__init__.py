"""ARKit's 52 blend shapes on the embedded head, written in the terms of its anatomy."""
