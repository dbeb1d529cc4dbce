// vertices on the CPU: checks, allocation, parameters, launch.
#include "../cpu/dispatch/kernels.h"
#include "../cpu/kernels/recover.h"
#include "../cpu/kernels/reduce.h"
#include "allocate.h"
#include "basis.h"

#include <type_traits>

namespace twodasl::ops {

namespace {

// The kernels of a basis's number types.
template <class T, class S>
const cpu::BasisKernels<T, S>& kernels_of(T, S) {
  const cpu::Level& level = cpu::active_level();
  if constexpr (std::is_same_v<S, float>) return level.f32.basis;
  if constexpr (std::is_same_v<S, double>) return level.f64.basis;
  if constexpr (std::is_same_v<S, BFloat16>) return level.bf16;
  if constexpr (std::is_same_v<S, Float16>) return level.f16;
}

// Calls run(kernels, T{}, S{}).
template <class Run>
void with_kernels(const Tensor& mean, const Tensor& modes, const Run& run) {
  with_basis_types(mean, modes, [&](auto type, auto storage) { run(kernels_of(type, storage), type, storage); });
}

// Fills `output`: dense, of the right shape and type.
void run_vertices(const Tensor& mean_in, const Tensor& modes_in, int64_t count, const Tensor& coefficients_in,
                  const Tensor& pose_in, const Tensor& output) {
  const Tensor mean = dense(mean_in), modes = dense(modes_in);
  const Tensor coefficients = dense(coefficients_in), pose = dense(pose_in);
  const int64_t batch = coefficients.size(0), modes_count = coefficients.size(1);
  if (batch == 0 || count == 0) return;
  with_kernels(mean, modes, [&](const auto& kernels, auto type, auto storage) {
    using T = decltype(type);
    using S = decltype(storage);
    const VerticesParams<T, S> params{{in<T>(mean), in<S>(modes), count, modes_count},
                                      in<T>(coefficients),
                                      in<T>(pose),
                                      out<T>(output),
                                      batch};
    const Partition cut = partition(count, modes_count, batch, sizeof(S));
    const int64_t faces = batch < cut.group_faces ? batch : cut.group_faces;
    const int64_t work = cut.part_blocks * kBlockRow * (modes_count + 5) * faces;
    torch::stable::parallel_for(0, cut.tasks(), grain(work),
                                [&](int64_t begin, int64_t end) { kernels.forward(params, begin, end); });
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
  STD_TORCH_CHECK(output.is_contiguous(), "twodasl: out is not contiguous");
  run_vertices(mean, modes, count, coefficients, pose, output);
}

// `posed` is the forward's result, which saves synthesising the shapes again, or nothing.
std::tuple<Tensor, Tensor> vertices_backward(const Tensor& grad, const Tensor& mean_in, const Tensor& modes_in,
                                             const Tensor& coefficients_in, const Tensor& pose_in,
                                             std::optional<Tensor> posed, bool need_coefficients, bool need_pose) {
  const int64_t count = check_backward(grad, mean_in, modes_in, coefficients_in, pose_in, posed);
  const Tensor mean = dense(mean_in), modes = dense(modes_in);
  const Tensor coefficients = dense(coefficients_in), pose = dense(pose_in);
  const int64_t batch = coefficients.size(0), modes_count = coefficients.size(1), width = 12 + modes_count;
  if (posed.has_value()) posed = dense(*posed);
  Tensor grad_coefficients = empty_like_type({need_coefficients ? batch : 0, modes_count}, mean);
  Tensor grad_pose = empty_like_type({need_pose ? batch : 0, 3, 4}, mean);
  with_kernels(mean, modes, [&](const auto& kernels, auto type, auto storage) {
    using T = decltype(type);
    using S = decltype(storage);
    const Partition cut = partition(count, modes_count, batch, sizeof(S));
    const Tensor partial = empty_like_type({cut.parts, batch, width}, mean);
    VerticesBackwardParams<T, S> params{};
    params.basis = {in<T>(mean), in<S>(modes), count, modes_count};
    params.coefficients = in<T>(coefficients);
    params.pose = in<T>(pose);
    params.grad = grad_view<T>(grad);
    params.partial = out<T>(partial);
    params.batch = batch;
    params.need_coefficients = need_coefficients;
    params.need_pose = need_pose;
    cpu::FaceOrder<T> order;
    order.apply(params, need_pose && posed.has_value() && count > 0 ? in<T>(*posed) : nullptr);
    const int64_t faces = batch < cut.group_faces ? batch : cut.group_faces;
    const int64_t work = cut.part_blocks * kBlockRow * (2 * modes_count + 20) * faces;
    torch::stable::parallel_for(0, cut.tasks(), grain(work),
                                [&](int64_t begin, int64_t end) { kernels.backward(params, begin, end); });
    T* const to_coefficients = need_coefficients ? out<T>(grad_coefficients) : nullptr;
    T* const to_pose = need_pose ? out<T>(grad_pose) : nullptr;
    torch::stable::parallel_for(0, batch, grain(4 * cut.parts * width), [&](int64_t begin, int64_t end) {
      std::vector<double> total(static_cast<size_t>(width));
      cpu::reduce_parts(params, cut.parts, to_coefficients, to_pose, total.data(), begin, end);
    });
  });
  return {grad_coefficients, grad_pose};
}

std::tuple<Tensor, Tensor> vertices_backward_basis(const Tensor& grad, const Tensor& coefficients_in,
                                                   const Tensor& pose_in, bool need_mean, bool need_modes) {
  check_backward_basis(grad, coefficients_in, pose_in);
  const int64_t batch = coefficients_in.size(0), modes_count = coefficients_in.size(1);
  const Tensor coefficients = dense(coefficients_in), pose = dense(pose_in);
  const int64_t count = grad.size(1), blocks = block_count(count);
  Tensor grad_mean = empty_result({need_mean ? blocks : 0, 3, kBlock}, grad);
  Tensor grad_modes = empty_result({need_modes ? blocks : 0, modes_count, 3, kBlock}, grad);
  const auto run = [&](const auto& kernels, auto type) {
    using T = decltype(type);
    const BasisBackwardParams<T> params{in<T>(coefficients),
                                        in<T>(pose),
                                        grad_view<T>(grad),
                                        need_mean ? out<T>(grad_mean) : nullptr,
                                        need_modes ? out<T>(grad_modes) : nullptr,
                                        batch,
                                        count,
                                        modes_count};
    torch::stable::parallel_for(0, blocks, grain(kBlockRow * (modes_count + 4) * batch),
                                [&](int64_t begin, int64_t end) { kernels.backward_basis(params, begin, end); });
  };
  if (grad.scalar_type() == ScalarType::Float) {
    run(cpu::active_level().f32, float{});
  } else {
    check_type(grad, "grad", ScalarType::Double);
    run(cpu::active_level().f64, double{});
  }
  return {grad_mean, grad_modes};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(twodasl, CPU, m) {
  m.impl("vertices", TORCH_BOX(&vertices));
  m.impl("vertices_forward", TORCH_BOX(&vertices));
  m.impl("vertices_out", TORCH_BOX(&vertices_out));
  m.impl("vertices_backward", TORCH_BOX(&vertices_backward));
  m.impl("vertices_backward_basis", TORCH_BOX(&vertices_backward_basis));
}

}  // namespace twodasl::ops
