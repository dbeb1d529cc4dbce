// What every device's registration of nearest_neighbors checks.
#pragma once

#include "stable.h"

namespace twodasl::ops {

inline void check_tree(const Tensor& points, const Tensor& leaves, const Tensor& ids, const Tensor& boxes,
                       const Tensor& lowest) {
  const int64_t batch = points.size(0), capacity = points.size(1);
  check_shape(leaves, "leaves", {batch, tree_leaves(capacity), 3, kBlock});
  check_shape(ids, "ids", {batch, tree_leaves(capacity), kBlock});
  check_shape(boxes, "boxes", {batch, tree_nodes(capacity), 6, kBlock});
  check_shape(lowest, "lowest", {batch, tree_nodes(capacity), kBlock});
  check_type(leaves, "leaves", points.scalar_type());
  check_type(boxes, "boxes", points.scalar_type());
  check_type(ids, "ids", ScalarType::Int);
  check_type(lowest, "lowest", ScalarType::Int);
}

// Indices and the tree's numbers are 32 bits wide.
inline void check_count(int64_t count, const char* name) {
  STD_TORCH_CHECK(count < kNoPoint, "twodasl: ", name, ": expected fewer than 2^31 - 1, got ", count);
}

}  // namespace twodasl::ops
