// Marks what both the CPU kernels and the CUDA kernels call.
#pragma once

#if defined(__CUDACC__)
#define TWODASL_HOST_DEVICE __host__ __device__
#else
#define TWODASL_HOST_DEVICE
#endif
