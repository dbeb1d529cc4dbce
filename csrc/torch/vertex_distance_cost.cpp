// vertex_distance_cost: checks, allocation, parameters, and the launch on the device that this is compiled for.
#include "device.h"
#include "parameters.h"

#if defined(TWODASL_FOR_CUDA)
#include "../cuda/distance.h"
#endif

namespace twodasl::ops {

namespace {

#if defined(TWODASL_FOR_CUDA)

template <class T>
void launch(const VertexDistanceParams<T>& params, const OnDevice& device) {
  check_launch(cuda::launch_vertex_distance_cost(params, device.stream()));
}

template <class T>
void launch_backward(const VertexDistanceBackwardParams<T>& params, const Tensor&, const OnDevice& device) {
  check_launch(cuda::launch_vertex_distance_cost_backward(params, device.stream()));
}

#else

// The fewest faces for one thread. A batch of 32 takes some 30 microseconds on one: a second thread would save a third
// of that on an idle machine, and on a busy one (loading data, say) waiting for it costs milliseconds.
int64_t faces_per_thread(int64_t modes_count) {
  constexpr int64_t kWorth = 2000000;  // multiply-adds
  const int64_t features = distance_features(modes_count), faces = kWorth / (3 * features * (features / 2 + 8));
  return faces > 1 ? faces : 1;
}

template <class T>
void launch(const VertexDistanceParams<T>& params, const OnDevice&) {
  torch::stable::parallel_for(0, params.batch, faces_per_thread(params.modes_count), [&](int64_t begin, int64_t end) {
    kernels<T>().vertex_distance_cost(params, begin, end);
  });
}

template <class T>
void launch_backward(VertexDistanceBackwardParams<T>& params, const Tensor& like, const OnDevice&) {
  const Tensor scratch = empty_like_type({params.batch, 3, distance_width(params.modes_count)}, like);
  params.scratch = out<T>(scratch);
  torch::stable::parallel_for(0, params.batch, faces_per_thread(params.modes_count), [&](int64_t begin, int64_t end) {
    kernels<T>().vertex_distance_cost_backward(params, begin, end);
  });
}

#endif

std::tuple<Tensor, Tensor> vertex_distance_cost(const Tensor& factor_in, const Tensor& predicted_in,
                                                const Tensor& target_in, bool ignore_depth) {
  check_distance(factor_in, predicted_in, target_in);
  check_same_device(predicted_in, "predicted", factor_in);
  check_same_device(target_in, "target", factor_in);
  const OnDevice device(factor_in);
  const int64_t batch = predicted_in.size(0), modes_count = predicted_in.size(1) - 12;
  const Tensor factor = dense_wide(factor_in), predicted = dense(predicted_in), target = dense(target_in);
  Tensor cost = empty_like_type({batch}, factor);
  Tensor residual = empty_like_type({batch, 3, distance_width(modes_count)}, factor);
  with_number(factor, "factor", [&](auto number) {
    using T = decltype(number);
    const VertexDistanceParams<T> params{in<T>(factor),    in<T>(predicted), in<T>(target), out<T>(cost),
                                         out<T>(residual), batch,            modes_count,   ignore_depth};
    launch(params, device);
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
  const Tensor factor = dense_wide(factor_in), residual = dense(residual_in);
  const std::optional<Tensor> predicted = dense(predicted_in), target = dense(target_in);
  Tensor grad_predicted = empty_like_type({predicted ? batch : 0, inputs}, factor);
  Tensor grad_target = empty_like_type({target ? batch : 0, inputs}, factor);
  with_number(factor, "factor", [&](auto number) {
    using T = decltype(number);
    VertexDistanceBackwardParams<T> params{in<T>(grad),
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
    launch_backward(params, factor, device);
  });
  return {grad_predicted, grad_target};
}

}  // namespace

TWODASL_OPERATORS(m) {
  impl_differentiable(m, "vertex_distance_cost", TORCH_BOX(&vertex_distance_cost));
  m.impl("vertex_distance_cost_backward", TORCH_BOX(&vertex_distance_cost_backward));
}

}  // namespace twodasl::ops
