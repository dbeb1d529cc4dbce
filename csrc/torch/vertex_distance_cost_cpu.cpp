// vertex_distance_cost on the CPU: checks, allocation, parameters, launch.
#include "../cpu/dispatch/kernels.h"
#include "parameters.h"

namespace twodasl::ops {

namespace {

template <class Run>
void with_type(const Tensor& factor, const Run& run) {
  if (factor.scalar_type() == ScalarType::Float) {
    run(cpu::active_level().f32, float{});
  } else {
    check_type(factor, "factor", ScalarType::Double);
    run(cpu::active_level().f64, double{});
  }
}

// Faces that one thread takes at least. A batch of 32 costs some 30 microseconds alone: a second thread would save a
// third of that on an idle machine, and on a busy one (loading data, say) the wait for it costs milliseconds.
int64_t faces_per_thread(int64_t modes_count) {
  constexpr int64_t kWorth = 2000000;  // multiply-adds
  const int64_t features = distance_features(modes_count), faces = kWorth / (3 * features * (features / 2 + 8));
  return faces > 1 ? faces : 1;
}

std::tuple<Tensor, Tensor> vertex_distance_cost(const Tensor& factor_in, const Tensor& predicted_in,
                                                const Tensor& target_in, bool ignore_depth) {
  check_distance(factor_in, predicted_in, target_in);
  const int64_t batch = predicted_in.size(0), modes_count = predicted_in.size(1) - 12;
  const int64_t width = distance_width(modes_count);
  const Tensor factor = dense(factor_in), predicted = dense(predicted_in), target = dense(target_in);
  Tensor cost = empty_like_type({batch}, factor);
  Tensor residual = empty_like_type({batch, 3, width}, factor);
  with_type(factor, [&](const auto& kernels, auto number) {
    using T = decltype(number);
    const VertexDistanceParams<T> params{in<T>(factor),    in<T>(predicted), in<T>(target), out<T>(cost),
                                         out<T>(residual), batch,            modes_count,   ignore_depth};
    torch::stable::parallel_for(0, batch, faces_per_thread(modes_count),
                                [&](int64_t begin, int64_t end) { kernels.vertex_distance_cost(params, begin, end); });
  });
  return {cost, residual};
}

std::tuple<Tensor, Tensor> vertex_distance_cost_backward(const Tensor& grad, const Tensor& factor_in,
                                                         const Tensor& residual_in,
                                                         const std::optional<Tensor>& predicted_in,
                                                         const std::optional<Tensor>& target_in, bool ignore_depth) {
  check_distance_backward(grad, factor_in, residual_in, predicted_in, target_in);
  const Tensor& either = predicted_in ? *predicted_in : *target_in;
  const int64_t batch = either.size(0), inputs = either.size(1), modes_count = inputs - 12;
  const int64_t width = distance_width(modes_count);
  const Tensor factor = dense(factor_in), residual = dense(residual_in);
  const std::optional<Tensor> predicted = dense(predicted_in), target = dense(target_in);
  Tensor grad_predicted = empty_like_type({predicted ? batch : 0, inputs}, factor);
  Tensor grad_target = empty_like_type({target ? batch : 0, inputs}, factor);
  const Tensor scratch = empty_like_type({batch, 3, width}, factor);
  with_type(factor, [&](const auto& kernels, auto number) {
    using T = decltype(number);
    const VertexDistanceBackwardParams<T> params{in<T>(grad),
                                                 grad.stride(0),
                                                 in<T>(factor),
                                                 in<T>(residual),
                                                 predicted ? in<T>(*predicted) : nullptr,
                                                 target ? in<T>(*target) : nullptr,
                                                 out<T>(scratch),
                                                 predicted ? out<T>(grad_predicted) : nullptr,
                                                 target ? out<T>(grad_target) : nullptr,
                                                 batch,
                                                 modes_count,
                                                 ignore_depth};
    torch::stable::parallel_for(
        0, batch, faces_per_thread(modes_count),
        [&](int64_t begin, int64_t end) { kernels.vertex_distance_cost_backward(params, begin, end); });
  });
  return {grad_predicted, grad_target};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(twodasl, CPU, m) {
  m.impl("vertex_distance_cost", TORCH_BOX(&vertex_distance_cost));
  m.impl("vertex_distance_cost_forward", TORCH_BOX(&vertex_distance_cost));
  m.impl("vertex_distance_cost_backward", TORCH_BOX(&vertex_distance_cost_backward));
}

}  // namespace twodasl::ops
