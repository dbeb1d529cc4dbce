// Positive definite systems, against elimination in extended precision, and what is refused as too near to singular.
#include <cmath>
#include <limits>

#include "checked.h"
#include "oracle.h"

namespace twodasl::test {

namespace {

constexpr int kN = 7;
constexpr double kUnit = kRoundoff<double>;
constexpr double kLimit = 1e9;

struct System {
  double matrix[kN][kN], right[kN];
};

// vectors diag(values) vectors^T, with the eigenvectors of a random matrix.
System system_of(const double (&values)[kN], Random& random) {
  double start[kN][kN], unused[kN], vectors[kN][kN];
  for (auto& row : start) {
    for (double& x : row) x = random.uniform(-1.0, 1.0);
  }
  checked::symmetric_eigen(start, unused, vectors);
  System made{};
  for (int i = 0; i < kN; ++i) {
    made.right[i] = random.uniform(-1.0, 1.0);
    for (int j = 0; j < kN; ++j) {
      for (int k = 0; k < kN; ++k) made.matrix[i][j] += vectors[i][k] * values[k] * vectors[j][k];
    }
  }
  return made;
}

// Gauss with pivots, in extended precision, of the matrix that the upper triangle stands for.
void eliminate(const System& given, long double (&x)[kN]) {
  long double a[kN][kN + 1];
  for (int i = 0; i < kN; ++i) {
    for (int j = 0; j < kN; ++j) a[i][j] = given.matrix[std::min(i, j)][std::max(i, j)];
    a[i][kN] = given.right[i];
  }
  for (int k = 0; k < kN; ++k) {
    int pivot = k;
    for (int i = k + 1; i < kN; ++i) pivot = std::fabs(a[i][k]) > std::fabs(a[pivot][k]) ? i : pivot;
    std::swap(a[k], a[pivot]);
    for (int i = 0; i < kN; ++i) {
      const long double factor = i == k ? 0.0L : a[i][k] / a[k][k];
      for (int j = k; j <= kN; ++j) a[i][j] -= factor * a[k][j];
    }
  }
  for (int i = 0; i < kN; ++i) x[i] = a[i][kN] / a[i][i];
}

bool solve(System given, double (&x)[kN]) {
  for (int i = 0; i < kN; ++i) {
    for (int j = 0; j < i; ++j) given.matrix[i][j] = std::numeric_limits<double>::quiet_NaN();  // is not read
  }
  return checked::solve_positive(given.matrix, given.right, kLimit, x);
}

TEST(SolvePositive, SolvesWhatIsFarFromSingular) {
  Random random(1);
  int solved = 0, refused = 0;
  for (int round = 0; round < 2000; ++round) {
    // Of any size; as spread as 1 to 1e12, by any number of small ones.
    const double size = std::pow(10.0, random.uniform(-100.0, 100.0)), spread = random.uniform(0.0, 12.0);
    const int small = 1 + static_cast<int>(random.below(kN - 1));
    double values[kN], least = 1.0;
    for (int i = 0; i < kN; ++i) {
      const double value = i == 0 ? 1.0 : i < small ? std::pow(10.0, -random.uniform(0.0, spread)) : std::pow(10.0, -spread);
      least = std::min(least, value);
      values[i] = size * value;
    }
    const System given = system_of(values, random);
    double x[kN];
    const bool is_solved = solve(given, x);
    // Making the matrix has moved its eigenvalues by some roundings of the largest.
    if (least < 0.99 / kLimit) {
      EXPECT_FALSE(is_solved) << least;
    }
    if (least > 1.01 * kN * kN / kLimit) {
      EXPECT_TRUE(is_solved) << least;
    }
    (is_solved ? solved : refused) += 1;
    if (!is_solved) continue;
    long double expected[kN], length = 0.0L, error = 0.0L;
    eliminate(given, expected);
    for (int i = 0; i < kN; ++i) {
      length += expected[i] * expected[i];
      error += (x[i] - expected[i]) * (x[i] - expected[i]);
    }
    // Factoring and two triangles are backward stable: N + 2 roundings for each of the 3 N terms of a row.
    EXPECT_LE(std::sqrt(error), 3 * kN * (kN + 2) * kUnit / least * std::sqrt(length)) << least;
  }
  EXPECT_GT(solved, 500);
  EXPECT_GT(refused, 300);
}

TEST(SolvePositive, RefusesWhatIsNotPositiveOrNotFinite) {
  Random random(2);
  double x[kN];
  EXPECT_FALSE(solve({}, x));
  for (int i = 0; i < kN; ++i) {
    double values[kN] = {1, 2, 3, 4, 5, 6, 7};
    const System good = system_of(values, random);
    EXPECT_TRUE(solve(good, x));
    values[i] = 0.0;
    EXPECT_FALSE(solve(system_of(values, random), x));
    values[i] = -1e-3;
    EXPECT_FALSE(solve(system_of(values, random), x));
    for (const double wrong : {std::numeric_limits<double>::quiet_NaN(), HUGE_VAL, -HUGE_VAL}) {
      for (int j = i; j < kN; ++j) {
        System spoiled = good;
        spoiled.matrix[i][j] = wrong;
        EXPECT_FALSE(solve(spoiled, x)) << i << ' ' << j << ' ' << wrong;
      }
    }
  }
}

TEST(SolvePositive, AnUnknownOfItsOwnStaysZero) {
  Random random(3);
  double values[kN] = {1, 2, 3, 4, 5, 6, 7}, x[kN];
  System given = system_of(values, random);
  for (int i = 0; i < kN - 1; ++i) given.matrix[i][kN - 1] = 0.0;
  given.right[kN - 1] = 0.0;
  ASSERT_TRUE(solve(given, x));
  EXPECT_EQ(x[kN - 1], 0.0);
}

}  // namespace

}  // namespace twodasl::test
