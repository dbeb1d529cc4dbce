// importance_weights: w_i = |p_i - p*_i| || dH / dp_i || at the target, H the posed landmarks; then normalised.
#include "levels.h"
#include "oracle.h"

namespace twodasl::test {

namespace {

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

template <class T>
std::vector<Known> expected_weights(const Basis<T, T>& basis, const T* predicted, const T* target, Choice choice) {
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
      // Nothing in an image supervises depth: in the plane the whole third row, in space its translation.
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
    set(12 + k, norm.get(3, unit));
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
    if (whole.value == 0.0) continue;  // a perfect prediction weighs nothing
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

template <class T>
void check_weights(const cpu::Kernels<T>& kernels, const Sizes& sizes, Choice choice, bool perfect) {
  std::vector<Known> expected;
  std::vector<unsigned char> first;
  for (const Place place : kPlaces) {
    const Basis<T, T> basis(place, sizes);
    Array<T> predicted(place, sizes.batch * sizes.width()), target(place, sizes.batch * sizes.width());
    Random(5).fill(predicted);
    Random(perfect ? 5 : 6).fill(target);
    for (int64_t b = 0; place == Place::exact && b < sizes.batch; ++b) {
      const int64_t begin = b * sizes.width();
      const auto face = expected_weights(basis, predicted.data() + begin, target.data() + begin, choice);
      expected.insert(expected.end(), face.begin(), face.end());
    }
    for (const int threads : splits(place)) {
      SCOPED_TRACE(testing::Message() << sizes << ", " << name(place) << (choice.planar ? ", planar" : ", in space")
                                      << (choice.by_maximum ? ", maximum" : ", sum") << (perfect ? ", perfect" : "")
                                      << ", threads " << threads);
      Array<T> output(place, predicted.size());
      Array<T> factor(place, 6 * padded(sizes.modes));
      const ImportanceWeightsParams<T> params{basis.view(),  predicted.data(), target.data(),    factor.data(),
                                              output.data(), sizes.batch,      choice.planar,    choice.by_maximum};
      split(sizes.modes, threads,
            [&](int64_t begin, int64_t end) { kernels.importance_factor(params, begin, end); });
      split(sizes.batch, threads,
            [&](int64_t begin, int64_t end) { kernels.importance_weights(params, begin, end); });
      ASSERT_TRUE(output.untouched_around() && factor.untouched_around());
      if (first.empty()) {
        ASSERT_TRUE(close(output, expected));
        first = output.bits();
      }
      ASSERT_TRUE(output.bits() == first);
    }
  }
}

template <class T>
void check_all(const cpu::Kernels<T>& kernels) {
  for (const Choice& choice : kChoices) {
    for (const Sizes& sizes : {Sizes{1, 0, 1}, {1, 1, 7}, {15, 49, 7}, {16, 0, 7}, {17, 1, 300}, {31, 500, 1},
                               {68, 49, 5}, {203, 7, 7}, {1000, 49, 1}, {17, 49, 0}, {0, 3, 2}}) {
      check_weights(kernels, sizes, choice, false);
    }
    check_weights(kernels, Sizes{17, 5, 3}, choice, true);
  }
}

class ImportanceWeights : public LevelTest {};

TEST_P(ImportanceWeights, Float32) { check_all(level().f32); }
TEST_P(ImportanceWeights, Float64) { check_all(level().f64); }

// A NaN in one face's parameters shows in all of its weights, and in no other face's.
TEST_P(ImportanceWeights, NotANumberStaysInItsFace) {
  for (const Choice& choice : kChoices) {
    const Sizes sizes{17, 5, 3};
    const Basis<float, float> basis(Place::exact, sizes);
    Array<float> predicted(Place::exact, 3 * sizes.width()), target(Place::exact, 3 * sizes.width());
    Array<float> output(Place::exact, 3 * sizes.width());
    Random(5).fill(predicted);
    Random(6).fill(target);
    predicted[sizes.width() + 13] = std::numeric_limits<float>::quiet_NaN();
    Array<float> factor(Place::exact, 6 * padded(sizes.modes));
    const ImportanceWeightsParams<float> params{basis.view(),  predicted.data(), target.data(),    factor.data(),
                                                output.data(), sizes.batch,      choice.planar,    choice.by_maximum};
    level().f32.importance_factor(params, 0, sizes.modes);
    level().f32.importance_weights(params, 0, sizes.batch);
    for (int64_t i = 0; i < output.size(); ++i) {
      ASSERT_EQ(std::isnan(output[i]), i / sizes.width() == 1) << "parameter " << i % sizes.width() << " of face "
                                                                << i / sizes.width();
    }
  }
}

TWODASL_FOR_EVERY_LEVEL(ImportanceWeights);

}  // namespace

}  // namespace twodasl::test
