// Whether the driver knows the CUDA that the kernels were compiled with, before any of them is launched.
#include "grid.h"

#if !defined(TWODASL_EMULATED)

// As CUDA counts versions: 13000 is 13.0. The runtime's is that of the nvcc which built this; the driver's is the newest
// that it knows, 0 where there is none. Starts nothing on a GPU.
extern "C" __attribute__((visibility("default"))) void twodasl_cuda_versions(int* runtime, int* driver) {
  if (cudaRuntimeGetVersion(runtime) != cudaSuccess) *runtime = 0;
  if (cudaDriverGetVersion(driver) != cudaSuccess) *driver = 0;
  cudaGetLastError();  // an old driver is told of in Python
}

#endif
