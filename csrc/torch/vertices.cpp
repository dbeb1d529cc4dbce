// vertices: checks, allocation, parameters, and the launch on the device that this is compiled for.
#include "basis.h"
#include "device.h"

#if defined(TWODASL_FOR_CUDA)
#include "../cuda/vertices.h"
#else
#include "../cpu/kernels/recover.h"
#include "../cpu/kernels/reduce.h"
#endif

namespace twodasl::ops {

namespace {

#if defined(TWODASL_FOR_CUDA)

template <class T, class S>
void launch(const VerticesParams<T, S>& params, const OnDevice& device) {
  check_launch(cuda::launch_vertices(params, device.stream()));
}

template <class T, class S>
void launch_backward(VerticesBackwardParams<T, S>& params, T* grad_coefficients, T* grad_pose, const Tensor& like,
                     const OnDevice& device) {
  const BasisView<T, S>& basis = params.basis;
  const int64_t numbers = cuda::gradient_scratch(basis.vertices, basis.modes_count, params.batch);
  const Tensor partial = empty_like_type({numbers}, like);
  params.partial = out<T>(partial);
  check_launch(cuda::launch_vertices_backward(params, grad_coefficients, grad_pose, device.stream()));
}

template <class T>
void launch_backward_basis(const BasisBackwardParams<T>& params, const OnDevice& device) {
  check_launch(cuda::launch_vertices_backward_basis(params, device.stream()));
}

#else

template <class T, class S>
void launch(const VerticesParams<T, S>& params, const OnDevice&) {
  const int64_t modes_count = params.basis.modes_count, batch = params.batch;
  const Partition cut = partition(params.basis.vertices, modes_count, batch, sizeof(S));
  const int64_t faces = batch < cut.group_faces ? batch : cut.group_faces;
  const int64_t work = cut.part_blocks * kBlockRow * (modes_count + 5) * faces;
  const auto& kernel = basis_kernels<T, S>();
  torch::stable::parallel_for(0, cut.tasks(), grain(work),
                              [&](int64_t begin, int64_t end) { kernel.forward(params, begin, end); });
}

template <class T, class S>
void launch_backward(VerticesBackwardParams<T, S>& params, T* grad_coefficients, T* grad_pose, const Tensor& like,
                     const OnDevice&) {
  const int64_t modes_count = params.basis.modes_count, batch = params.batch, width = 12 + modes_count;
  const Partition cut = partition(params.basis.vertices, modes_count, batch, sizeof(S));
  const Tensor partial = empty_like_type({cut.parts, batch, width}, like);
  params.partial = out<T>(partial);
  cpu::FaceOrder<T> order;
  order.apply(params, params.basis.vertices > 0 ? params.vertices : nullptr);
  const int64_t faces = batch < cut.group_faces ? batch : cut.group_faces;
  const int64_t work = cut.part_blocks * kBlockRow * (2 * modes_count + 20) * faces;
  const auto& kernel = basis_kernels<T, S>();
  torch::stable::parallel_for(0, cut.tasks(), grain(work),
                              [&](int64_t begin, int64_t end) { kernel.backward(params, begin, end); });
  torch::stable::parallel_for(0, batch, grain(4 * cut.parts * width), [&](int64_t begin, int64_t end) {
    std::vector<double> total(static_cast<size_t>(width));
    cpu::reduce_parts(params, cut.parts, grad_coefficients, grad_pose, total.data(), begin, end);
  });
}

template <class T>
void launch_backward_basis(const BasisBackwardParams<T>& params, const OnDevice&) {
  const int64_t work = kBlockRow * (params.modes_count + 4) * params.batch;
  torch::stable::parallel_for(0, block_count(params.vertices), grain(work), [&](int64_t begin, int64_t end) {
    kernels<T>().backward_basis(params, begin, end);
  });
}

#endif

// Fills `output`: dense, of the right shape and type.
void run_vertices(const Tensor& mean_in, const Tensor& modes_in, int64_t count, const Tensor& coefficients_in,
                  const Tensor& pose_in, const Tensor& output) {
  check_same_device(modes_in, "modes", mean_in);
  check_same_device(coefficients_in, "coefficients", mean_in);
  check_same_device(pose_in, "pose", mean_in);
  const OnDevice device(mean_in);
  const Tensor mean = dense_wide(mean_in), modes = dense_wide(modes_in);
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
    launch(params, device);
  });
}

Tensor vertices(const Tensor& mean, const Tensor& modes, int64_t count, const Tensor& coefficients,
                const Tensor& pose) {
  check_basis(mean, modes, count, coefficients, pose);
  const Tensor output = empty_result({coefficients.size(0), count, 3}, mean);
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

// `posed` is the forward's result, which saves synthesizing the shapes again, or nothing.
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
  const Tensor mean = dense_wide(mean_in), modes = dense_wide(modes_in);
  const Tensor coefficients = dense(coefficients_in), pose = dense(pose_in);
  if (posed.has_value()) posed = dense(*posed);
  const int64_t batch = coefficients.size(0), modes_count = coefficients.size(1);
  Tensor grad_coefficients = empty_like_type({need_coefficients ? batch : 0, modes_count}, mean);
  Tensor grad_pose = empty_like_type({need_pose ? batch : 0, 3, 4}, mean);
  if (batch == 0 || !(need_coefficients || need_pose)) return {grad_coefficients, grad_pose};
  with_basis_types(mean, modes, [&](auto type, auto storage) {
    using T = decltype(type);
    using S = decltype(storage);
    VerticesBackwardParams<T, S> params{};
    params.basis = {in<T>(mean), in<S>(modes), count, modes_count};
    params.coefficients = in<T>(coefficients);
    params.pose = in<T>(pose);
    params.grad = grad_view<T>(grad);
    params.vertices = need_pose && posed.has_value() ? in<T>(*posed) : nullptr;
    params.batch = batch;
    params.need_coefficients = need_coefficients;
    params.need_pose = need_pose;
    launch_backward(params, need_coefficients ? out<T>(grad_coefficients) : nullptr,
                    need_pose ? out<T>(grad_pose) : nullptr, mean, device);
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
  Tensor grad_mean = empty_result({need_mean ? blocks : 0, 3, kBlock}, grad);
  Tensor grad_modes = empty_result({need_modes ? blocks : 0, modes_count, 3, kBlock}, grad);
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
    launch_backward_basis(params, device);
  });
  return {grad_mean, grad_modes};
}

}  // namespace

TWODASL_OPERATORS(m) {
  impl_differentiable(m, "vertices", TORCH_BOX(&vertices));
  m.impl("vertices_out", TORCH_BOX(&vertices_out));
  m.impl("vertices_backward", TORCH_BOX(&vertices_backward));
  m.impl("vertices_backward_basis", TORCH_BOX(&vertices_backward_basis));
}

}  // namespace twodasl::ops
