// k_nearest_neighbors: the walk of neighbors_search.cu, in which a query has found enough where k points are nearer than a
// box. A query's list lies in shared memory, in order; the first of its four lanes keeps it.
#include "../common/many_params.h"
#include "neighbors_descent.h"

namespace twodasl::cuda {

namespace {

constexpr int kManyWarps = 2;  // of a block: 64 neighbors in double precision are 12 KB a block
constexpr int kManyThreads = kManyWarps * kWarp;

// One query's list among those of a warp, which alternate.
template <class T>
struct List {
  T* distances;
  int32_t* ids;
  int k;
  int filled;

  __device__ __forceinline__ T& distance(int n) const { return distances[n * kQueries]; }
  __device__ __forceinline__ int32_t& id(int n) const { return ids[n * kQueries]; }
  __device__ __forceinline__ bool comes_before(T d, int32_t i, int n) const {
    return d < distance(n) || (d == distance(n) && i < id(n));
  }
  __device__ __forceinline__ void insert(T d, int32_t i) {
    if (filled == k && !comes_before(d, i, k - 1)) return;
    int at = filled < k ? filled++ : k - 1;
    for (; at > 0 && comes_before(d, i, at - 1); --at) {
      distance(at) = distance(at - 1);
      id(at) = id(at - 1);
    }
    distance(at) = d;
    id(at) = i;
  }
};

// A leaf's points that are nearer than the last of the k; the search's best is that last one.
template <class T, bool kScaled>
__device__ __forceinline__ void visit_many(Search<T, kScaled>& search, List<T>& list, int64_t leaf) {
  const T* const p = search.tree.leaves + leaf * kBlockRow + search.part * kOwn;
  const int query = static_cast<int>(threadIdx.x) % kQueries;
  T distance[kOwn];
  int32_t ids[kOwn];
  bool found = false;
#pragma unroll
  for (int j = 0; j < kOwn; ++j) {
    T d[3];
#pragma unroll
    for (int c = 0; c < 3; ++c) d[c] = sub_rn(search.q[c], Search<T, kScaled>::scaled(__ldg(p + c * kRow + j)));
    distance[j] = add_rn(add_rn(mul_rn(d[0], d[0]), mul_rn(d[1], d[1])), mul_rn(d[2], d[2]));
    ids[j] = __ldg(search.tree.ids + leaf * kRow + search.part * kOwn + j);
    const bool better = distance[j] < search.best || (distance[j] == search.best && ids[j] < search.id);
    if (!better || !(distance[j] < infinity<T>())) distance[j] = infinity<T>();
    found = found || distance[j] < infinity<T>();
  }
  if (!__any_sync(kFullMask, found)) return;
#pragma unroll
  for (int from = 0; from < kParts; ++from) {
#pragma unroll
    for (int j = 0; j < kOwn; ++j) {
      const T d = __shfl_sync(kFullMask, distance[j], from * kQueries + query);
      const int32_t id = __shfl_sync(kFullMask, ids[j], from * kQueries + query);
      if (search.part == 0 && d < infinity<T>()) list.insert(d, id);
    }
  }
  const bool full = list.filled == list.k;  // of the first lane
  const T last = search.part == 0 && full ? list.distance(list.k - 1) : search.best;
  const int32_t last_id = search.part == 0 && full ? list.id(list.k - 1) : search.id;
  search.begin(__shfl_sync(kFullMask, last, query), __shfl_sync(kFullMask, last_id, query));
}

template <class T>
__global__ void __launch_bounds__(kManyThreads) many_kernel(NearestManyParams<T> params,
                                                            const __grid_constant__ Levels levels, int64_t leaves,
                                                            int64_t nodes, int64_t packets) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t packet = int64_t(blockIdx.x) * kManyWarps + warp;
  if (packet >= params.batch * packets) return;
  const int64_t element = packet / packets, place = packet % packets * kQueries + lane % kQueries;
  const int k = static_cast<int>(params.k);
  Reach* const stacks = dynamic_shared<Reach>();
  Reach* const stack = stacks + warp * (levels.top - 1) * kWarp + lane;
  T* const distances = reinterpret_cast<T*>(stacks + kManyThreads * (levels.top - 1));
  int32_t* const ids = reinterpret_cast<int32_t*>(distances + kManyWarps * kQueries * k);
  const int own = warp * kQueries * k + lane % kQueries;
  List<T> list{distances + own, ids + own, k, 0};
  const bool asked = place < params.queries;
  const int64_t start = element * params.queries;
  const int64_t m = start + (!asked ? 0 : params.order != nullptr ? params.order[start + place] : place);
  const bool known = is_length(params.lengths, element, params.points_count) &&
                     params.tree.lowest[(element * nodes + levels.first[levels.top]) * kRow] != kNoTree;
  const int64_t count = length_of(params.lengths, element, params.points_count);
  const int wanted = static_cast<int>(count < k ? count : k);

