// closest_point_on_mesh: the closest point of a mesh's triangles, exactly.
//
// For a point p and a triangle, common/closest.h gives d = p - q in double precision. Its coordinates are rounded to the
// inputs' type and clamped to those of p and the triangle's box; the squared distance is ((dx dx + dy dy) + dz dz), and
// the answer is the least (distance, index), as in neighbors.h: rounding and clamping are monotonic, so pruning by boxes
// loses no winner and needs no margin. All of this is for coordinates multiplied by a power of two, see MeshRange.
//
// The tree is that of neighbors.h over the centers of the triangles' boxes, with the boxes of the triangles themselves.
#pragma once

#include "../../common/mesh_params.h"
#include "neighbors.h"

namespace twodasl::cpu {

// ---- the tree -------------------------------------------------------------------------------------------------

// What is known of some triangles of an element.
template <class T>
struct TriangleSpan {
  T box[6];    // of their centers: least x, y, z, greatest x, y, z
  T greatest;  // of the magnitudes of their coordinates
  bool finite;
};

// The centers of the triangles [begin, end), whose indices are valid.
template <class T>
TriangleSpan<T> triangle_centers(const T* vertices, const int64_t* triangles, T* centers, int64_t begin, int64_t end);

// Leaves [begin, end) of a tree over `count` sorted triangles, and their nodes on level 1; see fill_leaves().
template <class T>
void fill_triangle_leaves(const T* vertices, const int64_t* triangles, double scale, const uint64_t* keys,
                          int64_t count, T* leaves, int32_t* ids, T* boxes, int32_t* lowest, int64_t begin, int64_t end);

// ---- gradients ------------------------------------------------------------------------------------------------

// Points [begin, end) of an element.
template <class T>
void closest_backward_points(const ClosestPointBackwardParams<T>& params, int64_t element, int64_t begin, int64_t end);

// Vertices [begin, end) of an element: every vertex adds its points in their order, so the split changes no bit.
template <class T>
void closest_backward_vertices(const ClosestPointBackwardParams<T>& params, int64_t element, int64_t begin,
                               int64_t end);

}  // namespace twodasl::cpu
