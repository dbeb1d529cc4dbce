// Tensor cores and copies that run beside the program (compute capability 8.0 and newer), the only inline PTX here. The
// emulator has the same names. Code for older GPUs is compiled and stops if it is ever called: see tensor_cores.cu.
#pragma once

#include "grid.h"

namespace twodasl::cuda {

// Whether `vertices` multiplies on tensor cores on the current device. An error if that was asked for and cannot be.
Error tensor_cores(bool* chosen);

#if defined(TWODASL_EMULATED)

inline constexpr bool kHasTensorCores = true;
using emulator::commit_copies;
using emulator::copy_async;
using emulator::multiply_add;
using emulator::wait_copies;

#else

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
inline constexpr bool kHasTensorCores = false;
#define TWODASL_PTX(...) __trap()
#else
inline constexpr bool kHasTensorCores = true;
#define TWODASL_PTX(...) asm volatile(__VA_ARGS__)
#endif

// d += a b for a warp: 16 x 8, of a (16 x 8) and b (8 x 8) in tf32, whose lowest 13 bits are zero. Lane l has of a rows
// l / 4 and l / 4 + 8 in columns l % 4 (first two numbers) and l % 4 + 4; of b column l / 4 in rows l % 4 and l % 4 + 4;
// of d row l / 4 in columns 2 (l % 4) and the next, then row l / 4 + 8.
__device__ __forceinline__ void multiply_add(float (&d)[4], const float (&a)[4], const float (&b)[2]) {
  TWODASL_PTX(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])),
        "r"(__float_as_uint(a[3])), "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
}

// Begins to copy 4 or 16 bytes, aligned on both sides, from global to shared memory; zeros if not `real`, and then
// nothing is read. commit_copies() closes a group of a thread's copies, wait_copies<n>() waits until at most its n
// last groups are under way. Others see them after a barrier that follows.
template <int Bytes>
__device__ __forceinline__ void copy_async(void* to, const void* from, bool real) {
  static_assert(Bytes == 4 || Bytes == 16, "what cp.async has");
  [[maybe_unused]] const unsigned shared = static_cast<unsigned>(__cvta_generic_to_shared(to));
  if constexpr (Bytes == 16) {
    TWODASL_PTX("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(from), "r"(real ? 16 : 0)
                : "memory");
  } else {
    TWODASL_PTX("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared), "l"(from), "r"(real ? 4 : 0)
                : "memory");
  }
}
__device__ __forceinline__ void commit_copies() { TWODASL_PTX("cp.async.commit_group;" ::: "memory"); }
template <int Pending>
__device__ __forceinline__ void wait_copies() {
  TWODASL_PTX("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}

#undef TWODASL_PTX

#endif

// x = high + low + e, both with eight bits of exponent and eleven of significand, as tf32 has: the high part is the
// nearest such number (halves away from zero), so that |low| <= 2^-11 |x|; of its at most twelve bits the last may be
// cut: |e| <= 2^-23 |x|. NaN stays NaN in `low`, and so becomes what is not finite, or rounds to that.
__device__ __forceinline__ void split(float x, float& high, float& low) {
  high = __uint_as_float((__float_as_uint(x) + 0x1000u) & 0xffffe000u);
  low = __uint_as_float(__float_as_uint(x - high) & 0xffffe000u);
}

}  // namespace twodasl::cuda
