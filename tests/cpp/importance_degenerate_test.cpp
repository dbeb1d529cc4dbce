// importance_weights where terms cancel: modes that move all landmarks along one line, along the line of sight, along
// an axis, or not at all. A sum of squared terms would lose half of the digits there; see importance_factor().
#include "importance.h"
#include "levels.h"

namespace twodasl::test {

namespace {

// Mode k moves landmarks along `line`, by amounts of their own, and beside it by the k-th of these fractions.
constexpr double kBeside[] = {0.0, 1e-7, 1e-5, 1e-3, 1e-1};
constexpr int64_t kFractions = sizeof(kBeside) / sizeof(kBeside[0]);

enum class Line {
  any,
  sight,     // what the target's first two rows project to zero
  one_axis,  // x, y and z in turn
  nowhere,   // zeros, whatever the fraction
};

template <class T>
void set_modes(Basis<T, T>& basis, Line line, const double (&sight)[3]) {
  Random random(31);
  const Sizes& s = basis.sizes;
  for (int64_t k = 0; k < s.modes; ++k) {
    double direction[3];
    for (int c = 0; c < 3; ++c) {
      const double any = random.uniform(-1.0, 1.0);
      direction[c] = line == Line::any ? any : line == Line::sight ? sight[c] : k / kFractions % 3 == c ? 1.0 : 0.0;
    }
    for (int64_t n = 0; n < s.vertices; ++n) {
      const double along = random.uniform(-2.0, 2.0);
      for (int c = 0; c < 3; ++c) {
        const double beside = kBeside[k % kFractions] * random.uniform(-1.0, 1.0);
        basis.modes[packed(n, k, s.modes, c)] = static_cast<T>(line == Line::nowhere ? 0.0 : along * direction[c] + beside);
      }
    }
  }
}

template <class T>
void check_line(const cpu::Kernels<T>& kernels, const Sizes& sizes, Line line, Choice choice) {
  SCOPED_TRACE(testing::Message() << sizes << ", line " << static_cast<int>(line)
                                  << (choice.planar ? ", planar" : ", in space")
                                  << (choice.by_maximum ? ", maximum" : ", sum"));
  Basis<T, T> basis(Place::exact, sizes);
  Array<T> predicted(Place::exact, sizes.width()), target(Place::exact, sizes.width());
  Random(5).fill(predicted);
  Random(6).fill(target);
  // The pose and the translation are right, and the modes' weights alone count: their errors are not hidden.
  std::copy_n(target.data(), 12, predicted.data());
  double sight[3];
  for (int c = 0; c < 3; ++c) {
    const int a = (c + 1) % 3, b = (c + 2) % 3;
    sight[c] = widen(target[a]) * widen(target[4 + b]) - widen(target[b]) * widen(target[4 + a]);
  }
  set_modes(basis, line, sight);
  Array<T> output(Place::exact, sizes.width()), factor(Place::exact, 6 * padded(sizes.modes));
  const ImportanceWeightsParams<T> params{basis.view(),  predicted.data(), target.data(),    factor.data(),
                                          output.data(), 1,                choice.planar,    choice.by_maximum};
  kernels.importance_factor(params, 0, sizes.modes);
  kernels.importance_weights(params, 0, 1);
  for (int64_t k = 0; line == Line::nowhere && k < sizes.modes; ++k) ASSERT_EQ(output[12 + k], T(0));
  // The orthogonal factor's entries are sums over the landmarks, and are wrong by their roundings: relative to a mode's
  // size, not to what the face shows of it. Three components meet them, thrice.
  const int64_t operations = 3 * (sizes.vertices + 9);
  ASSERT_TRUE(close(output, expected_weights(basis, predicted.data(), target.data(), choice, operations)));
}

class ImportanceDegenerate : public LevelTest {};

template <class T>
void check_lines(const cpu::Kernels<T>& kernels) {
  for (const Line line : {Line::any, Line::sight, Line::one_axis, Line::nowhere}) {
    for (const Choice& choice : kChoices) {
      for (const Sizes& sizes : {Sizes{1, 5, 1}, {2, 5, 1}, {3, 20, 1}, {68, 20, 1}, {203, 49, 1}}) {
        check_line(kernels, sizes, line, choice);
      }
    }
  }
}

TEST_P(ImportanceDegenerate, Float32) { check_lines(level().f32); }
TEST_P(ImportanceDegenerate, Float64) { check_lines(level().f64); }

TWODASL_FOR_EVERY_LEVEL(ImportanceDegenerate);

}  // namespace

}  // namespace twodasl::test
