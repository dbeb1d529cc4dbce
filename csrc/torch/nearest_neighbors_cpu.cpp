// nearest_neighbors on the CPU: checks, allocation, parameters, launch.
#include "neighbors.h"

namespace twodasl::ops {

namespace {

constexpr int64_t kQueryTasksWorthAThread = 4;

Tensor empty_ids(std::initializer_list<int64_t> sizes, const Tensor& like) {
  return empty_result(sizes, empty_of({0}, ScalarType::Int, like));
}

// (B) lengths between 0 and `most`, or none.
std::optional<Tensor> check_lengths(const std::optional<Tensor>& given, const char* name, int64_t batch, int64_t most) {
  if (!given) return std::nullopt;
  check_shape(*given, name, {batch});
  check_type(*given, name, ScalarType::Long);
  const Tensor lengths = dense(*given);
  const int64_t* p = in<int64_t>(lengths);
  for (int64_t b = 0; b < batch; ++b) {
    STD_TORCH_CHECK(p[b] >= 0 && p[b] <= most, "twodasl: ", name, ": expected numbers in [0, ", most, "], got ", p[b]);
  }
  return lengths;
}
int64_t length_of(const std::optional<Tensor>& lengths, int64_t element, int64_t all) {
  return lengths ? in<int64_t>(*lengths)[element] : all;
}

std::tuple<Tensor, Tensor, Tensor, Tensor> neighbor_tree(const Tensor& points_in,
                                                         const std::optional<Tensor>& lengths_in, bool tight) {
  check_shape(points_in, "points", {-1, -1, 3});
  const Tensor points = dense(points_in);
  const int64_t batch = points.size(0), capacity = points.size(1);
  STD_TORCH_CHECK(capacity < kNoPoint, "twodasl: points: expected fewer than 2^31 - 1, got ", capacity);
  const std::optional<Tensor> lengths = check_lengths(lengths_in, "lengths", batch, capacity);
  const int64_t leaves = tree_leaves(capacity), nodes = tree_nodes(capacity);
  Tensor leaf_points = empty_result({batch, leaves, 3, kBlock}, points);
  Tensor ids = empty_ids({batch, leaves, kBlock}, points);
  Tensor boxes = empty_result({batch, nodes, 6, kBlock}, points);
  Tensor lowest = empty_ids({batch, nodes, kBlock}, points);
  FirstWrong wrong(batch);
  with_neighbors(points, "points", [&](const auto&, auto number) {
    using T = decltype(number);
    each(batch, [&](int64_t element) {
      const T* p = in<T>(points) + 3 * element * capacity;
      T* const box_of = out<T>(boxes) + element * nodes * 6 * kBlock;
      int32_t* const lowest_of = out<int32_t>(lowest) + element * nodes * kBlock;
      const int64_t count = length_of(lengths, element, capacity);
      T box[6];
      if (!bounds(p, count, box)) return wrong.add(element);
      Scratch scratch(static_cast<size_t>(2 * count) * sizeof(uint64_t));
      uint64_t* const keys = sorted(p, count, box, scratch.keys());
      const int64_t step = (tight ? 4 * cpu::kTightRun : kChunk) / kBlock;
      each(chunks(leaves, step), [&](int64_t part) {
        const int64_t begin = part * step * kBlock;
        if (tight && begin < count) cpu::tighten_keys(p, keys, begin, std::min(count, begin + step * kBlock));
        cpu::fill_leaves(p, keys, count, out<T>(leaf_points) + element * leaves * kBlockRow,
                         out<int32_t>(ids) + element * leaves * kBlock, box_of, lowest_of, part * step,
                         std::min(leaves, (part + 1) * step));
      });
      cpu::fill_levels(box_of, lowest_of, capacity);
    });
  });
  STD_TORCH_CHECK(wrong.none(), "twodasl: points: expected finite numbers, got others in element ", wrong.get());
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
  const Tensor query = dense(query_in), points = dense(points_in);
  const TreeTensors tree(points, leaves_in, ids_in, boxes_in, lowest_in);
  const int64_t queries = query.size(1);
  STD_TORCH_CHECK(queries < kNoPoint, "twodasl: query: expected fewer than 2^31 - 1, got ", queries);
  const std::optional<Tensor> lengths = check_lengths(lengths_in, "lengths", batch, capacity);
  const std::optional<Tensor> query_lengths = check_lengths(query_lengths_in, "query_lengths", batch, queries);
  std::optional<Tensor> hint;
  if (hint_in) {
    check_shape(*hint_in, "hint", {batch, queries});
    check_type(*hint_in, "hint", ScalarType::Long);
    hint = dense(*hint_in);
  }
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t known = length_of(lengths, b, capacity), asked = length_of(query_lengths, b, queries);
    STD_TORCH_CHECK(known > 0 || asked == 0, "twodasl: points: expected at least one for the queries of element ", b,
                    ", got none");
    for (int64_t m = 0; hint && m < asked; ++m) {
      const int64_t n = in<int64_t>(*hint)[b * queries + m];
      STD_TORCH_CHECK(n >= 0 && n < known, "twodasl: hint: expected indices in [0, ", known, "), got ", n);
    }
  }
  Tensor distance = empty_result({batch, queries}, query), index = empty_indices({batch, queries}, query);
  FirstWrong wrong(batch);
  with_neighbors(query, "query", [&](const auto& kernels, auto number) {
    using T = decltype(number);
    const bool sort = queries > kBlock;  // neighbouring queries share their way down the tree
    Scratch order_bytes(sort ? static_cast<size_t>(batch * queries) * sizeof(int32_t) : 0);
    int32_t* const order = reinterpret_cast<int32_t*>(order_bytes.keys());
    each(batch, [&](int64_t element) {
      const T* q = in<T>(query) + 3 * element * queries;
      const int64_t count = length_of(query_lengths, element, queries);
      T box[6];
      if (!bounds(q, count, box)) return wrong.add(element);
      if (!sort) return;
      Scratch scratch(static_cast<size_t>(2 * count) * sizeof(uint64_t));
      const uint64_t* const keys = sorted(q, count, box, scratch.keys());
      int32_t* const order_of = order + element * queries;
      for (int64_t i = 0; i < queries; ++i) order_of[i] = static_cast<int32_t>(i < count ? keys[i] : i);
    });
    if (!wrong.none()) return;
    const NearestParams<T> params{
        in<T>(query),
        in<T>(points),
        tree.get<T>(),
        query_lengths ? in<int64_t>(*query_lengths) : nullptr,
        hint ? in<int64_t>(*hint) : nullptr,
        sort ? order : nullptr,
        out<T>(distance),
        out<int64_t>(index),
        batch,
        queries,
        capacity};
    const int64_t tasks = chunks(queries, cpu::kQueryTask);
    const auto search = [&](int64_t task) {
      const int64_t begin = task % tasks * cpu::kQueryTask;
      kernels.nearest(params, task / tasks, begin, std::min(queries, begin + cpu::kQueryTask));
    };
    each(batch * tasks, search, kQueryTasksWorthAThread);
  });
  STD_TORCH_CHECK(wrong.none(), "twodasl: query: expected finite numbers, got others in element ", wrong.get());
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
  const Tensor grad = dense(grad_in), query = dense(query_in), points = dense(points_in), index = dense(index_in);
  for (int64_t i = 0; i < batch * queries; ++i) {
    const int64_t n = in<int64_t>(index)[i];
    STD_TORCH_CHECK(n >= -1 && n < capacity, "twodasl: index: expected indices in [-1, ", capacity, "), got ", n);
  }
  Tensor grad_query = empty_result({need_query ? batch : 0, queries, 3}, query);
  Tensor grad_points = empty_result({need_points ? batch : 0, capacity, 3}, query);
  with_neighbors(query, "query", [&](const auto&, auto number) {
    using T = decltype(number);
    Scratch sums(need_points ? static_cast<size_t>(3 * batch * capacity) * sizeof(double) : 0);
    const NearestBackwardParams<T> params{in<T>(grad),
                                          in<T>(query),
                                          in<T>(points),
                                          in<int64_t>(index),
                                          need_query ? out<T>(grad_query) : nullptr,
                                          need_points ? out<T>(grad_points) : nullptr,
                                          reinterpret_cast<double*>(sums.keys()),
                                          batch,
                                          queries,
                                          capacity};
    if (need_query) {
      const int64_t parts = chunks(queries, kChunk);
      each(batch * parts, [&](int64_t task) {
        const int64_t begin = task % parts * kChunk;
        cpu::nearest_backward_query(params, task / parts, begin, std::min(queries, begin + kChunk));
      });
    }
    if (need_points && capacity > 0) {
      // Every part reads all queries of its element: no more parts than threads.
      const int64_t threads = torch::stable::get_num_threads();
      const int64_t parts = std::min(batch >= threads ? 1 : chunks(threads, batch > 0 ? batch : 1), capacity);
      each(batch * parts, [&](int64_t task) {
        const int64_t part = task % parts;
        cpu::nearest_backward_points(params, task / parts, capacity * part / parts, capacity * (part + 1) / parts);
      });
    }
  });
  return {grad_query, grad_points};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(twodasl, CPU, m) {
  m.impl("neighbor_tree", TORCH_BOX(&neighbor_tree));
  m.impl("nearest_neighbors", TORCH_BOX(&nearest_neighbors));
  m.impl("nearest_neighbors_forward", TORCH_BOX(&nearest_neighbors));
  m.impl("nearest_neighbors_backward", TORCH_BOX(&nearest_neighbors_backward));
}

}  // namespace twodasl::ops
