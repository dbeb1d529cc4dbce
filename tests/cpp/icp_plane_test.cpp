// The step of point-to-plane on surfaces that hold a source well, hardly, or not in some directions: the step of the
// eigenvectors, whichever way it was found.
#include "icp.h"

#include "../../csrc/common/icp_solve.h"

namespace twodasl::test {

namespace {

constexpr int kUnknowns = icp::kPlaneUnknowns;
enum class Shape { sheet, sphere, cylinder, line, point };

// The sums of 300 pairs on a shape of size one whose relief is `relief`, with residuals of some thousandths.
std::vector<double> sums_on(Shape shape, double relief, uint64_t seed) {
  Random random(seed);
  std::vector<double> sums(35, 0.0);
  for (int pair = 0; pair < 300; ++pair) {
    const double u = random.uniform(-1.0, 1.0), v = random.uniform(-1.0, 1.0), a = 3.0 * u, b = 1.5 * v;
    double at[3] = {u, v, relief * std::sin(3 * u) * std::cos(2 * v)};
    double n[3] = {-relief * 3 * std::cos(3 * u) * std::cos(2 * v), relief * 2 * std::sin(3 * u) * std::sin(2 * v), 1.0};
    if (shape == Shape::sphere || shape == Shape::cylinder) {
      const double across = shape == Shape::sphere ? std::cos(b) : 1.0;
      n[0] = across * std::cos(a), n[1] = across * std::sin(a), n[2] = shape == Shape::sphere ? std::sin(b) : 0.0;
      for (int c = 0; c < 3; ++c) at[c] = n[c];
      if (shape == Shape::cylinder) at[2] = v;
      for (int c = 0; c < 3; ++c) at[c] += relief * std::sin(3 * v + 2 * u * c);
    } else if (shape == Shape::line || shape == Shape::point) {
      for (int c = 0; c < 3; ++c) at[c] = shape == Shape::line ? 0.5 * u * (c + 1) : 0.5;
      for (double& x : n) x = random.uniform(-1.0, 1.0);
    }
    const double length = std::sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2]);
    double row[8];
    for (double& x : n) x /= length;
    for (int r = 0; r < 3; ++r) {
      const int s = (r + 1) % 3, t = (r + 2) % 3;
      row[r] = at[s] * n[t] - at[t] * n[s];
      row[3 + r] = n[r];
    }
    row[6] = n[0] * at[0] + n[1] * at[1] + n[2] * at[2];
    row[7] = random.uniform(-1e-3, 1e-3);
    size_t k = 0;
    for (int r = 0; r < kUnknowns; ++r) {
      for (int c = r; c < kUnknowns; ++c) sums[k++] += row[r] * row[c];
    }
    for (int r = 0; r < kUnknowns; ++r) sums[k++] += row[r] * row[7];
  }
  return sums;
}

// The least eigenvalue over the largest, without the scale where it is not sought.
double held_share(const std::vector<double>& sums, bool scale) {
  double matrix[kUnknowns][kUnknowns], right[kUnknowns], values[kUnknowns], vectors[kUnknowns][kUnknowns];
  icp::plane_equations(sums.data(), scale, sums[0], matrix, right);
  symmetric_eigen(matrix, values, vectors);
  return *std::min_element(values, values + kUnknowns) / *std::max_element(values, values + kUnknowns);
}

TEST(IcpPlane, TheStepIsThatOfTheEigenvectors) {
  const double qc[kFrameNumbers] = {0.1, -0.2, 0.3, 1.0};
  int direct = 0, singular = 0;
  for (const Shape shape : {Shape::sheet, Shape::sphere, Shape::cylinder, Shape::line, Shape::point}) {
    for (const double relief : {1.0, 0.1, 1e-2, 1e-3, 3e-4, 1e-4, 1e-5, 1e-7, 0.0}) {
      for (const bool scale : {false, true}) {
        for (uint64_t seed = 1; seed < 20; ++seed) {
          SCOPED_TRACE(testing::Message() << "shape " << int(shape) << ", relief " << relief << ", scale " << scale);
          const std::vector<double> sums = sums_on(shape, relief, seed);
          const Clouds<double> clouds(Place::exact, {1, 1, {1}}, seed);
          const double* pose = clouds.pose.data();
          double step[kUnknowns], expected[kPoseNumbers], next[kPoseNumbers];
          icp::held_plane_step(sums.data(), scale, step);
          icp::take_plane_step(step, qc, pose, expected);
          icp::point_to_plane(sums.data(), qc, scale, pose, next);
          const double share = held_share(sums, scale);
          if (share <= icp::kHeld) {  // to the bit
            ++singular;
            for (int i = 0; i < kPoseNumbers; ++i) ASSERT_EQ(next[i], expected[i]) << i;
            continue;
          }
          // Both solve a matrix that is off by some N^2 roundings for LDL, and kEigenRoundings for Jacobi's sweeps.
          double length = 0.0, reach = 2.0;
          for (const double x : step) length += x * x;
          for (int i = 9; i < 12; ++i) reach += std::fabs(pose[i]);
          const double roundings = 36 * kUnknowns + 3 * kUnknowns * (kUnknowns + 2);
          const double bound = kRoundoff<double> * (roundings / share * std::sqrt(length) * reach + 30 * reach);
          for (int i = 0; i < kPoseNumbers; ++i) ASSERT_NEAR(next[i], expected[i], bound) << i;
          direct += share > kUnknowns * kUnknowns * icp::kHeld ? 1 : 0;
        }
      }
    }
  }
  EXPECT_GT(direct, 200);
  EXPECT_GT(singular, 200);
}

// Sums that overflowed, or none at all: as the eigenvectors take them.
TEST(IcpPlane, SumsWithoutMeaning) {
  const double qc[kFrameNumbers] = {0.0, 0.0, 0.0, 1.0}, pose[kPoseNumbers] = {1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1};
  double next[kPoseNumbers];
  icp::point_to_plane(std::vector<double>(35, 0.0).data(), qc, true, pose, next);
  for (int i = 0; i < kPoseNumbers; ++i) EXPECT_EQ(next[i], pose[i]);
  std::vector<double> sums = sums_on(Shape::sheet, 1.0, 1);
  for (double& x : sums) x *= 1e-300;
  double tiny[kPoseNumbers];
  icp::point_to_plane(sums_on(Shape::sheet, 1.0, 1).data(), qc, true, pose, next);
  icp::point_to_plane(sums.data(), qc, true, pose, tiny);
  for (int i = 0; i < kPoseNumbers; ++i) EXPECT_NEAR(tiny[i], next[i], 1e-13);
}

}  // namespace

}  // namespace twodasl::test
