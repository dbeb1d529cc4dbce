// The gradients of closest_point_on_mesh. That of a vertex is a sum over the corners that points have found: see runs.h.
#include "../common/closest.h"
#include "closest.h"
#include "runs.h"

namespace twodasl::cuda {

namespace {

// p - q of a point; false where its triangle is wrong or there is none.
template <class T>
__device__ __forceinline__ bool away_of(const ClosestPointBackwardParams<T>& params, int64_t m, double* away) {
  away[0] = away[1] = away[2] = 0.0;
  const int64_t found = params.triangle[m];
  if (found < 0 || found >= params.triangles_count) return false;
#pragma unroll
  for (int i = 0; i < 3; ++i) {
    const int64_t n = params.triangles[3 * found + i];
    if (n < 0 || n >= params.vertices_count) return false;
  }
  return away_from_triangle(params, m / params.points_count, m, away);
}

// The points' own gradients; and for the vertices' the corners that are sorted, three a point.
template <class T>
__global__ void __launch_bounds__(kRunThreads) point_kernel(ClosestPointBackwardParams<T> params, uint64_t* keys,
                                                            int32_t* values, int point_bits) {
  const int64_t m = int64_t(blockIdx.x) * kRunThreads + threadIdx.x;
  if (m >= params.batch * params.points_count) return;
  double away[3];
  const bool found = away_of(params, m, away);
  if (params.grad_points != nullptr) {
    const double twice = 2.0 * static_cast<double>(params.grad[m]);
    const T alone =
        params.triangle[m] == -1 ? T(0) : Ordered<T>::number(Ordered<T>::kInfinity | Ordered<T>::kInfinity >> 1);
#pragma unroll
    for (int c = 0; c < 3; ++c) {
      params.grad_points[3 * m + c] = found ? static_cast<T>(times(twice, away[c])) : alone;
    }
  }
  if (keys == nullptr) return;
#pragma unroll
  for (int i = 0; i < 3; ++i) {
    const int64_t none = (int64_t(1) << point_bits) - 1, n = found ? params.triangles[3 * params.triangle[m] + i] : none;
    keys[3 * m + i] = static_cast<uint64_t>(m / params.points_count) << point_bits | static_cast<uint64_t>(n);
    values[3 * m + i] = static_cast<int32_t>(3 * (m % params.points_count) + i);
  }
}

template <class T>
struct Corners {
  ClosestPointBackwardParams<T> params;
  const uint64_t* keys;
  const int32_t* values;
  uint32_t mask;
  int64_t count;  // three a point

  __device__ __forceinline__ Sum operator()(int64_t element, int64_t i) const {
    const uint32_t n = static_cast<uint32_t>(keys[element * count + i]) & mask;
    if (n >= static_cast<uint64_t>(params.vertices_count)) return {kDropped, 0.0, 0.0, 0.0};
    const int32_t value = values[element * count + i];
    const int64_t m = element * params.points_count + value / 3;
    double away[3];
    away_of(params, m, away);
    const double factor = times(times(-2.0, static_cast<double>(params.grad[m])),
                                static_cast<double>(params.barycentrics[3 * m + value % 3]));
    return {n, times(factor, away[0]), times(factor, away[1]), times(factor, away[2])};
  }
};

}  // namespace

template <class T>
size_t closest_backward_scratch(int64_t batch, int64_t points, int64_t vertices_count, bool need_vertices) {
  return need_vertices ? RunLayout(batch, 3 * points, vertices_count).bytes : 0;
}

template <class T>
Error launch_closest_backward(const ClosestPointBackwardParams<T>& params, void* scratch, void* stream) {
  const bool sums = params.grad_vertices != nullptr && params.vertices_count > 0;
  if (params.batch == 0) return nullptr;
  Error error = nullptr;
  if (sums) {  // of a vertex that no point has found
    const size_t numbers = static_cast<size_t>(params.batch * params.vertices_count) * 3;
    error = clear(params.grad_vertices, 0, numbers * sizeof(T), stream);
  }
  if (error != nullptr || params.points_count == 0 || (!sums && params.grad_points == nullptr)) return error;
  const int64_t count = 3 * params.points_count;
  const RunLayout layout(params.batch, count, params.vertices_count);
  uint64_t* const keys = sums ? RunLayout::at<uint64_t>(scratch, layout.keys) : nullptr;
  int32_t* const values = sums ? RunLayout::at<int32_t>(scratch, layout.values) : nullptr;
  error = launch(&point_kernel<T>,
                 dim3(static_cast<unsigned>(divide_up(params.batch * params.points_count, kRunThreads))), kRunThreads,
                 0, stream, params, keys, values, layout.point_bits);
  if (error != nullptr || !sums) return error;
  const RunTarget<T> target{params.grad_vertices, params.batch, params.vertices_count};
  return launch_runs(target, count, layout, scratch, stream,
                     [&](const uint64_t* sorted_keys, const int32_t* sorted_values, uint32_t mask) {
                       return Corners<T>{params, sorted_keys, sorted_values, mask, count};
                     });
}

#define TWODASL_INSTANTIATE(T)                                                  \
  template size_t closest_backward_scratch<T>(int64_t, int64_t, int64_t, bool); \
  template Error launch_closest_backward(const ClosestPointBackwardParams<T>&, void*, void*);
TWODASL_INSTANTIATE(float)
TWODASL_INSTANTIATE(double)
#undef TWODASL_INSTANTIATE

}  // namespace twodasl::cuda
