// The search: a warp holds eight neighbouring queries, each in four lanes, and walks down the tree with them, nearest
// child first. Lane 8 p + i holds query i and looks at children, or points of a leaf, 4 p to 4 p + 3, which are loads of
// four numbers. So a leaf is 128 distances, four a lane.
//
// Why eight: two clouds of a face that are not aligned make a query look at some 30 leaves, eight neighbours together at
// 36, thirty-two at 48. Fewer queries make more tests of a leaf than they share; more make the longest warp longer than
// the device is busy. A warp's path is the same for all of its lanes, so nothing diverges.
#include "neighbors.h"
#include "neighbors_box.h"

namespace twodasl::cuda {

namespace {

constexpr int kRow = static_cast<int>(kBlock);
constexpr int kQueries = 8;               // of a warp
constexpr int kParts = kWarp / kQueries;  // lanes of a query
constexpr int kOwn = kRow / kParts;       // children or points of a lane
constexpr int kWarps = 4;                 // of a block
static_assert(kOwn == 4, "loads are of four numbers");

// See cpu/neighbors.h.
template <class T>
struct Shrink;
template <>
struct Shrink<float> {
  static constexpr float kBy = 0x1p-66f;
};
template <>
struct Shrink<double> {
  static constexpr double kBy = 0x1p-514;
};

template <class T>
__device__ __forceinline__ T infinity() {
  return Ordered<T>::number(Ordered<T>::kInfinity);
}
template <class T>
__device__ __forceinline__ T not_a_number() {
  return Ordered<T>::number(Ordered<T>::kInfinity | Ordered<T>::kInfinity >> 1);
}

template <class T>
struct alignas(16) Four {
  T at[kOwn];
};
__device__ __forceinline__ Four<float> load(const float* p) {
  const float4 x = __ldg(reinterpret_cast<const float4*>(p));
  return {{x.x, x.y, x.z, x.w}};
}
__device__ __forceinline__ Four<double> load(const double* p) {
  const double2 x = __ldg(reinterpret_cast<const double2*>(p)), y = __ldg(reinterpret_cast<const double2*>(p) + 1);
  return {{x.x, x.y, y.x, y.y}};
}

__device__ __forceinline__ unsigned least_of_warp(unsigned x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  return __reduce_min_sync(kFullMask, x);
#else
#pragma unroll
  for (int by = kWarp / 2; by > 0; by /= 2) x = min(x, __shfl_xor_sync(kFullMask, x, by));
  return x;
#endif
}

// Where the levels of a tree begin, and how many children each has in all; level 1 has the leaves.
struct Levels {
  int32_t first[kTreeLevels + 1];
  int32_t children[kTreeLevels + 1];
  int top;  // the level of the root

  explicit Levels(int64_t points) : first{}, children{}, top(1) {
    int64_t nodes = tree_leaves(points);
    for (int level = 1; level <= kTreeLevels; ++level) {
      children[level] = static_cast<int32_t>(nodes);
      nodes = block_count(nodes);
      if (nodes > 1) top = level + 1;
      if (level < kTreeLevels) first[level + 1] = first[level] + static_cast<int32_t>(nodes);
    }
  }
};

// kScaled: coordinates of the tree are multiplied by a power of two; the query's have been.
template <class T, bool kScaled>
struct Search {
  NeighborTree<T> tree;
  T q[3];
  T best;      // the least squared distance; below zero: the lane has no query
  int32_t id;  // and its point
  int part;

  static __device__ __forceinline__ T scaled(T x) { return kScaled ? mul_rn(x, Shrink<T>::kBy) : x; }

