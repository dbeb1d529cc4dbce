// The turn's exponential, its left Jacobian and its second derivatives, beside the places where series take over.
#include "fit.h"

#include "../../csrc/common/so3.h"

namespace twodasl::test {

namespace {

// Angles from none to beyond a whole turn; the series end at 1.
std::vector<std::vector<double>> turns() {
  std::vector<std::vector<double>> found;
  for (const double angle : {0.0, 1e-9, 1e-4, 0.3, 0.999999, 1.000001, 2.0, 3.1, 3.2, 7.0}) {
    found.push_back({angle * 2.0 / 7.0, angle * -3.0 / 7.0, angle * 6.0 / 7.0});
  }
  return found;
}

TEST(Turn, IsTheQuaternionsRotation) {
  for (const auto& t : turns()) {
    const double w[3] = {t[0], t[1], t[2]};
    double rotation[9], left[9], expected[9];
    turn_by(w, rotation, left);
    FitOracle<double>::rotation(w[0], w[1], w[2], expected);
    for (int i = 0; i < 9; ++i) ASSERT_NEAR(rotation[i], expected[i], 32 * kRoundoff<double>) << t[0];
  }
}

// dR / dw_j = [J e_j] R by central differences of the rotation: good to the cube root of the roundoff, squared.
TEST(Turn, HasTheLeftJacobian) {
  constexpr double kStep = 1e-5;
  for (const auto& t : turns()) {
    const double w[3] = {t[0], t[1], t[2]};
    double rotation[9], left[9];
    turn_by(w, rotation, left);
    for (int j = 0; j < 3; ++j) {
      double up[9], down[9], unused[9], there[3] = {w[0], w[1], w[2]}, back[3] = {w[0], w[1], w[2]};
      there[j] += kStep, back[j] -= kStep;
      turn_by(there, up, unused);
      turn_by(back, down, unused);
      for (int i = 0; i < 9; ++i) {
        const int r = i / 3, a = (r + 1) % 3, b = (r + 2) % 3, c = i % 3;
        const double expected = left[3 * a + j] * rotation[3 * b + c] - left[3 * b + j] * rotation[3 * a + c];
        ASSERT_NEAR((up[i] - down[i]) / (2.0 * kStep), expected, 1e-9) << t[0];
      }
    }
  }
}

TEST(Turn, HasSecondDerivatives) {
  constexpr double kStep = 1e-4;
  const double n[9] = {0.3, -1.1, 0.7, 0.2, 0.9, -0.4, 1.3, 0.5, -0.8};
  const auto value = [&](double x, double y, double z) {
    const double w[3] = {x, y, z};
    double rotation[9], left[9], sum = 0.0;
    turn_by(w, rotation, left);
    for (int i = 0; i < 9; ++i) sum += n[i] * rotation[i];
    return sum;
  };
  for (const auto& t : turns()) {
    const double w[3] = {t[0], t[1], t[2]};
    double second[9];
    turn_second(w, n, second);
    for (int i = 0; i < 9; ++i) {
      double sum = 0.0;
      for (const double a : {1.0, -1.0}) {
        for (const double b : {1.0, -1.0}) {
          double at[3] = {w[0], w[1], w[2]};
          at[i / 3] += a * kStep, at[i % 3] += b * kStep;
          sum += a * b * value(at[0], at[1], at[2]);
        }
      }
      ASSERT_NEAR(sum / (4.0 * kStep * kStep), second[i], 1e-6) << t[0];
    }
  }
}

}  // namespace

}  // namespace twodasl::test
