// The packed modes' storage formats in the arithmetic's.
#pragma once

#include "../common/params.h"
#include "grid.h"

#if !defined(TWODASL_EMULATED)
#include <cuda_fp16.h>
#endif

namespace twodasl::cuda {

__device__ __forceinline__ float widen(float x) { return x; }
__device__ __forceinline__ double widen(double x) { return x; }
__device__ __forceinline__ float widen(BFloat16 x) { return __uint_as_float(static_cast<unsigned>(x.bits) << 16); }

#if defined(TWODASL_EMULATED)
inline float widen(Float16 x) {
  const unsigned sign = (x.bits & 0x8000u) << 16, exponent = x.bits >> 10 & 31u, fraction = x.bits & 1023u;
  if (exponent == 31u) return __uint_as_float(sign | 0x7f800000u | fraction << 13);
  if (exponent != 0u) return __uint_as_float(sign | (exponent + 112u) << 23 | fraction << 13);
  const float magnitude = static_cast<float>(fraction) * 0x1p-24f;  // zero or subnormal: exact
  return sign != 0u ? -magnitude : magnitude;
}
#else
__device__ __forceinline__ float widen(Float16 x) { return __half2float(__ushort_as_half(x.bits)); }
#endif

}  // namespace twodasl::cuda
