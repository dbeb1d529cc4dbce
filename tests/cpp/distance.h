// vertex_distance_cost's inputs, and its values and gradients in double-precision loops.
#pragma once

#include "oracle.h"

namespace twodasl::test {

struct DistanceSizes {
  int64_t rows, modes, batch;  // rows of the factor that are not zero: the vertices where they are few

  int64_t features() const { return distance_features(modes); }
  int64_t padded_features() const { return distance_width(modes); }
  int64_t width() const { return 12 + modes; }
};

inline std::ostream& operator<<(std::ostream& out, const DistanceSizes& sizes) {
  return out << "rows = " << sizes.rows << ", K = " << sizes.modes << ", B = " << sizes.batch;
}

enum class Difference {
  large,  // predicted and target have nothing in common
  small,  // they differ in their last digits
  none,   // they are the same
};
inline const char* name(Difference difference) {
  return difference == Difference::large ? "far apart" : difference == Difference::small ? "close" : "the same";
}

template <class T>
struct DistanceInputs {
  DistanceSizes sizes;
  bool ignore_depth;
  int64_t grad_stride;
  Array<T> factor, predicted, target, grad;

  DistanceInputs(Place place, const DistanceSizes& s, Difference difference, bool without_depth, int64_t stride)
      : sizes(s), ignore_depth(without_depth), grad_stride(stride),
        factor(place, 2 * s.padded_features() * s.padded_features()), predicted(place, s.batch * s.width()),
        target(place, s.batch * s.width()), grad(place, s.batch > 0 ? (s.batch - 1) * stride + 1 : 0) {
    std::fill(factor.begin(), factor.end(), T(0));
    Random random(7);
    for (int64_t i = 0; i < s.rows; ++i) {
      for (int64_t j = i; j < s.features(); ++j) {
        T value;
        random.draw(value);
        set_factor(i, j, value);
      }
    }
    random.fill(predicted);
    random.fill(target);
    random.fill(grad);
    for (int64_t i = 0; difference != Difference::large && i < target.size(); ++i) {
      const T off = difference == Difference::small ? 4 * std::numeric_limits<T>::epsilon() * target[i] : T(0);
      target[i] = predicted[i] + off;
    }
  }

  // Entry (i, j) of R, and of R^T.
  void set_factor(int64_t i, int64_t j, T value) {
    const int64_t padded = sizes.padded_features();
    factor[i * padded + j] = factor[padded * padded + j * padded + i] = value;
  }
  double factor_at(int64_t i, int64_t j) const { return widen(factor[i * sizes.padded_features() + j]); }
};

// The features of row r: differences, so that close values do not cancel. Three roundings each.
template <class T>
std::vector<Sum> distance_features_of(const DistanceInputs<T>& in, int64_t face, int64_t r) {
  const int64_t modes = in.sizes.modes;
  const T *p = in.predicted.data() + face * in.sizes.width(), *q = in.target.data() + face * in.sizes.width();
  const auto step = [&](int64_t c) { return widen(p[4 * r + c]) - widen(q[4 * r + c]); };
  std::vector<Sum> features(static_cast<size_t>(in.sizes.features()));
  for (int64_t x = 0; x < 3; ++x) {
    features[static_cast<size_t>(x)].add(step(x));
    for (int64_t k = 0; k < modes; ++k) {
      Sum& feature = features[static_cast<size_t>(3 * (k + 1) + x)];
      feature.add(step(x) * widen(p[12 + k]));
      feature.add(widen(q[4 * r + x]) * (widen(p[12 + k]) - widen(q[12 + k])));
    }
  }
  features.back().add(in.ignore_depth && r == 2 ? 0.0 : step(3));
  return features;
}

// Costs and the residuals R a_r, which are kept for the gradients.
template <class T>
testing::AssertionResult close_cost(const Array<T>& cost, const Array<T>& residual, const DistanceInputs<T>& in) {
  const DistanceSizes& s = in.sizes;
  const double unit = kRoundoff<T> + kRoundoff<double>;
  std::vector<Sum> residuals(static_cast<size_t>(residual.size()));
  for (int64_t b = 0; b < s.batch; ++b) {
    double total = 0.0, error = 0.0;
    for (int64_t r = 0; r < 3; ++r) {
      const std::vector<Sum> features = distance_features_of(in, b, r);
      for (int64_t i = 0; i < s.rows; ++i) {
        Sum& sum = residuals[static_cast<size_t>((3 * b + r) * s.padded_features() + i)];
        for (int64_t j = i; j < s.features(); ++j) sum.add(in.factor_at(i, j), features[static_cast<size_t>(j)]);
        const double off = static_cast<double>(s.features() + 4) * unit * sum.size;
        total += sum.value * sum.value;
        error += (2 * std::fabs(sum.value) + off) * off;
      }
    }
    // Squares are summed in double precision, in any order, and rounded once.
    error += (kRoundoff<T> + static_cast<double>(s.features() + 16) * kRoundoff<double>) * total;
    if (!(std::fabs(widen(cost[b]) - total) <= error)) {
      return testing::AssertionFailure() << "face " << b << " costs " << cost[b] << ", expected " << total << " within "
                                         << error;
    }
  }
  return close(residual, residuals, s.features() + 4);
}

struct DistanceGradients {
  std::vector<Sum> predicted, target;
};

// With g_r = 2 grad R^T y_r for the residuals y_r that the kernel was given.
template <class T>
DistanceGradients expected_gradients(const DistanceInputs<T>& in, const Array<T>& residual) {
  const DistanceSizes& s = in.sizes;
  DistanceGradients result;
  for (const int side : {1, -1}) {
    std::vector<Sum>& gradients = side > 0 ? result.predicted : result.target;
    gradients.resize(static_cast<size_t>(s.batch * s.width()));
  }
  for (int64_t b = 0; b < s.batch; ++b) {
    const double scale = 2 * widen(in.grad[b * in.grad_stride]);
    for (int64_t r = 0; r < 3; ++r) {
      std::vector<Sum> g(static_cast<size_t>(s.features()));
      for (int64_t i = 0; i < s.rows; ++i) {
        const double y = scale * widen(residual[(3 * b + r) * s.padded_features() + i]);
        for (int64_t j = i; j < s.features(); ++j) g[static_cast<size_t>(j)].add(in.factor_at(i, j) * y);
      }
      for (const int side : {1, -1}) {
        const T* p = (side > 0 ? in.predicted : in.target).data() + b * s.width();
        Sum* gradient = (side > 0 ? result.predicted : result.target).data() + b * s.width();
        for (int64_t x = 0; x < 3; ++x) {
          gradient[4 * r + x].add(side, g[static_cast<size_t>(x)]);
          for (int64_t k = 0; k < s.modes; ++k) {
            const Sum& feature = g[static_cast<size_t>(3 * (k + 1) + x)];
            gradient[4 * r + x].add(side * widen(p[12 + k]), feature);
            gradient[12 + k].add(side * widen(p[4 * r + x]), feature);
          }
        }
        if (r < 2 || !in.ignore_depth) gradient[4 * r + 3].add(side, g.back());
      }
    }
  }
  return result;
}

}  // namespace twodasl::test
