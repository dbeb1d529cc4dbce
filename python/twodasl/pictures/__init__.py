"""Drawing: rendered meshes, charts and contact sheets."""
