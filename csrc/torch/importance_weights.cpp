// importance_weights: checks, allocation, parameters, and the launch on the device that this is compiled for.
#include "device.h"
#include "parameters.h"

#if defined(TWODASL_FOR_CUDA)
#include "../cuda/importance_weights.h"
#endif

namespace twodasl::ops {

namespace {

#if defined(TWODASL_FOR_CUDA)

template <class T>
void launch(ImportanceWeightsParams<T>& params, const OnDevice& device) {
  check_launch(cuda::launch_importance_weights(params, device.stream()));
}

#else

template <class T>
void launch(ImportanceWeightsParams<T>& params, const OnDevice&) {
  const int64_t modes_count = params.basis.modes_count, numbers = block_count(params.basis.vertices) * kBlockRow;
  std::vector<T> factor(static_cast<size_t>(6 * padded(modes_count)));
  params.factor = factor.data();
  const auto& kernel = kernels<T>();
  torch::stable::parallel_for(0, modes_count, grain(8 * numbers),
                              [&](int64_t begin, int64_t end) { kernel.importance_factor(params, begin, end); });
  torch::stable::parallel_for(0, params.batch, grain(numbers * (modes_count + 2) + 20 * (12 + modes_count)),
                              [&](int64_t begin, int64_t end) { kernel.importance_weights(params, begin, end); });
}

#endif

Tensor importance_weights(const Tensor& mean_in, const Tensor& modes_in, int64_t count, const Tensor& predicted_in,
                          const Tensor& target_in, bool planar, bool by_maximum) {
  check_importance(mean_in, modes_in, count, predicted_in, target_in);
  check_same_device(modes_in, "modes", mean_in);
  check_same_device(predicted_in, "predicted", mean_in);
  check_same_device(target_in, "target", mean_in);
  const OnDevice device(mean_in);
  const Tensor mean = dense(mean_in), modes = dense_wide(modes_in);
  const Tensor predicted = dense(predicted_in), target = dense(target_in);
  const int64_t batch = predicted.size(0), width = predicted.size(1);
  const Tensor output = empty_like_type({batch, width}, mean);
  with_number(mean, "mean", [&](auto number) {
    using T = decltype(number);
    ImportanceWeightsParams<T> params{{in<T>(mean), in<T>(modes), count, width - 12},
                                      in<T>(predicted),
                                      in<T>(target),
                                      nullptr,
                                      out<T>(output),
                                      batch,
                                      planar,
                                      by_maximum};
    launch(params, device);
  });
  return output;
}

}  // namespace

TWODASL_OPERATORS(m) { m.impl("importance_weights", TORCH_BOX(&importance_weights)); }

}  // namespace twodasl::ops