  // Squared distances to the boxes of a node's children; NaN for what is no child, and what no distance can be less than.
  __device__ __forceinline__ Four<T> look(int64_t node, int32_t children) const {
    const T* box = tree.boxes + node * 6 * kRow + part * kOwn;
    Four<T> bound;
#pragma unroll
    for (int c = 0; c < 3; ++c) {
      const Four<T> low = load(box + c * kRow), high = load(box + (3 + c) * kRow);
#pragma unroll
      for (int j = 0; j < kOwn; ++j) {
        const T d = max(max(sub_rn(scaled(low.at[j]), q[c]), sub_rn(q[c], scaled(high.at[j]))), T(0));
        const T square = mul_rn(d, d);
        bound.at[j] = c == 0 ? square : add_rn(bound.at[j], square);
      }
    }
#pragma unroll
    for (int j = 0; j < kOwn; ++j) {
      if (!(bound.at[j] < infinity<T>() && part * kOwn + j < children)) bound.at[j] = not_a_number<T>();
    }
    return bound;
  }

  // The nearest child that may hold a better point for some query: its number in the lowest bits. All ones: there is none.
  __device__ __forceinline__ unsigned next(int64_t node, const Four<T>& bound) const {
    bool wanted[kOwn], equal = false;
#pragma unroll
    for (int j = 0; j < kOwn; ++j) {
      wanted[j] = bound.at[j] < best;
      equal = equal || bound.at[j] == best;
    }
    if (equal) {
#pragma unroll
      for (int j = 0; j < kOwn; ++j) {
        if (bound.at[j] == best) wanted[j] = __ldg(tree.lowest + node * kRow + part * kOwn + j) < id;
      }
    }
    unsigned found = ~0u;
#pragma unroll
    for (int j = 0; j < kOwn; ++j) {
      // Numbers that are not negative are ordered as their bits.
      const unsigned key = (__float_as_uint(static_cast<float>(bound.at[j])) & ~15u) | unsigned(part * kOwn + j);
      found = min(found, wanted[j] ? key : ~0u);
    }
    return least_of_warp(found);
  }

  __device__ __forceinline__ void visit(int64_t leaf) {
    const T* p = tree.leaves + leaf * kBlockRow + part * kOwn;
    Four<T> distance;
#pragma unroll
    for (int c = 0; c < 3; ++c) {
      const Four<T> x = load(p + c * kRow);
#pragma unroll
      for (int j = 0; j < kOwn; ++j) {
        const T d = sub_rn(q[c], scaled(x.at[j]));
        const T square = mul_rn(d, d);
        distance.at[j] = c == 0 ? square : add_rn(distance.at[j], square);
      }
    }
    const T least = min(min(distance.at[0], distance.at[1]), min(distance.at[2], distance.at[3]));
    const bool found = least <= best && least < infinity<T>();
    if (!__any_sync(kFullMask, found)) return;
    if (found) {
      int first = kOwn - 1;  // a leaf's points are in the order of their ids
#pragma unroll
      for (int j = kOwn - 2; j >= 0; --j) first = distance.at[j] == least ? j : first;
      offer(least, __ldg(tree.ids + leaf * kRow + part * kOwn + first));
    }
#pragma unroll
    for (int by = kQueries; by < kWarp; by *= 2) {
      const T other = __shfl_xor_sync(kFullMask, best, by);
      offer(other, __shfl_xor_sync(kFullMask, id, by));
    }
  }
  __device__ __forceinline__ void offer(T distance, int32_t point) {
    if (distance < best || (distance == best && point < id)) {
      best = distance;
      id = point;
    }
  }

