// What the operators over parameter vectors (B, 12 + K) check.
#pragma once

#include <optional>

#include "stable.h"

namespace twodasl::ops {

// Shapes and types of importance_weights' arguments for `count` landmarks.
inline void check_importance(const Tensor& mean, const Tensor& modes, int64_t count, const Tensor& predicted,
                             const Tensor& target) {
  STD_TORCH_CHECK(count >= 0, "twodasl: the number of vertices is negative");
  check_shape(predicted, "predicted", {-1, -1});
  const int64_t batch = predicted.size(0), width = predicted.size(1), blocks = block_count(count);
  STD_TORCH_CHECK(width >= 12, "twodasl: predicted has the wrong shape");
  check_shape(target, "target", {batch, width});
  check_shape(mean, "mean", {blocks, 3, kBlock});
  check_shape(modes, "modes", {blocks, width - 12, 3, kBlock});
  const ScalarType type = mean.scalar_type();
  check_type(modes, "modes", type);
  check_type(predicted, "predicted", type);
  check_type(target, "target", type);
}

// Shapes and types of vertex_distance_cost's arguments.
inline void check_distance(const Tensor& factor, const Tensor& predicted, const Tensor& target) {
  check_shape(predicted, "predicted", {-1, -1});
  const int64_t batch = predicted.size(0), inputs = predicted.size(1);
  STD_TORCH_CHECK(inputs >= 12, "twodasl: predicted has the wrong shape");
  const int64_t width = distance_width(inputs - 12);
  check_shape(target, "target", {batch, inputs});
  check_shape(factor, "factor", {2, width, width});
  check_type(predicted, "predicted", factor.scalar_type());
  check_type(target, "target", factor.scalar_type());
}

// The same for its backward pass, in which predicted or target may be missing.
inline void check_distance_backward(const Tensor& grad, const Tensor& factor, const Tensor& residual,
                                    const std::optional<Tensor>& predicted, const std::optional<Tensor>& target) {
  STD_TORCH_CHECK(predicted || target, "twodasl: neither predicted nor target needs a gradient");
  const Tensor& either = predicted ? *predicted : *target;
  check_shape(either, "predicted or target", {-1, -1});
  const int64_t batch = either.size(0), inputs = either.size(1);
  STD_TORCH_CHECK(inputs >= 12, "twodasl: predicted or target has the wrong shape");
  const int64_t width = distance_width(inputs - 12);
  const ScalarType type = factor.scalar_type();
  check_shape(grad, "grad", {batch});
  check_shape(factor, "factor", {2, width, width});
  check_shape(residual, "residual", {batch, 3, width});
  check_type(grad, "grad", type);
  check_type(residual, "residual", type);
  const auto check = [&](const std::optional<Tensor>& tensor, const char* name) {
    if (!tensor) return;
    check_shape(*tensor, name, {batch, inputs});
    check_type(*tensor, name, type);
  };
  check(predicted, "predicted");
  check(target, "target");
}

}  // namespace twodasl::ops
