// vertices on a GPU: guard, checks, allocation, parameters, launch.
#include "../cuda/vertices.h"
#include "basis.h"
#include "cuda.h"

namespace twodasl::ops {

namespace {

// Fills `output`: dense, of the right shape and type.
void run_vertices(const Tensor& mean_in, const Tensor& modes_in, int64_t count, const Tensor& coefficients_in,
                  const Tensor& pose_in, const Tensor& output) {
  check_same_device(modes_in, "modes", mean_in);
  check_same_device(coefficients_in, "coefficients", mean_in);
  check_same_device(pose_in, "pose", mean_in);
  const Tensor mean = dense(mean_in), modes = dense(modes_in);
  const Tensor coefficients = dense(coefficients_in), pose = dense(pose_in);
  const int64_t batch = coefficients.size(0), modes_count = coefficients.size(1);
  if (batch == 0 || count == 0) return;
  const OnDevice device(mean);
  with_basis_types(mean, modes, [&](auto type, auto storage) {
    using T = decltype(type);
    using S = decltype(storage);
    const VerticesParams<T, S> params{{in<T>(mean), in<S>(modes), count, modes_count},
                                      in<T>(coefficients),
                                      in<T>(pose),
                                      out<T>(output),
                                      batch};
    check_launch(cuda::launch_vertices(params, device.stream()));
  });
}

Tensor vertices(const Tensor& mean, const Tensor& modes, int64_t count, const Tensor& coefficients,
                const Tensor& pose) {
  check_basis(mean, modes, count, coefficients, pose);
  const Tensor output = empty_like_type({coefficients.size(0), count, 3}, mean);
  run_vertices(mean, modes, count, coefficients, pose, output);
  return output;
}

void vertices_out(const Tensor& mean, const Tensor& modes, int64_t count, const Tensor& coefficients,
                  const Tensor& pose, const Tensor& output) {
  check_basis(mean, modes, count, coefficients, pose);
  check_shape(output, "out", {coefficients.size(0), count, 3});
  check_type(output, "out", mean.scalar_type());
  check_same_device(output, "out", mean);
  STD_TORCH_CHECK(output.is_contiguous(), "twodasl: out is not contiguous");
  run_vertices(mean, modes, count, coefficients, pose, output);
}

}  // namespace

TWODASL_CUDA_LIBRARY(m) {
  m.impl("vertices", TORCH_BOX(&vertices));
  m.impl("vertices_forward", TORCH_BOX(&vertices));
  m.impl("vertices_out", TORCH_BOX(&vertices_out));
}

}  // namespace twodasl::ops
