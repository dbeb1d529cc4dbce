// k_nearest_neighbors: checks, allocation, parameters, and the launch on the device that this is compiled for. Its
// gradients are those of nearest_neighbors, of k queries each.
#include <optional>
#include <tuple>

#include "../common/many_params.h"
#include "device.h"
#include "tree.h"

#if defined(TWODASL_FOR_CUDA)
#include "nearest_cuda.h"
#else
#include "nearest_cpu.h"
#endif

namespace twodasl::ops {

namespace {

#if defined(TWODASL_FOR_CUDA)

template <class T>
void search_many(NearestManyParams<T>& params, const Tensor& like, const OnDevice& device) {
  if (params.batch == 0 || params.queries == 0 || params.k == 0) return;
  const std::optional<Tensor> order =
      query_order(params.query, nullptr, params.batch, params.queries, params.points_count, like, device);
  params.order = order ? in<int32_t>(*order) : nullptr;
  check_launch(cuda::launch_nearest_many(params, device.stream()));
}

#else

template <class T>
void search_many(NearestManyParams<T>& params, const Tensor&, const OnDevice&) {
  QueryOrder order(params.query, nullptr, params.batch, params.queries);
  params.order = order.get();
  if (params.k == 0) return;
  const int64_t tasks = chunks(params.queries, cpu::kQueryTask);
  each(params.batch * tasks, [&](int64_t task) {
    const int64_t begin = task % tasks * cpu::kQueryTask;
    neighbors_of(T{}).nearest_many(params, task / tasks, begin, std::min(params.queries, begin + cpu::kQueryTask));
  });
}

#endif

std::tuple<Tensor, Tensor> k_nearest_neighbors(const Tensor& query_in, const Tensor& points_in, const Tensor& leaves,
                                               const Tensor& ids, const Tensor& boxes, const Tensor& lowest,
                                               const std::optional<Tensor>& lengths_in, int64_t k) {
  check_shape(points_in, "points", {-1, -1, 3});
  const int64_t batch = points_in.size(0), capacity = points_in.size(1);
  check_shape(query_in, "query", {batch, -1, 3});
  check_type(query_in, "query", points_in.scalar_type());
  check_same_device(query_in, "query", points_in);
  const int64_t queries = query_in.size(1);
  check_count(capacity, "points");
  check_count(queries, "query");
  STD_TORCH_CHECK(k >= 0 && k <= kMostNeighbors && k <= capacity, "twodasl: k: expected a number in [0, ",
                  capacity < kMostNeighbors ? capacity : kMostNeighbors, "], got ", k);
  const OnDevice device(points_in);
  const TreeTensors tree(points_in, leaves, ids, boxes, lowest);
  std::optional<Tensor> lengths;
  if (lengths_in) {
    check_shape(*lengths_in, "lengths", {batch});
    check_type(*lengths_in, "lengths", ScalarType::Long);
    check_same_device(*lengths_in, "lengths", points_in);
    lengths = dense(*lengths_in);
    check_length_values(*lengths, "lengths", capacity);
  }
  const Tensor query = dense(query_in), points = dense(points_in);
  Tensor distance = empty_result({batch, queries, k}, query);
  Tensor index = empty_result_of({batch, queries, k}, ScalarType::Long, query);
  with_number(query, "query", [&](auto number) {
    using T = decltype(number);
    NearestManyParams<T> params{in<T>(query),     in<T>(points),       tree.get<T>(), lengths ? in<int64_t>(*lengths) : nullptr,
                                nullptr,          out<T>(distance),    out<int64_t>(index),
                                batch,            queries,             capacity,      k};
    search_many(params, query, device);
  });
  return {distance, index};
}

}  // namespace

TWODASL_OPERATORS(m) { impl_differentiable(m, "k_nearest_neighbors", TORCH_BOX(&k_nearest_neighbors)); }

}  // namespace twodasl::ops
