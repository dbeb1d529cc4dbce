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
  const OnDevice device(mean_in);
  const Tensor mean = dense(mean_in), modes = dense(modes_in);
  const Tensor coefficients = dense(coefficients_in), pose = dense(pose_in);
  const int64_t batch = coefficients.size(0), modes_count = coefficients.size(1);
  if (batch == 0 || count == 0) return;
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

// `posed` is the forward's result, which saves synthesising the shapes again, or nothing.
std::tuple<Tensor, Tensor> vertices_backward(const Tensor& grad, const Tensor& mean_in, const Tensor& modes_in,
                                             const Tensor& coefficients_in, const Tensor& pose_in,
                                             std::optional<Tensor> posed, bool need_coefficients, bool need_pose) {
  const int64_t count = check_backward(grad, mean_in, modes_in, coefficients_in, pose_in, posed);
  check_same_device(grad, "grad", mean_in);
  check_same_device(modes_in, "modes", mean_in);
  check_same_device(coefficients_in, "coefficients", mean_in);
  check_same_device(pose_in, "pose", mean_in);
  if (posed.has_value()) check_same_device(*posed, "posed", mean_in);
  const OnDevice device(mean_in);
  const Tensor mean = dense(mean_in), modes = dense(modes_in);
  const Tensor coefficients = dense(coefficients_in), pose = dense(pose_in);
  if (posed.has_value()) posed = dense(*posed);
  const int64_t batch = coefficients.size(0), modes_count = coefficients.size(1);
  Tensor grad_coefficients = empty_like_type({need_coefficients ? batch : 0, modes_count}, mean);
  Tensor grad_pose = empty_like_type({need_pose ? batch : 0, 3, 4}, mean);
  if (batch == 0 || !(need_coefficients || need_pose)) return {grad_coefficients, grad_pose};
  with_basis_types(mean, modes, [&](auto type, auto storage) {
    using T = decltype(type);
    using S = decltype(storage);
    const Tensor partial = empty_like_type({cuda::gradient_scratch(count, modes_count, batch)}, mean);
    VerticesBackwardParams<T, S> params{};
    params.basis = {in<T>(mean), in<S>(modes), count, modes_count};
    params.coefficients = in<T>(coefficients);
    params.pose = in<T>(pose);
    params.grad = grad_view<T>(grad);
    params.vertices = need_pose && posed.has_value() ? in<T>(*posed) : nullptr;
    params.partial = out<T>(partial);
    params.batch = batch;
    params.need_coefficients = need_coefficients;
    params.need_pose = need_pose;
    check_launch(cuda::launch_vertices_backward(params, need_coefficients ? out<T>(grad_coefficients) : nullptr,
                                                need_pose ? out<T>(grad_pose) : nullptr, device.stream()));
  });
  return {grad_coefficients, grad_pose};
}

std::tuple<Tensor, Tensor> vertices_backward_basis(const Tensor& grad, const Tensor& coefficients_in,
                                                   const Tensor& pose_in, bool need_mean, bool need_modes) {
  check_backward_basis(grad, coefficients_in, pose_in);
  check_same_device(coefficients_in, "coefficients", grad);
  check_same_device(pose_in, "pose", grad);
  const OnDevice device(grad);
  const Tensor coefficients = dense(coefficients_in), pose = dense(pose_in);
  const int64_t count = grad.size(1), blocks = block_count(count), modes_count = coefficients.size(1);
  Tensor grad_mean = empty_like_type({need_mean ? blocks : 0, 3, kBlock}, grad);
  Tensor grad_modes = empty_like_type({need_modes ? blocks : 0, modes_count, 3, kBlock}, grad);
  with_number(grad, "grad", [&](auto type) {
    using T = decltype(type);
    const BasisBackwardParams<T> params{in<T>(coefficients),
                                        in<T>(pose),
                                        grad_view<T>(grad),
                                        need_mean ? out<T>(grad_mean) : nullptr,
                                        need_modes ? out<T>(grad_modes) : nullptr,
                                        coefficients.size(0),
                                        count,
                                        modes_count};
    check_launch(cuda::launch_vertices_backward_basis(params, device.stream()));
  });
  return {grad_mean, grad_modes};
}

}  // namespace

TWODASL_CUDA_LIBRARY(m) {
  m.impl("vertices", TORCH_BOX(&vertices));
  m.impl("vertices_forward", TORCH_BOX(&vertices));
  m.impl("vertices_out", TORCH_BOX(&vertices_out));
  m.impl("vertices_backward", TORCH_BOX(&vertices_backward));
  m.impl("vertices_backward_basis", TORCH_BOX(&vertices_backward_basis));
}

}  // namespace twodasl::ops
