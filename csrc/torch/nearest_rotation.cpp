// nearest_rotation: checks, allocation, and the launch on the device that this is compiled for.
#include "device.h"

#if defined(TWODASL_FOR_CUDA)
#include "../cuda/rotation.h"
#else
#include "../common/rotation.h"
#endif

namespace twodasl::ops {

namespace {

template <class T>
void launch(const T* matrices, T* rotations, int64_t batch, [[maybe_unused]] const OnDevice& device) {
#if defined(TWODASL_FOR_CUDA)
  check_launch(cuda::launch_nearest_rotations(matrices, rotations, batch, device.stream()));
#else
  torch::stable::parallel_for(0, batch, grain(1000), [&](int64_t begin, int64_t end) {
    nearest_rotations(matrices, rotations, begin, end);
  });
#endif
}

Tensor nearest_rotation(const Tensor& matrices_in) {
  check_shape(matrices_in, "matrices", {-1, 3, 3});
  const OnDevice device(matrices_in);
  const Tensor matrices = dense(matrices_in);
  const int64_t batch = matrices.size(0);
  const Tensor rotations = empty_like_type({batch, 3, 3}, matrices);
  with_number(matrices, "matrices", [&](auto number) {
    using T = decltype(number);
    launch(in<T>(matrices), out<T>(rotations), batch, device);
  });
  return rotations;
}

}  // namespace

TWODASL_OPERATORS(m) { m.impl("nearest_rotation", TORCH_BOX(&nearest_rotation)); }

}  // namespace twodasl::ops