  // `stack` holds the bounds of the nodes on the way, a level after the other: only the lane itself reads its own.
  __device__ __forceinline__ void run(const Levels& levels, Four<T>* stack) {
    int level = levels.top;
    int32_t node = 0;
    Four<T> bound = look(levels.first[level], levels.children[level]);
    for (;;) {
      const unsigned found = next(levels.first[level] + node, bound);
      if (found == ~0u) {
        if (level == levels.top) return;
        ++level;
        node /= kRow;
        bound = stack[(level - 2) * kWarp];
        continue;
      }
      const int child = static_cast<int>(found & 15u);
#pragma unroll
      for (int j = 0; j < kOwn; ++j) {
        if (child == part * kOwn + j) bound.at[j] = not_a_number<T>();
      }
      if (level == 1) {
        visit(node * kRow + child);
      } else {
        stack[(level - 2) * kWarp] = bound;
        --level;
        node = node * kRow + child;
        bound = look(levels.first[level] + node, levels.children[level] - node * kRow);
      }
    }
  }
};

template <class T>
__global__ void __launch_bounds__(kWarps* kWarp) nearest_kernel(NearestParams<T> params,
                                                                const __grid_constant__ Levels levels, int64_t leaves,
                                                                int64_t nodes, int64_t packets) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t packet = int64_t(blockIdx.x) * kWarps + warp;
  if (packet >= params.batch * packets) return;
  const int64_t element = packet / packets, place = packet % packets * kQueries + lane % kQueries;
  Four<T>* const stack = dynamic_shared<Four<T>>() + warp * (levels.top - 1) * kWarp + lane;
  const bool asked = place < params.queries;
  const int64_t m = element * params.queries;  // the element's first
  const int64_t number = !asked ? 0 : params.order != nullptr ? params.order[m + place] : place;
  const bool known = is_length(params.query_lengths, element, params.queries);
  const bool real = asked && (!known || number < length_of(params.query_lengths, element, params.queries));
  const bool searched = known && params.points_count > 0 && is_length(params.lengths, element, params.points_count) &&
                        params.tree.lowest[(element * nodes + levels.first[levels.top]) * kRow] != kNoTree;

  Search<T, false> search;
  search.tree = {params.tree.leaves + element * leaves * kBlockRow, params.tree.ids + element * leaves * kRow,
                 params.tree.boxes + element * nodes * 6 * kRow, params.tree.lowest + element * nodes * kRow};
  search.part = lane / kQueries;
  search.id = kNoPoint;
  bool active = real && searched;
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    search.q[c] = active ? params.query[3 * (m + number) + c] : T(0);
    active = active && is_finite(search.q[c]);
  }
  search.best = active ? infinity<T>() : T(-1);
  if (active && params.hint != nullptr) {
    const int64_t hint = params.hint[m + number];
    if (hint >= 0 && hint < length_of(params.lengths, element, params.points_count)) {
      const T* const p = params.points + 3 * (element * params.points_count + hint);
      const T dx = sub_rn(search.q[0], p[0]), dy = sub_rn(search.q[1], p[1]), dz = sub_rn(search.q[2], p[2]);
      const T distance = add_rn(add_rn(mul_rn(dx, dx), mul_rn(dy, dy)), mul_rn(dz, dz));
      if (distance < infinity<T>()) search.offer(distance, static_cast<int32_t>(hint));
    }
  }
  if (searched) search.run(levels, stack);
  const bool overflown = active && search.best == infinity<T>();
  if (__any_sync(kFullMask, overflown)) {
    Search<T, true> small;
    small.tree = search.tree;
    small.part = search.part;
    small.id = kNoPoint;
#pragma unroll
    for (int c = 0; c < 3; ++c) small.q[c] = mul_rn(search.q[c], Shrink<T>::kBy);
    small.best = overflown ? infinity<T>() : T(-1);
    small.run(levels, stack);
    if (overflown) search.id = small.id;
  }
  if (asked && lane < kQueries) {
    const bool answered = active && search.id >= 0 && search.id < params.points_count;  // a wrong tree may say anything
    params.distance[m + number] = !real ? T(0) : answered ? search.best : not_a_number<T>();
    params.index[m + number] = answered ? search.id : -1;
  }
}

}  // namespace

template <class T>
Error launch_nearest(const NearestParams<T>& params, void* stream) {
  const Levels levels(params.points_count);
  const int64_t packets = divide_up(params.queries, kQueries);
  const size_t shared = sizeof(Four<T>) * kWarp * kWarps * static_cast<size_t>(levels.top - 1);
  return launch(&nearest_kernel<T>, dim3(static_cast<unsigned>(divide_up(params.batch * packets, kWarps))),
                kWarps * kWarp, shared, stream, params, levels, tree_leaves(params.points_count),
                tree_nodes(params.points_count), packets);
}

template Error launch_nearest(const NearestParams<float>&, void*);
template Error launch_nearest(const NearestParams<double>&, void*);

}  // namespace twodasl::cuda
