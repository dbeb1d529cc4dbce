// Sums over the threads of a warp or a block, always in the same order.
#pragma once

#include "grid.h"

namespace twodasl::cuda {

// combine() over groups of `Lanes` neighboring lanes of a full warp; every lane gets the result.
template <int Lanes, class T, class Combine>
__device__ __forceinline__ T combine_lanes(T value, const Combine& combine) {
#pragma unroll
  for (int by = Lanes / 2; by > 0; by /= 2) value = combine(value, __shfl_xor_sync(kFullMask, value, by));
  return value;
}

template <int Lanes, class T>
__device__ __forceinline__ T sum_lanes(T value) {
  return combine_lanes<Lanes>(value, [](T a, T b) { return a + b; });
}

// The same over a block of Threads threads, whole warps, through Threads / 32 numbers of shared memory, which must not
// be in use before or after without a barrier; every thread gets the result.
template <int Threads, class T, class Combine>
__device__ __forceinline__ T combine_block(T value, T* shared, const Combine& combine) {
  static_assert(Threads % kWarp == 0);
  value = combine_lanes<kWarp>(value, combine);
  if (threadIdx.x % kWarp == 0) shared[threadIdx.x / kWarp] = value;
  __syncthreads();
  value = shared[0];
#pragma unroll
  for (int warp = 1; warp < Threads / kWarp; ++warp) value = combine(value, shared[warp]);
  return value;
}

}  // namespace twodasl::cuda
