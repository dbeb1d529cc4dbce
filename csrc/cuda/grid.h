// Every kernel file includes this first: the CUDA language and the one way to launch a kernel. Compiled by nvcc it is
// CUDA; compiled as plain C++ with TWODASL_EMULATED the same names come from tests/cuda/emulator, which runs a grid on
// the CPU. So a kernel file uses nothing of CUDA but what both have:
//
//   threadIdx, blockIdx, blockDim, gridDim, __syncthreads, __syncwarp, __threadfence, the warp's __shfl_*_sync,
//   __ballot_sync, __any_sync, __all_sync, __match_any_sync, integer atomics, __ldg, float2/4, double2, int2/4 and their
//   make_*, __ldcg, __stcs of a float4, __popc, __ffs, __clz, and below: launch, TWODASL_SHARED, dynamic_shared, mul_rn,
//   add_rn.
//
// Static shared arrays are declared through TWODASL_SHARED, so that the emulator can give each block fresh ones of
// exactly their size. No inline PTX but that of tensor.h, no cooperative groups, no __activemask.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(TWODASL_EMULATED)
#include "emulator.h"
#else
#include <cuda_runtime.h>
#endif

namespace twodasl::cuda {

// What a launch returns: null, or the runtime's error message. Kernels' own headers take the stream as void*, so
// that the code above includes nothing of CUDA.
using Error = const char*;

inline constexpr int kWarp = 32;
inline constexpr unsigned kFullMask = 0xffffffffu;

inline constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Of the current device, for choosing tiles: see multiprocessors.cu.
int multiprocessors();

#if !defined(TWODASL_EMULATED)

#define TWODASL_SHARED(type, name, count) __shared__ type name[count]

// The block's shared memory whose size the launch gave, 16-byte aligned.
template <class T>
__device__ __forceinline__ T* dynamic_shared() {
  extern __shared__ __align__(16) unsigned char twodasl_dynamic_shared[];
  return reinterpret_cast<T*>(twodasl_dynamic_shared);
}

// Starts `kernel` on torch's current stream. An empty grid is no launch. Arguments are converted to the kernel's own
// types before they are handed over.
template <class... Parameters, class... Arguments>
Error launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared, void* stream,
             Arguments&&... arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments), "one argument for each of the kernel's parameters");
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return nullptr;
  cudaError_t error = cudaSuccess;
  constexpr size_t kWithoutAsking = 48 * 1024;
  if (shared > kWithoutAsking) {
    error = cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 static_cast<int>(shared));
  }
  if (error == cudaSuccess) {
    const auto start = [&](Parameters... parameters) {
      void* pointers[] = {const_cast<void*>(static_cast<const void*>(&parameters))..., nullptr};
      return cudaLaunchKernel(reinterpret_cast<const void*>(kernel), grid, block, pointers, shared,
                              static_cast<cudaStream_t>(stream));
    };
    error = start(static_cast<Parameters>(arguments)...);
  }
  if (error == cudaSuccess) return nullptr;
  cudaGetLastError();  // it has been reported
  return cudaGetErrorString(error);
}

inline Error clear(void* data, int value, size_t bytes, void* stream) {
  const cudaError_t error = cudaMemsetAsync(data, value, bytes, static_cast<cudaStream_t>(stream));
  if (error == cudaSuccess) return nullptr;
  cudaGetLastError();  // it has been reported
  return cudaGetErrorString(error);
}

// A limit of the current device; the default where it cannot be queried.
inline size_t shared_limit() {
  int device = 0, bytes = 0;
  if (cudaGetDevice(&device) != cudaSuccess) return 48 * 1024;
  return cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) == cudaSuccess && bytes > 0
             ? static_cast<size_t>(bytes)
             : 48 * 1024;
}

// One rounding each, never contracted to a fused multiply-add.
__device__ __forceinline__ float mul_rn(float a, float b) { return __fmul_rn(a, b); }
__device__ __forceinline__ float add_rn(float a, float b) { return __fadd_rn(a, b); }
__device__ __forceinline__ float sub_rn(float a, float b) { return __fsub_rn(a, b); }
__device__ __forceinline__ double mul_rn(double a, double b) { return __dmul_rn(a, b); }
__device__ __forceinline__ double add_rn(double a, double b) { return __dadd_rn(a, b); }
__device__ __forceinline__ double sub_rn(double a, double b) { return __dsub_rn(a, b); }

#endif

}  // namespace twodasl::cuda
