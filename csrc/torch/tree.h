// The tensors of a search tree and what is checked of them, for nearest_neighbors and iterative_closest_point.
#pragma once

#include "device.h"

namespace twodasl::ops {

// The tree of points (B, P, 3), as neighbor_tree() made it.
struct TreeTensors {
  Tensor leaves, ids, boxes, lowest;

  TreeTensors(const Tensor& points, const Tensor& leaves_in, const Tensor& ids_in, const Tensor& boxes_in,
              const Tensor& lowest_in)
      : leaves(leaves_in), ids(ids_in), boxes(boxes_in), lowest(lowest_in) {
    check(points);
    leaves = dense_aligned(leaves);
    boxes = dense_aligned(boxes);
    ids = dense(ids);
    lowest = dense(lowest);
  }
  template <class T>
  NeighborTree<T> get() const {
    return {in<T>(leaves), in<int32_t>(ids), in<T>(boxes), in<int32_t>(lowest)};
  }

 private:
  void check(const Tensor& points) const;
};

inline void TreeTensors::check(const Tensor& points) const {
  const int64_t batch = points.size(0), capacity = points.size(1);
  check_shape(leaves, "leaves", {batch, tree_leaves(capacity), 3, kBlock});
  check_shape(ids, "ids", {batch, tree_leaves(capacity), kBlock});
  check_shape(boxes, "boxes", {batch, tree_nodes(capacity), 6, kBlock});
  check_shape(lowest, "lowest", {batch, tree_nodes(capacity), kBlock});
  check_type(leaves, "leaves", points.scalar_type());
  check_type(boxes, "boxes", points.scalar_type());
  check_type(ids, "ids", ScalarType::Int);
  check_type(lowest, "lowest", ScalarType::Int);
  check_same_device(leaves, "leaves", points);
  check_same_device(boxes, "boxes", points);
  check_same_device(ids, "ids", points);
  check_same_device(lowest, "lowest", points);
}

// Indices and the tree's numbers are 32 bits wide.
inline void check_count(int64_t count, const char* name) {
  STD_TORCH_CHECK(count < kNoPoint, "twodasl: ", name, ": expected fewer than 2^31 - 1, got ", count);
}

}  // namespace twodasl::ops
