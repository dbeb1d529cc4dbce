// importance_weights: w_i = |p_i - p*_i| || dH / dp_i || at the target, H the posed landmarks; then normalized.
#include "importance.h"
#include "levels.h"

namespace twodasl::test {

namespace {

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

// A NaN in one face's parameters reaches all of its weights, and no other face's.
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