  Search<T, false> search;
  search.tree = {params.tree.leaves + element * leaves * kBlockRow, params.tree.ids + element * leaves * kRow,
                 params.tree.boxes + element * nodes * 6 * kRow, params.tree.lowest + element * nodes * kRow};
  search.part = lane / kQueries;
  bool active = asked && known;
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    search.q[c] = active ? params.query[3 * m + c] : T(0);
    active = active && is_finite(search.q[c]);
  }
  search.begin(active ? infinity<T>() : T(-1), kNoPoint);
  if (known && wanted > 0) search.run(levels, stack, [&](int64_t leaf) { visit_many(search, list, leaf); });
  const bool leader = lane < kQueries;
  const auto write = [&](int first, bool infinite) {
    for (int n = first; leader && active && n < list.filled; ++n) {
      const int32_t id = list.id(n);
      params.distance[m * k + n] = infinite ? infinity<T>() : list.distance(n);
      params.index[m * k + n] = id >= 0 && id < params.points_count ? id : -1;  // a wrong tree may hold anything
    }
  };
  write(0, false);
  int filled = list.filled;
  const bool overflown = leader && active && filled < wanted;
  if (__any_sync(kFullMask, overflown)) {
    // What is infinitely far follows in the order of smaller numbers, which has the others first.
    const bool again = __shfl_sync(kFullMask, overflown ? 1 : 0, lane % kQueries) != 0;
    Search<T, true> small;
    small.tree = search.tree;
    small.part = search.part;
#pragma unroll
    for (int c = 0; c < 3; ++c) small.q[c] = mul_rn(search.q[c], Shrink<T>::kBy);
    small.begin(again ? infinity<T>() : T(-1), kNoPoint);
    list.filled = 0;
    small.run(levels, stack, [&](int64_t leaf) { visit_many(small, list, leaf); });
    if (overflown) {
      write(filled, true);
      filled = list.filled > filled ? list.filled : filled;
    }
  }
  if (!asked || !leader) return;
  for (int n = active ? filled : 0; n < k; ++n) {
    params.distance[m * k + n] = active ? infinity<T>() : not_a_number<T>();
    params.index[m * k + n] = -1;
  }
}

}  // namespace

template <class T>
Error launch_nearest_many(const NearestManyParams<T>& params, void* stream) {
  const Levels levels(params.points_count);
  const int64_t packets = divide_up(params.queries, kQueries);
  const size_t shared = sizeof(Reach) * kManyThreads * static_cast<size_t>(levels.top - 1) +
                        (sizeof(T) + sizeof(int32_t)) * kManyWarps * kQueries * static_cast<size_t>(params.k);
  return launch(&many_kernel<T>, dim3(static_cast<unsigned>(divide_up(params.batch * packets, kManyWarps))),
                kManyThreads, shared, stream, params, levels, tree_leaves(params.points_count),
                tree_nodes(params.points_count), packets);
}

template Error launch_nearest_many(const NearestManyParams<float>&, void*);
template Error launch_nearest_many(const NearestManyParams<double>&, void*);

}  // namespace twodasl::cuda
