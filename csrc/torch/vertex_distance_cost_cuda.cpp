// vertex_distance_cost on a GPU: guard, checks, allocation, parameters, launch.
#include "../cuda/distance.h"
#include "basis.h"
#include "cuda.h"
#include "parameters.h"

namespace twodasl::ops {

namespace {

std::tuple<Tensor, Tensor> vertex_distance_cost(const Tensor& factor_in, const Tensor& predicted_in,
                                                const Tensor& target_in, bool ignore_depth) {
  check_distance(factor_in, predicted_in, target_in);
  check_same_device(predicted_in, "predicted", factor_in);
  check_same_device(target_in, "target", factor_in);
  const OnDevice device(factor_in);
  const int64_t batch = predicted_in.size(0), modes_count = predicted_in.size(1) - 12;
  const Tensor factor = dense(factor_in), predicted = dense(predicted_in), target = dense(target_in);
  Tensor cost = empty_like_type({batch}, factor);
  Tensor residual = empty_like_type({batch, 3, distance_width(modes_count)}, factor);
  with_number(factor, "factor", [&](auto number) {
    using T = decltype(number);
    const VertexDistanceParams<T> params{in<T>(factor),    in<T>(predicted), in<T>(target), out<T>(cost),
                                         out<T>(residual), batch,            modes_count,   ignore_depth};
    check_launch(cuda::launch_vertex_distance_cost(params, device.stream()));
  });
  return {cost, residual};
}

std::tuple<Tensor, Tensor> vertex_distance_cost_backward(const Tensor& grad, const Tensor& factor_in,
                                                         const Tensor& residual_in,
                                                         const std::optional<Tensor>& predicted_in,
                                                         const std::optional<Tensor>& target_in, bool ignore_depth) {
  check_distance_backward(grad, factor_in, residual_in, predicted_in, target_in);
  check_same_device(grad, "grad", factor_in);
  check_same_device(residual_in, "residual", factor_in);
  if (predicted_in) check_same_device(*predicted_in, "predicted", factor_in);
  if (target_in) check_same_device(*target_in, "target", factor_in);
  const OnDevice device(factor_in);
  const Tensor& either = predicted_in ? *predicted_in : *target_in;
  const int64_t batch = either.size(0), inputs = either.size(1);
  const Tensor factor = dense(factor_in), residual = dense(residual_in);
  const std::optional<Tensor> predicted = dense(predicted_in), target = dense(target_in);
  Tensor grad_predicted = empty_like_type({predicted ? batch : 0, inputs}, factor);
  Tensor grad_target = empty_like_type({target ? batch : 0, inputs}, factor);
  with_number(factor, "factor", [&](auto number) {
    using T = decltype(number);
    const VertexDistanceBackwardParams<T> params{in<T>(grad),
                                                 grad.stride(0),
                                                 in<T>(factor),
                                                 in<T>(residual),
                                                 predicted ? in<T>(*predicted) : nullptr,
                                                 target ? in<T>(*target) : nullptr,
                                                 nullptr,
                                                 predicted ? out<T>(grad_predicted) : nullptr,
                                                 target ? out<T>(grad_target) : nullptr,
                                                 batch,
                                                 inputs - 12,
                                                 ignore_depth};
    check_launch(cuda::launch_vertex_distance_cost_backward(params, device.stream()));
  });
  return {grad_predicted, grad_target};
}

}  // namespace

TWODASL_CUDA_LIBRARY(m) {
  m.impl("vertex_distance_cost", TORCH_BOX(&vertex_distance_cost));
  m.impl("vertex_distance_cost_forward", TORCH_BOX(&vertex_distance_cost));
  m.impl("vertex_distance_cost_backward", TORCH_BOX(&vertex_distance_cost_backward));
}

}  // namespace twodasl::ops
