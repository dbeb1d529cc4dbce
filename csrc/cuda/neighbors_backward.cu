// The gradients of nearest_neighbors. That of a point is a sum over its queries: see runs.h.
#include "neighbors.h"
#include "runs.h"

namespace twodasl::cuda {

namespace {

// The queries' own gradients; and for the points' the pairs that are sorted.
template <class T>
__global__ void __launch_bounds__(kRunThreads) query_kernel(NearestBackwardParams<T> params, uint64_t* keys,
                                                            int32_t* values, int point_bits) {
  const int64_t m = int64_t(blockIdx.x) * kRunThreads + threadIdx.x;
  if (m >= params.batch * params.queries) return;
  const int64_t element = m / params.queries, n = params.index[m];
  const bool paired = n >= 0 && n < params.points_count;
  if (params.grad_query != nullptr) {
    const T twice = params.grad[m] + params.grad[m];
    const T* const q = params.query + 3 * m;
    const T* const p = params.points + 3 * (element * params.points_count + (paired ? n : 0));
    const T alone = n == -1 ? T(0) : Ordered<T>::number(Ordered<T>::kInfinity | Ordered<T>::kInfinity >> 1);
#pragma unroll
    for (int c = 0; c < 3; ++c) {
      params.grad_query[3 * m + c] = paired ? twice * (q[c] - p[c]) : alone;
    }
  }
  if (keys != nullptr) {
    keys[m] = static_cast<uint64_t>(element) << point_bits |
              static_cast<uint64_t>(paired ? n : (int64_t(1) << point_bits) - 1);
    values[m] = static_cast<int32_t>(m % params.queries);
  }
}

// Entry i of an element's list: on the first level a sorted pair, above it a sum from below.
template <class T>
struct Pairs {
  NearestBackwardParams<T> params;
  const uint64_t* keys;
  const int32_t* values;
  uint32_t mask;
  int64_t count;

  __device__ __forceinline__ Sum operator()(int64_t element, int64_t i) const {
    const uint32_t n = static_cast<uint32_t>(keys[element * count + i]) & mask;
    if (n >= static_cast<uint64_t>(params.points_count)) return {kDropped, 0.0, 0.0, 0.0};
    const int64_t m = element * count + values[element * count + i];
    const T* const q = params.query + 3 * m;
    const T* const p = params.points + 3 * (element * params.points_count + n);
    const T twice = params.grad[m] + params.grad[m];
    return {n, -static_cast<double>(twice * (q[0] - p[0])), -static_cast<double>(twice * (q[1] - p[1])),
            -static_cast<double>(twice * (q[2] - p[2]))};
  }
};
}  // namespace

template <class T>
size_t nearest_backward_scratch(int64_t batch, int64_t queries, int64_t points_count, bool need_points) {
  return need_points ? RunLayout(batch, queries, points_count).bytes : 0;
}

template <class T>
Error launch_nearest_backward(const NearestBackwardParams<T>& params, void* scratch, void* stream) {
  const bool sums = params.grad_points != nullptr && params.points_count > 0;
  if (params.batch == 0) return nullptr;
  Error error = nullptr;
  if (sums) {  // of a point that is nearest to no query
    const size_t numbers = static_cast<size_t>(params.batch * params.points_count) * 3;
    error = clear(params.grad_points, 0, numbers * sizeof(T), stream);
  }
  if (error != nullptr || params.queries == 0 || (!sums && params.grad_query == nullptr)) return error;
  const RunLayout layout(params.batch, params.queries, params.points_count);
  uint64_t* const keys = sums ? RunLayout::at<uint64_t>(scratch, layout.keys) : nullptr;
  int32_t* const values = sums ? RunLayout::at<int32_t>(scratch, layout.values) : nullptr;
  const int64_t all = params.batch * params.queries;
  error = launch(&query_kernel<T>, dim3(static_cast<unsigned>(divide_up(all, kRunThreads))), kRunThreads, 0, stream,
                 params, keys, values, layout.point_bits);
  if (error != nullptr || !sums) return error;
  const RunTarget<T> target{params.grad_points, params.batch, params.points_count};
  return launch_runs(target, params.queries, layout, scratch, stream,
                     [&](const uint64_t* sorted_keys, const int32_t* sorted_values, uint32_t mask) {
                       return Pairs<T>{params, sorted_keys, sorted_values, mask, params.queries};
                     });
}

#define TWODASL_INSTANTIATE(T)                                                          \
  template size_t nearest_backward_scratch<T>(int64_t, int64_t, int64_t, bool);         \
  template Error launch_nearest_backward(const NearestBackwardParams<T>&, void*, void*);
TWODASL_INSTANTIATE(float)
TWODASL_INSTANTIATE(double)
#undef TWODASL_INSTANTIATE

}  // namespace twodasl::cuda
