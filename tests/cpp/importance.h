// importance_weights in double-precision loops: w_i = |p_i - p*_i| || dH / dp_i || at the target, then normalized.
#pragma once

#include "oracle.h"

namespace twodasl::test {

struct Choice {
  bool planar, by_maximum;
};
inline constexpr Choice kChoices[] = {{false, false}, {false, true}, {true, false}, {true, true}};

// A number known to within `error`.
struct Known {
  double value = 0.0, error = 0.0;
};

// The norm of terms that are known up to `operations` roundings of their sizes. A norm moves by no more than the
// norm of what its terms move by; squares, their sum and the root add roundings of their own.
class Norm {
 public:
  void add(const Sum& term) {
    squares_ += term.value * term.value;
    sizes_ += term.size * term.size;
    ++terms_;
  }
  Known get(int64_t operations, double unit) const {
    const double norm = std::sqrt(squares_);
    const double moved = static_cast<double>(operations) * std::sqrt(sizes_);
    return {norm, unit * (moved + static_cast<double>(terms_ + 2) * norm)};
  }

 private:
  double squares_ = 0.0, sizes_ = 0.0;
  int64_t terms_ = 0;
};

// `mode_operations` roundings of the size of a mode's terms; three where those do not cancel.
template <class T>
std::vector<Known> expected_weights(const Basis<T, T>& basis, const T* predicted, const T* target, Choice choice,
                                    int64_t mode_operations = 3) {
  const Sizes& sizes = basis.sizes;
  const double unit = kRoundoff<T> + kRoundoff<double>;
  std::vector<Known> weights(static_cast<size_t>(sizes.width()));
  const auto set = [&](int64_t i, Known norm) {
    const double distance = std::fabs(widen(predicted[i]) - widen(target[i]));
    weights[static_cast<size_t>(i)] = {distance * norm.value, distance * (norm.error + 2 * unit * norm.value)};
  };
  for (int64_t c = 0; c < 4; ++c) {
    Norm norm;
    for (int64_t n = 0; n < sizes.vertices; ++n) norm.add(c < 3 ? basis.shape(target + 12, n, c) : Sum{1.0, 0.0});
    for (int64_t r = 0; r < 3; ++r) {
      // An image does not determine depth: in the plane the whole third row is ignored, in space its translation.
      if (r < 2 || (!choice.planar && c < 3)) set(4 * r + c, norm.get(sizes.modes, unit));
    }
  }
  for (int64_t k = 0; k < sizes.modes; ++k) {
    Norm norm;
    for (int64_t n = 0; n < sizes.vertices; ++n) {
      for (int64_t r = 0; r < (choice.planar ? 2 : 3); ++r) {
        Sum moved;
        for (int64_t c = 0; c < 3; ++c) moved.add(widen(target[4 * r + c]) * basis.mode(k, n, c));
        norm.add(moved);
      }
    }
    set(12 + k, norm.get(mode_operations, unit));
  }

  Known whole;
  for (const Known& weight : weights) {
    if (choice.by_maximum) {
      whole.value = std::max(whole.value, weight.value);
      whole.error = std::max(whole.error, weight.error);
    } else {
      whole.value += weight.value;
      whole.error += weight.error;
    }
  }
  if (choice.by_maximum) whole.value += 1e-6;
  for (Known& weight : weights) {
    if (whole.value == 0.0) continue;  // a perfect prediction has zero weights
    // Both errors of the quotient, and the roundings of the reciprocal and of the product.
    weight.error = (weight.error + weight.value * (whole.error / whole.value + 3 * unit)) / whole.value;
    weight.value /= whole.value;
  }
  return weights;
}

template <class T>
testing::AssertionResult close(const Array<T>& output, const std::vector<Known>& expected) {
  for (int64_t i = 0; i < output.size(); ++i) {
    const Known& weight = expected[static_cast<size_t>(i)];
    if (!(std::fabs(widen(output[i]) - weight.value) <= weight.error)) {
      return testing::AssertionFailure() << "element " << i << " is " << output[i] << ", expected " << weight.value
                                         << " within " << weight.error;
    }
  }
  return testing::AssertionSuccess() << "all elements as expected";
}

}  // namespace twodasl::test
