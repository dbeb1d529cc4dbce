// nearest_neighbors on a GPU: guard, checks, allocation, parameters, launch.
#include <optional>
#include <tuple>

#include "../cuda/neighbors.h"
#include "basis.h"
#include "cuda.h"
#include "scratch.h"
#include "tree.h"

namespace twodasl::ops {

namespace {

// (B) lengths, or none. Their values stay on the device.
std::optional<Tensor> given_lengths(const std::optional<Tensor>& given, const char* name, const Tensor& points) {
  if (!given) return std::nullopt;
  check_shape(*given, name, {points.size(0)});
  check_type(*given, name, ScalarType::Long);
  check_same_device(*given, name, points);
  return dense(*given);
}
const int64_t* numbers(const std::optional<Tensor>& given) { return given ? in<int64_t>(*given) : nullptr; }

// Leaves of 16 along the curve, `tight` or not: a GPU builds them anew faster than it would tighten them.
std::tuple<Tensor, Tensor, Tensor, Tensor> neighbor_tree(const Tensor& points_in,
                                                         const std::optional<Tensor>& lengths_in, bool) {
  check_shape(points_in, "points", {-1, -1, 3});
  const int64_t batch = points_in.size(0), capacity = points_in.size(1);
  check_count(capacity, "points");
  const OnDevice device(points_in);
  const std::optional<Tensor> lengths = given_lengths(lengths_in, "lengths", points_in);
  const Tensor points = dense(points_in);
  const int64_t leaves = tree_leaves(capacity), nodes = tree_nodes(capacity);
  Tensor leaf_points = empty_like_type({batch, leaves, 3, kBlock}, points);
  Tensor ids = empty_of({batch, leaves, kBlock}, ScalarType::Int, points);
  Tensor boxes = empty_like_type({batch, nodes, 6, kBlock}, points);
  Tensor lowest = empty_of({batch, nodes, kBlock}, ScalarType::Int, points);
  with_number(points, "points", [&](auto number) {
    using T = decltype(number);
    const cuda::NeighborTreeParams<T> params{in<T>(points),     numbers(lengths), out<T>(leaf_points),
                                             out<int32_t>(ids), out<T>(boxes),    out<int32_t>(lowest),
                                             batch,             capacity};
    const Scratch scratch(cuda::neighbor_tree_scratch<T>(batch, capacity), points);
    check_launch(cuda::launch_neighbor_tree(params, scratch.data(), device.stream()));
  });
  return {leaf_points, ids, boxes, lowest};
}

std::tuple<Tensor, Tensor> nearest_neighbors(const Tensor& query_in, const Tensor& points_in, const Tensor& leaves_in,
                                             const Tensor& ids_in, const Tensor& boxes_in, const Tensor& lowest_in,
                                             const std::optional<Tensor>& lengths_in,
                                             const std::optional<Tensor>& query_lengths_in,
                                             const std::optional<Tensor>& hint_in) {
  check_shape(points_in, "points", {-1, -1, 3});
  const int64_t batch = points_in.size(0), capacity = points_in.size(1);
  check_shape(query_in, "query", {batch, -1, 3});
  check_type(query_in, "query", points_in.scalar_type());
  check_tree(points_in, leaves_in, ids_in, boxes_in, lowest_in);
  const int64_t queries = query_in.size(1);
  check_count(capacity, "points");
  check_count(queries, "query");
  check_same_device(query_in, "query", points_in);
  check_same_device(leaves_in, "leaves", points_in);
  check_same_device(ids_in, "ids", points_in);
  check_same_device(boxes_in, "boxes", points_in);
  check_same_device(lowest_in, "lowest", points_in);
  const OnDevice device(points_in);
  const std::optional<Tensor> lengths = given_lengths(lengths_in, "lengths", points_in);
  const std::optional<Tensor> query_lengths = given_lengths(query_lengths_in, "query_lengths", points_in);
  std::optional<Tensor> hint;
  if (hint_in) {
    check_shape(*hint_in, "hint", {batch, queries});
    check_type(*hint_in, "hint", ScalarType::Long);
    check_same_device(*hint_in, "hint", points_in);
    hint = dense(*hint_in);
  }
  const Tensor query = dense(query_in), points = dense(points_in);
  const Tensor leaves = dense_aligned(leaves_in), boxes = dense_aligned(boxes_in);
  const Tensor ids = dense(ids_in), lowest = dense(lowest_in);
  Tensor distance = empty_like_type({batch, queries}, query);
  Tensor index = empty_of({batch, queries}, ScalarType::Long, query);
  if (batch == 0 || queries == 0) return {distance, index};
  with_number(query, "query", [&](auto number) {
    using T = decltype(number);
    const bool sort = queries > kBlock && capacity > 0;
    std::optional<Tensor> order;
    if (sort) {
      order = empty_of({batch, queries}, ScalarType::Int, query);
      const cuda::QueryOrderParams<T> params{in<T>(query), numbers(query_lengths), out<int32_t>(*order), batch,
                                             queries};
      const Scratch scratch(cuda::query_order_scratch<T>(batch, queries), query);
      check_launch(cuda::launch_query_order(params, scratch.data(), device.stream()));
    }
    const NearestParams<T> params{in<T>(query),
                                  in<T>(points),
                                  {in<T>(leaves), in<int32_t>(ids), in<T>(boxes), in<int32_t>(lowest)},
                                  numbers(query_lengths),
                                  numbers(hint),
                                  sort ? in<int32_t>(*order) : nullptr,
                                  out<T>(distance),
                                  out<int64_t>(index),
                                  batch,
                                  queries,
                                  capacity,
                                  numbers(lengths)};
    check_launch(cuda::launch_nearest(params, device.stream()));
  });
  return {distance, index};
}

std::tuple<Tensor, Tensor> nearest_neighbors_backward(const Tensor& grad_in, const Tensor& query_in,
                                                      const Tensor& points_in, const Tensor& index_in, bool need_query,
                                                      bool need_points) {
  check_shape(points_in, "points", {-1, -1, 3});
  const int64_t batch = points_in.size(0), capacity = points_in.size(1);
  check_shape(query_in, "query", {batch, -1, 3});
  const int64_t queries = query_in.size(1);
  check_shape(grad_in, "grad", {batch, queries});
  check_shape(index_in, "index", {batch, queries});
  check_type(query_in, "query", points_in.scalar_type());
  check_type(grad_in, "grad", points_in.scalar_type());
  check_type(index_in, "index", ScalarType::Long);
  check_count(capacity, "points");
  check_count(queries, "query");
  check_same_device(query_in, "query", points_in);
  check_same_device(grad_in, "grad", points_in);
  check_same_device(index_in, "index", points_in);
  const OnDevice device(points_in);
  const Tensor grad = dense(grad_in), query = dense(query_in), points = dense(points_in), index = dense(index_in);
  Tensor grad_query = empty_like_type({need_query ? batch : 0, queries, 3}, query);
  Tensor grad_points = empty_like_type({need_points ? batch : 0, capacity, 3}, query);
  with_number(query, "query", [&](auto number) {
    using T = decltype(number);
    const NearestBackwardParams<T> params{in<T>(grad),
                                          in<T>(query),
                                          in<T>(points),
                                          in<int64_t>(index),
                                          need_query ? out<T>(grad_query) : nullptr,
                                          need_points ? out<T>(grad_points) : nullptr,
                                          nullptr,
                                          batch,
                                          queries,
                                          capacity};
    const Scratch scratch(cuda::nearest_backward_scratch<T>(batch, queries, capacity, need_points), query);
    check_launch(cuda::launch_nearest_backward(params, scratch.data(), device.stream()));
  });
  return {grad_query, grad_points};
}

}  // namespace

TWODASL_CUDA_LIBRARY(m) {
  m.impl("neighbor_tree", TORCH_BOX(&neighbor_tree));
  m.impl("nearest_neighbors", TORCH_BOX(&nearest_neighbors));
  m.impl("nearest_neighbors_forward", TORCH_BOX(&nearest_neighbors));
  m.impl("nearest_neighbors_backward", TORCH_BOX(&nearest_neighbors_backward));
}

}  // namespace twodasl::ops
