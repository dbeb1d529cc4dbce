// nearest_rotation: one thread per matrix. The time is the latency of double-precision divisions and roots, so the
// blocks are single warps, which spread a batch over as many multiprocessors as possible.
#include "rotation.h"

#include "../common/rotation.h"
#include "grid.h"

namespace twodasl::cuda {

namespace {

template <class T>
__global__ void __launch_bounds__(kWarp) rotation_kernel(const T* matrices, T* rotations, int64_t batch) {
  const int64_t i = int64_t(blockIdx.x) * kWarp + threadIdx.x;
  if (i < batch) nearest_rotations(matrices, rotations, i, i + 1);
}

}  // namespace

template <class T>
Error launch_nearest_rotations(const T* matrices, T* rotations, int64_t batch, void* stream) {
  return launch(&rotation_kernel<T>, static_cast<unsigned>(divide_up(batch, kWarp)), kWarp, 0, stream, matrices,
                rotations, batch);
}

template Error launch_nearest_rotations(const float*, float*, int64_t, void*);
template Error launch_nearest_rotations(const double*, double*, int64_t, void*);

}  // namespace twodasl::cuda
