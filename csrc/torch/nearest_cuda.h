// CUDA's side of nearest_neighbors.cpp. Values stay on the device: see cuda/neighbors.h for what wrong ones give.
#pragma once

#include "../cuda/neighbors.h"
#include "scratch.h"

namespace twodasl::ops {

inline void check_length_values(const Tensor&, const char*, int64_t) {}

// Leaves of 16 along the curve, `tight` or not: a GPU rebuilds them faster than it would tighten them.
template <class T>
void grow_tree(const NeighborTreeParams<T>& params, bool, const Tensor& like, const OnDevice& device) {
  const Scratch scratch(cuda::neighbor_tree_scratch<T>(params.batch, params.points_count), like);
  check_launch(cuda::launch_neighbor_tree(params, scratch.data(), device.stream()));
}

// The order of many queries along a curve; none for few.
template <class T>
std::optional<Tensor> query_order(const T* query, const int64_t* lengths, int64_t batch, int64_t queries,
                                  int64_t points, const Tensor& like, const OnDevice& device) {
  if (queries <= kBlock || points == 0) return std::nullopt;
  const Tensor order = empty_of({batch, queries}, ScalarType::Int, like);
  const cuda::QueryOrderParams<T> sort{query, lengths, out<int32_t>(order), batch, queries};
  const Scratch scratch(cuda::query_order_scratch<T>(batch, queries), like);
  check_launch(cuda::launch_query_order(sort, scratch.data(), device.stream()));
  return order;
}

template <class T>
void search(NearestParams<T>& params, const Tensor& like, const OnDevice& device) {
  const int64_t batch = params.batch, queries = params.queries;
  if (batch == 0 || queries == 0) return;
  const std::optional<Tensor> order =
      query_order(params.query, params.query_lengths, batch, queries, params.points_count, like, device);
  params.order = order ? in<int32_t>(*order) : nullptr;
  check_launch(cuda::launch_nearest(params, device.stream()));
}

template <class T>
void differentiate(const NearestBackwardParams<T>& params, const Tensor& like, const OnDevice& device) {
  const bool need_points = params.grad_points != nullptr;
  const Scratch scratch(
      cuda::nearest_backward_scratch<T>(params.batch, params.queries, params.points_count, need_points), like);
  check_launch(cuda::launch_nearest_backward(params, scratch.data(), device.stream()));
}

}  // namespace twodasl::ops
