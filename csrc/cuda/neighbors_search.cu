// The search: warps of eight queries, from a hint or from nothing, and once more with smaller numbers where all
// distances overflow. See neighbors_descent.h.
#include "../common/icp_params.h"
#include "neighbors_descent.h"

namespace twodasl::cuda {

namespace {

constexpr int kWarps = 4;  // of a block
constexpr int kThreads = kWarps * kWarp;

// Where a pose takes a point: in double precision, rounded once.
template <class T>
__device__ __forceinline__ void move_point(const double* pose, T (&point)[3]) {
  const double x = point[0], y = point[1], z = point[2], s = pose[12];
#pragma unroll
  for (int r = 0; r < 3; ++r) {
    point[r] = static_cast<T>(s * pose[3 * r] * x + s * pose[3 * r + 1] * y + s * pose[3 * r + 2] * z + pose[9 + r]);
  }
}

// kMoved: `pose` (B, 13) moves the queries first.
template <class T, bool kMoved>
__global__ void __launch_bounds__(kThreads, sizeof(T) == 4 ? 8 : 5)
    nearest_kernel(NearestParams<T> params, const double* pose, const __grid_constant__ Levels levels, int64_t leaves,
                   int64_t nodes, int64_t packets) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t packet = int64_t(blockIdx.x) * kWarps + warp;
  if (packet >= params.batch * packets) return;
  const int64_t element = packet / packets, place = packet % packets * kQueries + lane % kQueries;
  Reach* const stack = dynamic_shared<Reach>() + warp * (levels.top - 1) * kWarp + lane;
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
  bool active = real && searched;
#pragma unroll
  for (int c = 0; c < 3; ++c) search.q[c] = active ? params.query[3 * (m + number) + c] : T(0);
  if constexpr (kMoved) {
    if (active) move_point(pose + kPoseNumbers * element, search.q);
  }
#pragma unroll
  for (int c = 0; c < 3; ++c) active = active && is_finite(search.q[c]);
  search.begin(active ? infinity<T>() : T(-1), kNoPoint);
  if (active && params.hint != nullptr) {
    const int64_t hint = params.hint[m + number];
    if (hint >= 0 && hint < length_of(params.lengths, element, params.points_count)) {
      const T* const p = params.points + 3 * (element * params.points_count + hint);
      const T dx = sub_rn(search.q[0], p[0]), dy = sub_rn(search.q[1], p[1]), dz = sub_rn(search.q[2], p[2]);
      const T distance = add_rn(add_rn(mul_rn(dx, dx), mul_rn(dy, dy)), mul_rn(dz, dz));
      if (distance < infinity<T>()) search.begin(distance, static_cast<int32_t>(hint));
    }
  }
  if (searched) search.run(levels, stack);
  const bool overflown = active && search.best == infinity<T>();
  if (__any_sync(kFullMask, overflown)) {
    Search<T, true> small;
    small.tree = search.tree;
    small.part = search.part;
#pragma unroll
    for (int c = 0; c < 3; ++c) small.q[c] = mul_rn(search.q[c], Shrink<T>::kBy);
    small.begin(overflown ? infinity<T>() : T(-1), kNoPoint);
    small.run(levels, stack);
    if (overflown) search.id = small.id;
  }
  if (asked && lane < kQueries) {
    const bool answered = active && search.id >= 0 && search.id < params.points_count;  // a wrong tree may hold anything
    params.distance[m + number] = !real ? T(0) : answered ? search.best : not_a_number<T>();
    params.index[m + number] = answered ? search.id : -1;
  }
}

template <class T, bool kMoved>
Error search(const NearestParams<T>& params, const double* pose, void* stream) {
  const Levels levels(params.points_count);
  const int64_t packets = divide_up(params.queries, kQueries);
  const size_t shared = sizeof(Reach) * kThreads * static_cast<size_t>(levels.top - 1);
  return launch(&nearest_kernel<T, kMoved>, dim3(static_cast<unsigned>(divide_up(params.batch * packets, kWarps))),
                kThreads, shared, stream, params, pose, levels, tree_leaves(params.points_count),
                tree_nodes(params.points_count), packets);
}

}  // namespace

template <class T>
Error launch_nearest(const NearestParams<T>& params, void* stream) {
  return search<T, false>(params, nullptr, stream);
}

template <class T>
Error launch_nearest_moved(const NearestParams<T>& params, const double* pose, void* stream) {
  return search<T, true>(params, pose, stream);
}

#define TWODASL_INSTANTIATE(T)                                  \
  template Error launch_nearest(const NearestParams<T>&, void*); \
  template Error launch_nearest_moved(const NearestParams<T>&, const double*, void*);
TWODASL_INSTANTIATE(float)
TWODASL_INSTANTIATE(double)
#undef TWODASL_INSTANTIATE

}  // namespace twodasl::cuda
