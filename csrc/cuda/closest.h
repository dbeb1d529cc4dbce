// closest_point_on_mesh on a GPU: the tree over the triangles, the closest point of every point, and their gradients. The
// answer is the CPU's, bit for bit: see cpu/neighbors/closest.h.
//
// Wrong values are not errors here, as in neighbors.h: a point that is not finite, and every point of an element where a
// triangle has a corner that is not finite or no vertex of the mesh, gets the distance NaN, the triangle -1 and the
// barycentric coordinates NaN. Nothing that comes from a tensor is used as an address before it is checked.
//
// No function waits for the device or allocates: `scratch` has at least the bytes that the function before it asks for,
// aligned to 256. Everything can be captured in a CUDA graph.
#pragma once

#include <cstddef>

#include "../common/mesh_params.h"

namespace twodasl::cuda {

// Where the tree over the triangles is written.
template <class T>
struct MeshTreeParams {
  const T* vertices;         // (B, N, 3)
  const int64_t* triangles;  // (F, 3)
  T* leaves;                 // (B, leaves, 9, 16)
  int32_t* ids;              // (B, leaves, 16)
  T* boxes;                  // (B, nodes, 6, 16)
  int32_t* lowest;           // (B, nodes, 16)
  double* scale;             // (B)
  int64_t batch;
  int64_t vertices_count;
  int64_t triangles_count;
};

template <class T>
size_t mesh_tree_scratch(int64_t batch, int64_t triangles_count);
template <class T>
const char* launch_mesh_tree(const MeshTreeParams<T>& params, void* scratch, void* stream);

template <class T>
const char* launch_closest(const ClosestPointParams<T>& params, void* stream);

// A triangle outside of [-1, F), or one whose corners are no vertices, gives its point a gradient of NaN and no vertex
// one; `sums` is not used.
template <class T>
size_t closest_backward_scratch(int64_t batch, int64_t points, int64_t vertices_count, bool need_vertices);
template <class T>
const char* launch_closest_backward(const ClosestPointBackwardParams<T>& params, void* scratch, void* stream);

}  // namespace twodasl::cuda
