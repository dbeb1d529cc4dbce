// The CPU's side of nearest_neighbors.cpp. Values are checked here: a kernel trusts them.
#pragma once

#include "neighbors.h"

namespace twodasl::ops {

inline int64_t length_of(const int64_t* lengths, int64_t element, int64_t all) {
  return lengths != nullptr ? lengths[element] : all;
}

// (B) lengths between 0 and `most`.
inline void check_length_values(const Tensor& lengths, const char* name, int64_t most) {
  const int64_t* p = in<int64_t>(lengths);
  for (int64_t b = 0; b < lengths.size(0); ++b) {
    STD_TORCH_CHECK(p[b] >= 0 && p[b] <= most, "twodasl: ", name, ": expected numbers in [0, ", most, "], got ", p[b]);
  }
}

// There is a point for every query, and every hint is one.
template <class T>
void check_query_values(const NearestParams<T>& params) {
  for (int64_t b = 0; b < params.batch; ++b) {
    const int64_t known = length_of(params.lengths, b, params.points_count);
    const int64_t asked = length_of(params.query_lengths, b, params.queries);
    STD_TORCH_CHECK(known > 0 || asked == 0, "twodasl: points: expected at least one for the queries of element ", b,
                    ", got none");
    for (int64_t m = 0; params.hint != nullptr && m < asked; ++m) {
      const int64_t n = params.hint[b * params.queries + m];
      STD_TORCH_CHECK(n >= 0 && n < known, "twodasl: hint: expected indices in [0, ", known, "), got ", n);
    }
  }
}

template <class T>
void grow_tree(const NeighborTreeParams<T>& params, bool tight, const Tensor&, const OnDevice&) {
  const int64_t capacity = params.points_count, leaves = tree_leaves(capacity), nodes = tree_nodes(capacity);
  FirstWrong wrong(params.batch);
  each(params.batch, [&](int64_t element) {
    const T* p = params.points + 3 * element * capacity;
    T* const box_of = params.boxes + element * nodes * 6 * kBlock;
    int32_t* const lowest_of = params.lowest + element * nodes * kBlock;
    const int64_t count = length_of(params.lengths, element, capacity);
    T box[6];
    if (!bounds(p, count, box)) return wrong.add(element);
    Scratch scratch(static_cast<size_t>(2 * count) * sizeof(uint64_t));
    uint64_t* const keys = sorted(p, count, box, scratch.keys());
    const int64_t step = (tight ? 4 * cpu::kTightRun : kChunk) / kBlock;
    each(chunks(leaves, step), [&](int64_t part) {
      const int64_t begin = part * step * kBlock;
      if (tight && begin < count) cpu::tighten_keys(p, keys, begin, std::min(count, begin + step * kBlock));
      cpu::fill_leaves(p, keys, count, params.leaves + element * leaves * kBlockRow,
                       params.ids + element * leaves * kBlock, box_of, lowest_of, part * step,
                       std::min(leaves, (part + 1) * step));
    });
    cpu::fill_levels(box_of, lowest_of, capacity);
  });
  STD_TORCH_CHECK(wrong.none(), "twodasl: points: expected finite numbers, got others in element ", wrong.get());
}

// Many queries, sorted so that nearby ones share their way down the tree. Throws where one is not finite.
class QueryOrder {
 public:
  template <class T>
  QueryOrder(const T* query, const int64_t* lengths, int64_t batch, int64_t queries)
      : sort_(queries > kBlock), bytes_(sort_ ? static_cast<size_t>(batch * queries) * sizeof(int32_t) : 0) {
    int32_t* const order = reinterpret_cast<int32_t*>(bytes_.keys());
    FirstWrong wrong(batch);
    each(batch, [&](int64_t element) {
      const T* q = query + 3 * element * queries;
      const int64_t count = length_of(lengths, element, queries);
      T box[6];
      if (!bounds(q, count, box)) return wrong.add(element);
      if (!sort_) return;
      Scratch scratch(static_cast<size_t>(2 * count) * sizeof(uint64_t));
      const uint64_t* const keys = sorted(q, count, box, scratch.keys());
      int32_t* const order_of = order + element * queries;
      for (int64_t i = 0; i < queries; ++i) order_of[i] = static_cast<int32_t>(i < count ? keys[i] : i);
    });
    STD_TORCH_CHECK(wrong.none(), "twodasl: query: expected finite numbers, got others in element ", wrong.get());
  }
  const int32_t* get() { return sort_ ? reinterpret_cast<const int32_t*>(bytes_.keys()) : nullptr; }

 private:
  const bool sort_;
  Scratch bytes_;
};

template <class T>
void search(NearestParams<T>& params, const Tensor&, const OnDevice&) {
  constexpr int64_t kQueryTasksWorthAThread = 4;
  check_query_values(params);
  const int64_t batch = params.batch, queries = params.queries;
  QueryOrder order(params.query, params.query_lengths, batch, queries);
  params.order = order.get();
  const int64_t tasks = chunks(queries, cpu::kQueryTask);
  const auto part = [&](int64_t task) {
    const int64_t begin = task % tasks * cpu::kQueryTask;
    neighbors_of(T{}).nearest(params, task / tasks, begin, std::min(queries, begin + cpu::kQueryTask));
  };
  each(batch * tasks, part, kQueryTasksWorthAThread);
}

template <class T>
void differentiate(NearestBackwardParams<T>& params, const Tensor&, const OnDevice&) {
  const int64_t batch = params.batch, queries = params.queries, capacity = params.points_count;
  for (int64_t i = 0; i < batch * queries; ++i) {
    const int64_t n = params.index[i];
    STD_TORCH_CHECK(n >= -1 && n < capacity, "twodasl: index: expected indices in [-1, ", capacity, "), got ", n);
  }
  const bool need_points = params.grad_points != nullptr;
  Scratch sums(need_points ? static_cast<size_t>(3 * batch * capacity) * sizeof(double) : 0);
  params.sums = reinterpret_cast<double*>(sums.keys());
  if (params.grad_query != nullptr) {
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
}

}  // namespace twodasl::ops
