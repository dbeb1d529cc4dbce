// importance_weights on a GPU: guard, checks, allocation, parameters, launch.
#include "../cuda/importance_weights.h"
#include "basis.h"
#include "cuda.h"
#include "parameters.h"

namespace twodasl::ops {

namespace {

Tensor importance_weights(const Tensor& mean_in, const Tensor& modes_in, int64_t count, const Tensor& predicted_in,
                          const Tensor& target_in, bool planar, bool by_maximum) {
  check_importance(mean_in, modes_in, count, predicted_in, target_in);
  check_same_device(modes_in, "modes", mean_in);
  check_same_device(predicted_in, "predicted", mean_in);
  check_same_device(target_in, "target", mean_in);
  const OnDevice device(mean_in);
  const Tensor mean = dense(mean_in), modes = dense(modes_in);
  const Tensor predicted = dense(predicted_in), target = dense(target_in);
  const int64_t batch = predicted.size(0), width = predicted.size(1);
  const Tensor output = empty_like_type({batch, width}, mean);
  with_number(mean, "mean", [&](auto number) {
    using T = decltype(number);
    const ImportanceWeightsParams<T> params{{in<T>(mean), in<T>(modes), count, width - 12},
                                            in<T>(predicted),
                                            in<T>(target),
                                            nullptr,
                                            out<T>(output),
                                            batch,
                                            planar,
                                            by_maximum};
    check_launch(cuda::launch_importance_weights(params, device.stream()));
  });
  return output;
}

}  // namespace

TWODASL_CUDA_LIBRARY(m) { m.impl("importance_weights", TORCH_BOX(&importance_weights)); }

}  // namespace twodasl::ops
