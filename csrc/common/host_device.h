// Marks functions that both the CPU and the CUDA kernels call.
#pragma once

#if defined(__CUDACC__)
#define TWODASL_HOST_DEVICE __host__ __device__
#else
#define TWODASL_HOST_DEVICE
#endif

// A loop whose index picks registers: on a GPU an array that a variable indexes would live in memory.
#if defined(__CUDA_ARCH__)
#define TWODASL_UNROLL _Pragma("unroll")
#else
#define TWODASL_UNROLL
#endif
