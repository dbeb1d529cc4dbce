// The parameters of closest_point_on_mesh; see params.h for the rules.
#pragma once

#include "params.h"

namespace twodasl {

inline constexpr int64_t kTriangleRow = 9 * kBlock;  // a leaf of 16 triangles: x, y, z of each of three corners

// distance[b, m], triangle[b, m] = least (squared distance, index) over the triangles, and where in it; see
// cpu/neighbors/closest.h.
template <class T>
struct ClosestPointParams {
  const T* points;           // (B, M, 3)
  const T* vertices;         // (B, N, 3)
  const int64_t* triangles;  // (F, 3)
  NeighborTree<T> tree;      // of element 0, the others follow: that of neighbors.h, with leaves (leaves, 9, 16)
  const double* scale;       // (B): the power of two by which the tree's coordinates were multiplied
  const int32_t* order;      // (B, M): the order in which to process the points, or null: as given
  T* distance;               // (B, M)
  int64_t* triangle;         // (B, M)
  T* barycentrics;           // (B, M, 3)
  int64_t batch;
  int64_t points_count;     // M
  int64_t vertices_count;   // N
  int64_t triangles_count;  // F
};

// grad_points = 2 g (p - q), grad_vertices = the sum of -2 g b (p - q) over the points of a corner
template <class T>
struct ClosestPointBackwardParams {
  const T* grad;             // (B, M)
  const T* points;           // (B, M, 3)
  const T* vertices;         // (B, N, 3)
  const int64_t* triangles;  // (F, 3)
  const int64_t* triangle;   // (B, M), -1 where there is none
  const T* barycentrics;     // (B, M, 3)
  T* grad_points;            // (B, M, 3) or null
  T* grad_vertices;          // (B, N, 3) or null
  double* sums;              // (B, N, 3) scratch of a CPU, or null with grad_vertices
  int64_t batch;
  int64_t points_count;
  int64_t vertices_count;
  int64_t triangles_count;
};

}  // namespace twodasl
