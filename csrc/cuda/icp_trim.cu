// The threshold of trimming: the rank-th smallest squared distance of every element, by its bits, a digit a pass; see
// icp.h. Counts are integers, so the order of the threads does not matter. One block an element: the distances of a
// face fit in the second-level cache, and three passes of it over them are one launch instead of six.
#include <cmath>

#include "icp_passes.h"

namespace twodasl::cuda {

namespace {

constexpr int kTrimThreads = 1024;
constexpr int kDigit = 11;
constexpr int kBins = 1 << kDigit;
constexpr int kBinsEach = kBins / kTrimThreads;

// Distances are not negative, so their bits order them, and NaN after everything.
__device__ __forceinline__ unsigned key_of(float x) { return __float_as_uint(x) & 0x7fffffffu; }
__device__ __forceinline__ unsigned long long key_of(double x) {
  return static_cast<unsigned long long>(__double_as_longlong(x)) & 0x7fffffffffffffffull;
}
__device__ __forceinline__ float value_of(unsigned key) { return __uint_as_float(key); }
__device__ __forceinline__ double value_of(unsigned long long key) {
  return __longlong_as_double(static_cast<long long>(key));
}

template <class T>
__global__ void __launch_bounds__(kTrimThreads) trim_kernel(IcpUpdateParams<T> params) {
  using Key = decltype(key_of(T(0)));
  TWODASL_SHARED(int, histogram, kBins);
  TWODASL_SHARED(int, warp_totals, kWarp);
  TWODASL_SHARED(int, found, 2);  // the digit, and how many are below it
  const int64_t element = blockIdx.x;
  const int64_t count = params.counts[element] < params.source_count ? params.counts[element] : params.source_count;
  if (count <= 0) return;
  const int64_t kept = static_cast<int64_t>(std::ceil((1.0 - params.trim) * static_cast<double>(count)));
  int64_t rank = (kept < 1 ? 1 : kept > count ? count : kept) - 1;
  const T* squared = params.squared + element * params.source_count;
  const int thread = int(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp;
  Key prefix = 0;
  for (int left = int(8 * sizeof(T)) - 1; left > 0;) {  // bits that are still open; none is the sign
    const int shift = left > kDigit ? left - kDigit : 0;
    for (int i = thread; i < kBins; i += kTrimThreads) histogram[i] = 0;
    __syncthreads();
#pragma unroll 8
    for (int64_t i = thread; i < count; i += kTrimThreads) {
      const Key key = key_of(squared[i]);
      if (key >> left == prefix) atomicAdd(&histogram[static_cast<int>(key >> shift) & (kBins - 1)], 1);
    }
    __syncthreads();
    // The digit in which the rank lies: where the running count passes it.
    int own[kBinsEach], total = 0;
#pragma unroll
    for (int i = 0; i < kBinsEach; ++i) total += own[i] = histogram[thread * kBinsEach + i];
    int below = total;
#pragma unroll
    for (int by = 1; by < kWarp; by *= 2) {
      const int other = __shfl_up_sync(kFullMask, below, by);
      if (lane >= by) below += other;
    }
    if (lane == kWarp - 1) warp_totals[warp] = below;
    __syncthreads();
    for (int i = 0; i < warp; ++i) below += warp_totals[i];
    below -= total;
#pragma unroll
    for (int i = 0; i < kBinsEach; ++i) {
      if (rank >= below && rank < below + own[i]) {
        found[0] = thread * kBinsEach + i;
        found[1] = below;
      }
      below += own[i];
    }
    __syncthreads();
    // The last pass may have fewer bits than a digit: those above its `left` are the prefix's.
    const int width = left - shift;
    prefix = prefix << width | static_cast<Key>(found[0] & ((1 << width) - 1));
    rank -= found[1];
    left = shift;
  }
  if (thread == 0) params.threshold[element] = value_of(prefix);
}

}  // namespace

template <class T>
Error launch_icp_trim(const IcpUpdateParams<T>& params, void* stream) {
  if (!(params.trim > 0.0)) return nullptr;
  return launch(&trim_kernel<T>, static_cast<unsigned>(params.batch), kTrimThreads, 0, stream, params);
}

template Error launch_icp_trim(const IcpUpdateParams<float>&, void*);
template Error launch_icp_trim(const IcpUpdateParams<double>&, void*);

}  // namespace twodasl::cuda
