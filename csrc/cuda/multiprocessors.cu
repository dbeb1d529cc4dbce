// For how many multiprocessors a launch chooses its tiles.
#include "grid.h"

// 0: those of the current device. A test sets another number, and so reaches every kernel with few vertices, or in the
// emulator those that a large GPU would choose. No choice changes a bit of a result.
extern "C" __attribute__((visibility("default"))) int twodasl_multiprocessors;
int twodasl_multiprocessors = 0;

namespace twodasl::cuda {

#if defined(TWODASL_EMULATED)

int multiprocessors() {
  return twodasl_multiprocessors > 0 ? twodasl_multiprocessors : 4;  // few, so that small tests have several waves
}

#else

int multiprocessors() {
  if (twodasl_multiprocessors > 0) return twodasl_multiprocessors;
  constexpr int kUnknown = 108;
  int device = 0, count = 0;
  if (cudaGetDevice(&device) == cudaSuccess &&
      cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device) == cudaSuccess && count > 0) {
    return count;
  }
  cudaGetLastError();  // the launch that follows has its own
  return kUnknown;
}

#endif

}  // namespace twodasl::cuda
