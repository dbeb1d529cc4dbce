// nearest_rotation on a GPU: guard, checks, allocation, launch.
#include "../cuda/rotation.h"
#include "basis.h"
#include "cuda.h"

namespace twodasl::ops {

namespace {

Tensor nearest_rotation(const Tensor& matrices_in) {
  check_shape(matrices_in, "matrices", {-1, 3, 3});
  const OnDevice device(matrices_in);
  const Tensor matrices = dense(matrices_in);
  const int64_t batch = matrices.size(0);
  const Tensor rotations = empty_like_type({batch, 3, 3}, matrices);
  with_number(matrices, "matrices", [&](auto number) {
    using T = decltype(number);
    check_launch(cuda::launch_nearest_rotations(in<T>(matrices), out<T>(rotations), batch, device.stream()));
  });
  return rotations;
}

}  // namespace

TWODASL_CUDA_LIBRARY(m) { m.impl("nearest_rotation", TORCH_BOX(&nearest_rotation)); }

}  // namespace twodasl::ops
