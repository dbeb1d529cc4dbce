// What the operators over a basis check and read.
#pragma once

#include "stable.h"

#include <optional>

namespace twodasl::ops {

// Calls run(T{}, S{}) with the number types of a basis: arithmetic and storage of the modes.
template <class Run>
void with_basis_types(const Tensor& mean, const Tensor& modes, const Run& run) {
  const ScalarType compute = mean.scalar_type(), storage = modes.scalar_type();
  if (compute == ScalarType::Float && storage == ScalarType::Float) {
    run(float{}, float{});
  } else if (compute == ScalarType::Double && storage == ScalarType::Double) {
    run(double{}, double{});
  } else if (compute == ScalarType::Float && storage == ScalarType::BFloat16) {
    run(float{}, BFloat16{});
  } else if (compute == ScalarType::Float && storage == ScalarType::Half) {
    run(float{}, Float16{});
  } else {
    STD_TORCH_CHECK(false, "twodasl: no kernel for this pair of mean and modes dtypes");
  }
}

// Shapes and types of (mean, modes, coefficients, pose) for `count` vertices.
inline void check_basis(const Tensor& mean, const Tensor& modes, int64_t count, const Tensor& coefficients,
                        const Tensor& pose) {
  STD_TORCH_CHECK(count >= 0, "twodasl: the number of vertices is negative");
  check_shape(coefficients, "coefficients", {-1, -1});
  const int64_t blocks = block_count(count), batch = coefficients.size(0);
  check_shape(mean, "mean", {blocks, 3, kBlock});
  check_shape(modes, "modes", {blocks, coefficients.size(1), 3, kBlock});
  check_shape(pose, "pose", {batch, 3, 4});
  check_type(coefficients, "coefficients", mean.scalar_type());
  check_type(pose, "pose", mean.scalar_type());
}

// The same for the gradient; `posed` is the forward's result or nothing. Returns the number of vertices.
inline int64_t check_backward(const Tensor& grad, const Tensor& mean, const Tensor& modes, const Tensor& coefficients,
                              const Tensor& pose, const std::optional<Tensor>& posed) {
  check_shape(coefficients, "coefficients", {-1, -1});
  check_shape(grad, "grad", {coefficients.size(0), -1, 3});
  const int64_t count = grad.size(1);
  check_basis(mean, modes, count, coefficients, pose);
  check_type(grad, "grad", mean.scalar_type());
  if (posed.has_value()) {
    check_shape(*posed, "posed", {coefficients.size(0), count, 3});
    check_type(*posed, "posed", mean.scalar_type());
  }
  return count;
}

inline void check_backward_basis(const Tensor& grad, const Tensor& coefficients, const Tensor& pose) {
  check_shape(coefficients, "coefficients", {-1, -1});
  check_shape(grad, "grad", {coefficients.size(0), -1, 3});
  check_shape(pose, "pose", {coefficients.size(0), 3, 4});
  check_type(coefficients, "coefficients", grad.scalar_type());
  check_type(pose, "pose", grad.scalar_type());
}

template <class T>
GradView<T> grad_view(const Tensor& grad) {
  return {in<T>(grad), {grad.stride(0), grad.stride(1), grad.stride(2)}};
}

}  // namespace twodasl::ops
