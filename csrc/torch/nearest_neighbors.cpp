// nearest_neighbors: checks, allocation, parameters, and the launch on the device that this is compiled for.
#include <optional>
#include <tuple>

#include "device.h"
#include "tree.h"

#if defined(TWODASL_FOR_CUDA)
#include "nearest_cuda.h"
#else
#include "nearest_cpu.h"
#endif

namespace twodasl::ops {

namespace {

// (B) lengths of at most `most`, or none.
std::optional<Tensor> check_lengths(const std::optional<Tensor>& given, const char* name, int64_t most,
                                    const Tensor& points) {
  if (!given) return std::nullopt;
  check_shape(*given, name, {points.size(0)});
  check_type(*given, name, ScalarType::Long);
  check_same_device(*given, name, points);
  const Tensor lengths = dense(*given);
  check_length_values(lengths, name, most);
  return lengths;
}

const int64_t* numbers(const std::optional<Tensor>& given) { return given ? in<int64_t>(*given) : nullptr; }

std::tuple<Tensor, Tensor, Tensor, Tensor> neighbor_tree(const Tensor& points_in,
                                                         const std::optional<Tensor>& lengths_in, bool tight) {
  check_shape(points_in, "points", {-1, -1, 3});
  const int64_t batch = points_in.size(0), capacity = points_in.size(1);
  check_count(capacity, "points");
  const OnDevice device(points_in);
  const std::optional<Tensor> lengths = check_lengths(lengths_in, "lengths", capacity, points_in);
  const Tensor points = dense(points_in);
  const int64_t leaves = tree_leaves(capacity), nodes = tree_nodes(capacity);
  Tensor leaf_points = empty_result({batch, leaves, 3, kBlock}, points);
  Tensor ids = empty_result_of({batch, leaves, kBlock}, ScalarType::Int, points);
  Tensor boxes = empty_result({batch, nodes, 6, kBlock}, points);
  Tensor lowest = empty_result_of({batch, nodes, kBlock}, ScalarType::Int, points);
  with_number(points, "points", [&](auto number) {
    using T = decltype(number);
    const NeighborTreeParams<T> params{in<T>(points),     numbers(lengths), out<T>(leaf_points),
                                       out<int32_t>(ids), out<T>(boxes),    out<int32_t>(lowest),
                                       batch,             capacity};
    grow_tree(params, tight, points, device);
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
  check_same_device(query_in, "query", points_in);
  const int64_t queries = query_in.size(1);
  check_count(capacity, "points");
  check_count(queries, "query");
  const OnDevice device(points_in);
  const TreeTensors tree(points_in, leaves_in, ids_in, boxes_in, lowest_in);
  const std::optional<Tensor> lengths = check_lengths(lengths_in, "lengths", capacity, points_in);
  const std::optional<Tensor> query_lengths = check_lengths(query_lengths_in, "query_lengths", queries, points_in);
  std::optional<Tensor> hint;
  if (hint_in) {
    check_shape(*hint_in, "hint", {batch, queries});
    check_type(*hint_in, "hint", ScalarType::Long);
    check_same_device(*hint_in, "hint", points_in);
    hint = dense(*hint_in);
  }
  const Tensor query = dense(query_in), points = dense(points_in);
  Tensor distance = empty_result({batch, queries}, query);
  Tensor index = empty_result_of({batch, queries}, ScalarType::Long, query);
  with_number(query, "query", [&](auto number) {
    using T = decltype(number);
    NearestParams<T> params{in<T>(query),     in<T>(points), tree.get<T>(),    numbers(query_lengths),
                            numbers(hint),    nullptr,       out<T>(distance), out<int64_t>(index),
                            batch,            queries,       capacity,         numbers(lengths)};
    search(params, query, device);
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
  Tensor grad_query = empty_result({need_query ? batch : 0, queries, 3}, query);
  Tensor grad_points = empty_result({need_points ? batch : 0, capacity, 3}, query);
  with_number(query, "query", [&](auto number) {
    using T = decltype(number);
    NearestBackwardParams<T> params{in<T>(grad),
                                    in<T>(query),
                                    in<T>(points),
                                    in<int64_t>(index),
                                    need_query ? out<T>(grad_query) : nullptr,
                                    need_points ? out<T>(grad_points) : nullptr,
                                    nullptr,
                                    batch,
                                    queries,
                                    capacity};
    differentiate(params, query, device);
  });
  return {grad_query, grad_points};
}

}  // namespace

TWODASL_OPERATORS(m) {
  m.impl("neighbor_tree", TORCH_BOX(&neighbor_tree));
  impl_differentiable(m, "nearest_neighbors", TORCH_BOX(&nearest_neighbors));
  m.impl("nearest_neighbors_backward", TORCH_BOX(&nearest_neighbors_backward));
}

}  // namespace twodasl::ops
