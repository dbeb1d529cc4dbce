// The search: warps of eight points go down the tree as in neighbors_search.cu; a lane measures four of a leaf's triangles.
#include "../common/closest.h"
#include "closest.h"
#include "neighbors_descent.h"

namespace twodasl::cuda {

namespace {

constexpr int kClosestWarps = 4;  // of a block
constexpr int kClosestThreads = kClosestWarps * kWarp;

// A lane's triangles of a leaf, those whose boxes are near enough.
template <class T>
__device__ __forceinline__ void visit_triangles(Search<T, false>& search, int64_t leaf) {
  const T* const x = search.tree.leaves + leaf * kTriangleRow + search.part * kOwn;
  const int32_t* const ids = search.tree.ids + leaf * kRow + search.part * kOwn;
#pragma unroll 1
  for (int j = 0; j < kOwn; ++j) {
    const int32_t id = __ldg(ids + j);
    if (id == kNoPoint) break;  // the last leaf's padding
    double corner[3][3], point[3];
    T low[3], high[3], bound = T(0);
#pragma unroll
    for (int c = 0; c < 3; ++c) {
      const T a = __ldg(x + c * kRow + j), b = __ldg(x + (3 + c) * kRow + j), e = __ldg(x + (6 + c) * kRow + j);
      corner[0][c] = static_cast<double>(a);
      corner[1][c] = static_cast<double>(b);
      corner[2][c] = static_cast<double>(e);
      point[c] = static_cast<double>(search.q[c]);
      low[c] = least(least(a, b), e);
      high[c] = most(most(a, b), e);
      const T d = Search<T, false>::apart(low[c], high[c], search.q[c]);
      bound = c == 0 ? mul_rn(d, d) : add_rn(bound, mul_rn(d, d));
    }
    if (!(bound < search.best || (bound == search.best && id < search.id))) continue;
    TriangleTerms<double> terms;
    set_terms(corner, terms);
    const Closest<double> found = closest_point(terms, point);
    T distance = T(0);
#pragma unroll
    for (int c = 0; c < 3; ++c) {
      const T d = clamp_away(found.away[c], sub_rn(search.q[c], high[c]), sub_rn(search.q[c], low[c]));
      distance = c == 0 ? mul_rn(d, d) : add_rn(distance, mul_rn(d, d));
    }
    search.offer(distance, id);
  }
  __syncwarp();
  search.join();
}

// Where in its triangle the point is.
template <class T>
__device__ __forceinline__ void locate(const ClosestPointParams<T>& params, int64_t element, int64_t m, const T* at,
                                       int64_t found) {
  const T* const vertices = params.vertices + 3 * element * params.vertices_count;
  const int64_t* const triangle = params.triangles + 3 * found;
  const double scale = params.scale[element];
  double corner[3][3], place[3], point[3];
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    point[c] = static_cast<double>(at[c]);
#pragma unroll
    for (int i = 0; i < 3; ++i) {
      corner[i][c] = static_cast<double>(scaled_vertex(vertices[3 * triangle[i] + c], scale));
    }
  }
  sort_corners(corner, place);
  TriangleTerms<double> terms;
  set_terms(corner, terms);
  const Closest<double> closest = closest_point(terms, point);
  T low[3], high[3];
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    low[c] = static_cast<T>(least(least(corner[0][c], corner[1][c]), corner[2][c]));
    high[c] = static_cast<T>(most(most(corner[0][c], corner[1][c]), corner[2][c]));
    params.barycentrics[3 * m + static_cast<int>(place[c])] = static_cast<T>(closest.weight[c]);
  }
  params.distance[m] = unscaled_square(closest.away, at, low, high, scale, params.points + 3 * m,
                                       vertices + 3 * triangle[0]);
  params.triangle[m] = found;
}

template <class T>
__global__ void __launch_bounds__(kClosestThreads) closest_kernel(ClosestPointParams<T> params,
                                                                  const __grid_constant__ Levels levels, int64_t leaves,
                                                                  int64_t nodes, int64_t packets) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t packet = int64_t(blockIdx.x) * kClosestWarps + warp;
  if (packet >= params.batch * packets) return;
  const int64_t element = packet / packets, place = packet % packets * kQueries + lane % kQueries;
  Reach* const stack = dynamic_shared<Reach>() + warp * (levels.top - 1) * kWarp + lane;
  const bool asked = place < params.points_count;
  const int64_t start = element * params.points_count;
  const int64_t m = start + (!asked ? 0 : params.order != nullptr ? params.order[start + place] : place);
  const bool searched = params.tree.lowest[(element * nodes + levels.first[levels.top]) * kRow] != kNoTree;

  Search<T, false> search;
  search.tree = {params.tree.leaves + element * leaves * kTriangleRow, params.tree.ids + element * leaves * kRow,
                 params.tree.boxes + element * nodes * 6 * kRow, params.tree.lowest + element * nodes * kRow};
  search.part = lane / kQueries;
  bool active = asked && searched;
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    const T x = active ? params.points[3 * m + c] : T(0);
    active = active && is_finite(x);
    search.q[c] = active ? scaled_point(x, params.scale[element]) : T(0);
  }
  search.begin(active ? infinity<T>() : T(-1), kNoPoint);
  if (searched) search.run(levels, stack, [&](int64_t leaf) { visit_triangles(search, leaf); });
  if (!asked || lane >= kQueries) return;
  if (active) {
    // All triangles are as far where a distance overflows.
    locate(params, element, m, search.q, search.best < infinity<T>() ? search.id : 0);
  } else {
    params.distance[m] = not_a_number<T>();
    params.triangle[m] = -1;
#pragma unroll
    for (int c = 0; c < 3; ++c) params.barycentrics[3 * m + c] = not_a_number<T>();
  }
}

}  // namespace

template <class T>
Error launch_closest(const ClosestPointParams<T>& params, void* stream) {
  const Levels levels(params.triangles_count);
  const int64_t packets = divide_up(params.points_count, kQueries);
  const size_t shared = sizeof(Reach) * kClosestThreads * static_cast<size_t>(levels.top - 1);
  return launch(&closest_kernel<T>, dim3(static_cast<unsigned>(divide_up(params.batch * packets, kClosestWarps))),
                kClosestThreads, shared, stream, params, levels, tree_leaves(params.triangles_count),
                tree_nodes(params.triangles_count), packets);
}

template Error launch_closest(const ClosestPointParams<float>&, void*);
template Error launch_closest(const ClosestPointParams<double>&, void*);

}  // namespace twodasl::cuda
