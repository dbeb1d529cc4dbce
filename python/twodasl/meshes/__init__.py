"""Reading untrusted mesh files: OBJ, PLY, NPY, and MAT. `twodasl.meshes.write` writes OBJ and PLY.

The readers are our own: on damaged files trimesh raises exceptions of many kinds, and returns wrong meshes
silently (counts in docs/data-formats.md).
"""

from .mesh import Mesh
from .read import SUFFIXES, read_mesh, read_triangles

__all__ = ["SUFFIXES", "Mesh", "read_mesh", "read_triangles"]
