"""Reading meshes that strangers wrote: OBJ, PLY, NPY and MAT. `twodasl.meshes.write` writes OBJ and PLY."""

from .mesh import Mesh
from .read import SUFFIXES, read_mesh, read_triangles

__all__ = ["SUFFIXES", "Mesh", "read_mesh", "read_triangles"]
