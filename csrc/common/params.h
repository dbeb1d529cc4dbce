// The parameters of the kernels: plain structs of pointers and sizes, without torch and Python.
// The caller checks every size; a kernel checks nothing and never throws. The pointer of an empty array may be null: a
// kernel then adds only zero to it.
#pragma once

#include <cstdint>

#include "host_device.h"

namespace twodasl {

// Vertices are stored in blocks of 16: one AVX-512 register, two AVX registers, four SSE or NEON registers.
inline constexpr int64_t kBlock = 16;
inline constexpr int64_t kBlockRow = 3 * kBlock;  // one block of one mode: 16 x, then 16 y, then 16 z

// Storage-only number formats of the packed modes; arithmetic is always float or double.
struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

TWODASL_HOST_DEVICE inline int64_t block_count(int64_t vertices) { return (vertices + kBlock - 1) / kBlock; }

// Numbers that fill whole blocks.
TWODASL_HOST_DEVICE inline int64_t padded(int64_t count) { return block_count(count) * kBlock; }

// The packed basis, in the order in which the kernels read it. Lanes past the last vertex hold zeros.
template <class T, class S>
struct BasisView {
  const T* mean;     // (blocks, 3, 16)
  const S* modes;    // (blocks, K, 3, 16)
  int64_t vertices;  // N
  int64_t modes_count;  // K
};

// V[b, n] = M[b] (mean[n] + sum_k c[b, k] modes[k, n]) + t[b]
template <class T, class S>
struct VerticesParams {
  BasisView<T, S> basis;
  const T* coefficients;  // (B, K)
  const T* pose;          // (B, 3, 4): M | t
  T* output;              // (B, N, 3)
  int64_t batch;
};

// A gradient with respect to the vertices as autograd provides it, with any strides, including zero.
template <class T>
struct GradView {
  const T* data;        // (B, N, 3)
  int64_t stride[3];    // in elements
};

// Gradients of coefficients and pose. The sum over the vertices is split into a number of parts that depends
// on the basis alone; part p writes its sums to partial[p], and reduce_parts() adds the parts in order. So a
// result has the same bits whatever the number of threads.
//
// The gradient of M needs the shape before the pose. Computing it again costs as much as the forward pass;
// it can also be recovered from the forward's result, (V - t) = M shape, where M is far from singular. Faces
// for which that holds come first: rows [0, recovered) sum g (V - t)^T, the rest g shape^T. See cpu/kernels/recover.h.
template <class T, class S>
struct VerticesBackwardParams {
  BasisView<T, S> basis;
  const T* coefficients;  // (B, K), in the order of `faces`
  const T* pose;          // (B, 3, 4), in the order of `faces`
  const int64_t* faces;   // (B): row -> face of `grad`, `vertices` and the results
  GradView<T> grad;
  const T* vertices;      // (B, N, 3) contiguous, the forward's result; null when recovered is 0
  T* partial;             // (parts, B, 12 + K), rows in the order of `faces`: pose, then coefficients
  int64_t batch;
  int64_t recovered;      // rows whose shape comes from `vertices`
  bool need_coefficients;
  bool need_pose;
};

// Gradients of the basis itself, in the packed layout.
template <class T>
struct BasisBackwardParams {
  const T* coefficients;  // (B, K)
  const T* pose;          // (B, 3, 4)
  GradView<T> grad;
  T* grad_mean;           // (blocks, 3, 16) or null
  T* grad_modes;          // (blocks, K, 3, 16) or null
  int64_t batch;
  int64_t vertices;
  int64_t modes_count;
};

// Per-parameter importance (3DDFA's WPDC, the paper's W) over the landmarks that the basis view holds.
template <class T>
struct ImportanceWeightsParams {
  BasisView<T, T> basis;
  const T* predicted;  // (B, 12 + K)
  const T* target;     // (B, 12 + K)
  T* factor;           // scratch (6, padded(K)) of the CPU kernels: of every mode, see importance_factor()
  T* output;           // (B, 12 + K)
  int64_t batch;
  bool planar;         // measure in the image plane: the third pose row has weight 0
  bool by_maximum;     // divide by the maximum plus 1e-6, otherwise by the sum
};

// Nearest (largest z) triangle at every pixel; see cpu/kernels/rasterize.h for the rules.
template <class T>
struct RasterizeParams {
  const T* vertices;         // (B, N, 3): column, row, depth
  const int64_t* triangles;  // (T, 3)
  int64_t* index;            // (B, H, W), -1 where nothing is
  T* barycentrics;           // (B, H, W, 3)
  T* depth;                  // (B, H, W), -inf where nothing is
  int64_t batch;
  int64_t vertices_count;
  int64_t triangles_count;
  int64_t height;
  int64_t width;
};

// How the work on a basis is divided. It depends on sizes only, never on the number of threads.
struct Partition {
  int64_t blocks;        // vertex blocks in all
  int64_t part_blocks;   // vertex blocks in one part
  int64_t parts;
  int64_t group_faces;   // faces in one group
  int64_t groups;
  TWODASL_HOST_DEVICE int64_t tasks() const { return parts * groups; }
};

TWODASL_HOST_DEVICE inline Partition partition(int64_t vertices, int64_t modes, int64_t batch, int64_t mode_bytes) {
  // One part's modes stay in a core's second-level cache while every tile of faces passes over them.
  constexpr int64_t kCacheBytes = 320 * 1024;
  Partition p{};
  p.blocks = block_count(vertices);
  const int64_t bytes = (modes > 0 ? modes : 1) * kBlockRow * mode_bytes;
  const int64_t fit = kCacheBytes / bytes;
  p.part_blocks = fit < 4 ? 4 : (fit > 32 ? 32 : fit);
  p.parts = (p.blocks + p.part_blocks - 1) / p.part_blocks;
  p.group_faces = 64;
  p.groups = (batch + p.group_faces - 1) / p.group_faces;
  return p;
}

// The rows of the batch and the blocks of the basis that a task works on.
struct Task {
  int64_t part;
  int64_t row, last_row;
  int64_t first_block, last_block;
};

TWODASL_HOST_DEVICE inline Task task_of(const Partition& cut, int64_t batch, int64_t task) {
  const int64_t part = task / cut.groups, row = task % cut.groups * cut.group_faces;
  const int64_t first_block = part * cut.part_blocks, last_block = first_block + cut.part_blocks;
  const int64_t last_row = row + cut.group_faces;
  return {part, row, last_row < batch ? last_row : batch, first_block, last_block < cut.blocks ? last_block : cut.blocks};
}

// The distance factor R of a basis, upper triangular, over the features (mean, modes, 1) of a row of vertices. Kernels
// read it padded to squares of whole blocks: first R, then R^T, zeros in the rest.
TWODASL_HOST_DEVICE inline int64_t distance_features(int64_t modes) { return 3 * (modes + 1) + 1; }
TWODASL_HOST_DEVICE inline int64_t distance_width(int64_t modes) { return block_count(distance_features(modes)) * kBlock; }

// cost[b] = sum_r || R a_r ||^2; see cpu/kernels/distance-inl.h.
template <class T>
struct VertexDistanceParams {
  const T* factor;     // (2, width, width): R, then R^T
  const T* predicted;  // (B, 12 + K)
  const T* target;     // (B, 12 + K)
  T* cost;             // (B,)
  T* residual;         // (B, 3, width): R a_r, which the gradients need
  int64_t batch;
  int64_t modes_count;
  bool ignore_depth;   // the difference in t_z does not count
};

template <class T>
struct VertexDistanceBackwardParams {
  const T* grad;         // (B,) of any stride, zero included
  int64_t grad_stride;   // in elements
  const T* factor;       // (2, width, width)
  const T* residual;     // (B, 3, width)
  const T* predicted;    // (B, 12 + K), or null: its gradient is not needed
  const T* target;       // (B, 12 + K), or null
  T* scratch;            // (B, 3, width), of the CPU kernels
  T* grad_predicted;     // (B, 12 + K), or null with predicted
  T* grad_target;        // (B, 12 + K), or null with target
  int64_t batch;
  int64_t modes_count;
  bool ignore_depth;
};

// ---- nearest_neighbors ----------------------------------------------------------------------------------------
// The points of one cloud, sorted along a space-filling curve and cut into leaves of 16, under a tree of 16-wide
// nodes without pointers: child i of node n on level k is number 16 n + i of level k - 1, and level 0 are the leaves.
// The sizes depend on the number of points alone. There are always seven levels, enough for 2^31 points; a search
// starts at the lowest level that has a single node.
inline constexpr int kTreeLevels = 7;
inline constexpr int32_t kNoPoint = 0x7fffffff;  // the index of a leaf's padding, whose coordinates are infinite

TWODASL_HOST_DEVICE inline int64_t tree_leaves(int64_t points) { return block_count(points); }
TWODASL_HOST_DEVICE inline int64_t tree_nodes(int64_t points) {
  int64_t nodes = 0, level = tree_leaves(points);
  for (int i = 0; i < kTreeLevels; ++i) nodes += level = block_count(level);
  return nodes;
}

template <class T>
struct NeighborTree {
  const T* leaves;        // (leaves, 3, 16)
  const int32_t* ids;     // (leaves, 16): the point's index in the cloud
  const T* boxes;         // (nodes, 6, 16): least x, y, z and greatest x, y, z of every child; level 1 first
  const int32_t* lowest;  // (nodes, 16): the lowest id below every child
};

// Where a tree is written.
template <class T>
struct NeighborTreeParams {
  const T* points;         // (B, P, 3)
  const int64_t* lengths;  // (B) or null: all P are real
  T* leaves;               // (B, leaves, 3, 16)
  int32_t* ids;            // (B, leaves, 16)
  T* boxes;                // (B, nodes, 6, 16)
  int32_t* lowest;         // (B, nodes, 16)
  int64_t batch;
  int64_t points_count;  // P
};

// distance[b, m], index[b, m] = least (squared distance, index) over the points of cloud b
template <class T>
struct NearestParams {
  const T* query;                // (B, M, 3)
  const T* points;               // (B, P, 3)
  NeighborTree<T> tree;          // of element 0; the others follow
  const int64_t* query_lengths;  // (B) or null: all M are real
  const int64_t* hint;           // (B, M) or null: where to look first
  const int32_t* order;          // (B, M): the order in which to process the queries, or null: as given
  T* distance;                   // (B, M)
  int64_t* index;                // (B, M)
  int64_t batch;
  int64_t queries;  // M
  int64_t points_count;  // P
  const int64_t* lengths;  // (B) or null: all P are real; a GPU ignores hints past them, a CPU's caller has checked
};

// grad_query = 2 g (q - p), grad_points = the sum of -2 g (q - p) over the queries of a point
template <class T>
struct NearestBackwardParams {
  const T* grad;           // (B, M)
  const T* query;          // (B, M, 3)
  const T* points;         // (B, P, 3)
  const int64_t* index;    // (B, M), -1 where there is no query
  T* grad_query;           // (B, M, 3) or null
  T* grad_points;          // (B, P, 3) or null
  double* sums;            // (B, P, 3) scratch of a CPU, or null with grad_points
  int64_t batch;
  int64_t queries;
  int64_t points_count;
};

}  // namespace twodasl
