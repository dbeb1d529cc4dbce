// importance_weights on the CPU: checks, allocation, parameters, launch.
#include <vector>

#include "../cpu/dispatch/kernels.h"
#include "parameters.h"

namespace twodasl::ops {

namespace {

Tensor importance_weights(const Tensor& mean_in, const Tensor& modes_in, int64_t count, const Tensor& predicted_in,
                          const Tensor& target_in, bool planar, bool by_maximum) {
  check_importance(mean_in, modes_in, count, predicted_in, target_in);
  const int64_t batch = predicted_in.size(0), width = predicted_in.size(1), modes_count = width - 12;
  const int64_t blocks = block_count(count);
  const Tensor mean = dense(mean_in), modes = dense(modes_in);
  const Tensor predicted = dense(predicted_in), target = dense(target_in);
  Tensor output = empty_like_type({batch, width}, mean);
  const auto run = [&](const auto& kernels, auto number) {
    using T = decltype(number);
    std::vector<T> factor(static_cast<size_t>(6 * padded(modes_count)));
    const ImportanceWeightsParams<T> params{{in<T>(mean), in<T>(modes), count, modes_count},
                                            in<T>(predicted),
                                            in<T>(target),
                                            factor.data(),
                                            out<T>(output),
                                            batch,
                                            planar,
                                            by_maximum};
    torch::stable::parallel_for(0, modes_count, grain(8 * blocks * kBlockRow),
                                [&](int64_t begin, int64_t end) { kernels.importance_factor(params, begin, end); });
    torch::stable::parallel_for(0, batch, grain(blocks * kBlockRow * (modes_count + 2) + 20 * width),
                                [&](int64_t begin, int64_t end) { kernels.importance_weights(params, begin, end); });
  };
  if (mean.scalar_type() == ScalarType::Float) {
    run(cpu::active_level().f32, float{});
  } else {
    check_type(mean_in, "mean", ScalarType::Double);
    run(cpu::active_level().f64, double{});
  }
  return output;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(twodasl, CPU, m) { m.impl("importance_weights", TORCH_BOX(&importance_weights)); }

}  // namespace twodasl::ops
