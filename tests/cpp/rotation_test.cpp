// Small eigenproblems and the nearest rotation: their defining properties, up to rounding, unique or not.
#include "arrays.h"
#include "checked.h"
#include "oracle.h"

namespace twodasl::test {

namespace {

constexpr double kUnit = kRoundoff<double>;

// Jacobi turns every entry some 6 sweeps x N / 2 times at about 6 roundings, and each is backward stable.
template <int N>
constexpr double kEigenRoundings = 6 * 6 * N;

template <int N>
void check_eigen(const double (&given)[N][N]) {
  double matrix[N][N], values[N], vectors[N][N], size = 0.0;
  for (int i = 0; i < N; ++i) {
    for (int j = 0; j < N; ++j) {
      matrix[i][j] = j < i ? std::numeric_limits<double>::quiet_NaN() : given[i][j];  // the upper triangle is read
      size += given[i][j] * given[i][j];
    }
  }
  size = std::sqrt(size);
  checked::symmetric_eigen(matrix, values, vectors);
  for (int i = 0; i < N; ++i) {
    for (int j = 0; j < N; ++j) {
      double product = 0.0, dot = 0.0;
      for (int k = 0; k < N; ++k) {
        product += vectors[i][k] * values[k] * vectors[j][k];
        dot += vectors[k][i] * vectors[k][j];
      }
      EXPECT_NEAR(product, given[std::min(i, j)][std::max(i, j)], kEigenRoundings<N> * kUnit * size);
      EXPECT_NEAR(dot, i == j ? 1.0 : 0.0, kEigenRoundings<N> * kUnit);
    }
  }
}

template <int N>
void check_eigen_of_all() {
  Random random(1);
  for (int round = 0; round < 300; ++round) {
    // The sum of `rank` squares: lost ranks; of one size, or of very different ones.
    const int rank = static_cast<int>(random.below(N + 1));
    double matrix[N][N] = {};
    for (int k = 0; k < rank; ++k) {
      double row[N];
      const double weight = round % 3 == 0 ? 1.0 : std::pow(10.0, random.uniform(-12.0, 12.0));
      for (double& x : row) x = round % 2 == 0 ? random.uniform(-1.0, 1.0) : static_cast<double>(random.below(3)) - 1.0;
      for (int i = 0; i < N; ++i) {
        for (int j = 0; j < N; ++j) matrix[i][j] += (k % 2 == 0 ? weight : -weight) * row[i] * row[j];
      }
    }
    check_eigen(matrix);
  }
  double repeated[N][N] = {};
  for (int i = 0; i < N; ++i) repeated[i][i] = i < N / 2 ? 3.0 : -2.0;
  check_eigen(repeated);
}
TEST(SymmetricEigen, OfFour) { check_eigen_of_all<4>(); }
TEST(SymmetricEigen, OfSeven) { check_eigen_of_all<7>(); }

// ---- the nearest rotation ---------------------------------------------------------------------------------------
struct Matrix {
  double m[9];
};

Matrix product(const Matrix& a, const Matrix& b, bool transposed = false) {
  Matrix c{};
  for (int i = 0; i < 9; ++i) {
    for (int k = 0; k < 3; ++k) c.m[i] += a.m[i / 3 * 3 + k] * (transposed ? b.m[i % 3 * 3 + k] : b.m[3 * k + i % 3]);
  }
  return c;
}
double agreement(const Matrix& a, const Matrix& b) {
  double sum = 0.0;
  for (int i = 0; i < 9; ++i) sum += a.m[i] * b.m[i];
  return sum;
}
double size_of(const Matrix& a) { return std::sqrt(agreement(a, a)); }
double determinant(const Matrix& a) {
  const double* m = a.m;
  return m[0] * (m[4] * m[8] - m[5] * m[7]) - m[1] * (m[3] * m[8] - m[5] * m[6]) + m[2] * (m[3] * m[7] - m[4] * m[6]);
}
Matrix turn(Random& random, double most) {
  double q[4] = {1.0, 0.0, 0.0, 0.0}, length = 0.0;
  for (int i = most > 1.0 ? 0 : 1; i < 4; ++i) q[i] = random.uniform(-most, most);
  for (const double x : q) length += x * x;
  const double s = 2.0 / length, w = q[0], x = q[1], y = q[2], z = q[3];
  return {{1 - s * (y * y + z * z), s * (x * y - w * z), s * (x * z + w * y), s * (x * y + w * z), 1 - s * (x * x + z * z),
           s * (y * z - w * x), s * (x * z - w * y), s * (y * z + w * x), 1 - s * (x * x + y * y)}};
}
Matrix diagonal(double a, double b, double c) { return {{a, 0, 0, 0, b, 0, 0, 0, c}}; }

template <class T>
Matrix nearest(const Matrix& given) {
  Array<T> matrix(Place::exact, 9), rotation(Place::exact, 9);
  for (int i = 0; i < 9; ++i) matrix[i] = static_cast<T>(given.m[i]);
  checked::nearest_rotations(matrix.data(), rotation.data(), 0, 1);
  Matrix result{};
  for (int i = 0; i < 9; ++i) result.m[i] = widen(rotation[i]);
  return result;
}

// A rotation, and none agrees better: neither a close one nor any of many others.
template <class T>
void check_nearest(const Matrix& given, Random& random) {
  Matrix rounded{};
  for (int i = 0; i < 9; ++i) rounded.m[i] = widen(static_cast<T>(given.m[i]));
  const Matrix found = nearest<T>(given), square = product(found, found, true);
  // A quaternion's four products an entry, nine entries' products: some 30 roundings, then one to T.
  const double unit = 30 * (kRoundoff<T> + kUnit);
  for (int i = 0; i < 9; ++i) ASSERT_NEAR(square.m[i], i % 4 == 0 ? 1.0 : 0.0, unit);
  ASSERT_NEAR(determinant(found), 1.0, unit);
  const double best = agreement(found, rounded), bound = (unit + 2 * kEigenRoundings<4> * kUnit) * size_of(rounded) * 3;
  for (int other = 0; other < 60; ++other) {
    const Matrix rival = other % 2 == 0 ? turn(random, 2.0) : product(turn(random, 1e-4 * (other + 1)), found);
    ASSERT_LE(agreement(rival, rounded), best + bound);
  }
}

template <class T>
void check_rotations() {
  Random random(2);
  for (int round = 0; round < 200; ++round) {
    const Matrix left = turn(random, 2.0), right = turn(random, 2.0);
    for (const Matrix& values :
         {diagonal(3, 2, 1), diagonal(2, 2, 1), diagonal(1, 1, 1), diagonal(2, 1, 0), diagonal(1, 0, 0),  // lost ranks
          diagonal(3, 2, -1), diagonal(2, 1, -1), diagonal(1, 1, -1), diagonal(-1, -1, -1),  // reflections
          diagonal(1, 1e-7, 1e-9), diagonal(1, 1e-14, -1e-14)}) {
      check_nearest<T>(product(product(left, values), right), random);
    }
  }
}
TEST(NearestRotation, AgreesBestFloat32) { check_rotations<float>(); }
TEST(NearestRotation, AgreesBestFloat64) { check_rotations<double>(); }

TEST(NearestRotation, OfARotationIsItself) {
  Random random(3);
  for (int round = 0; round < 100; ++round) {
    const Matrix given = turn(random, 2.0), found = nearest<double>(given);
    for (int i = 0; i < 9; ++i) ASSERT_NEAR(found.m[i], given.m[i], 4 * kEigenRoundings<4> * kUnit);
  }
}

TEST(NearestRotation, TurnsNoMoreThanItMust) {
  const auto expect = [](const Matrix& given, const Matrix& expected) {
    const Matrix found = nearest<double>(given);
    for (int i = 0; i < 9; ++i) EXPECT_NEAR(found.m[i], expected.m[i], 1e-12) << "entry " << i;
  };
  const Matrix identity = diagonal(1, 1, 1);
  expect(diagonal(0, 0, 0), identity);
  expect(diagonal(1, 0, 0), identity);
  expect(diagonal(1, 1, 0), identity);
  expect(diagonal(2, 1, -1), identity);
  expect(diagonal(-2, 1, -1), diagonal(-1, 1, -1));  // a half turn
  expect({{0, -1, 0, 0, 0, 0, 0, 0, 0}}, {{0, -1, 0, 1, 0, 0, 0, 0, 1}});  // y to -x: a quarter turn about z
}

TEST(NearestRotation, OfAnySize) {
  Random random(4);
  for (const double scale : {1e-300, 1e-160, 1e160, 1e300, 5e-324}) {
    const Matrix given = turn(random, 2.0);
    Matrix scaled = given;
    for (double& x : scaled.m) x *= scale;
    if (scale == 5e-324) scaled = diagonal(scale, scale, scale);
    const Matrix found = nearest<double>(scaled), expected = scale == 5e-324 ? diagonal(1, 1, 1) : given;
    for (int i = 0; i < 9; ++i) EXPECT_NEAR(found.m[i], expected.m[i], 1e-12) << scale;
  }
}

template <class T>
void check_placement() {
  constexpr int64_t kCount = 37;
  std::vector<unsigned char> first;
  for (const Place place : kPlaces) {
    for (const int threads : splits(place)) {
      Array<T> matrices(place, 9 * kCount), rotations(place, 9 * kCount);
      Random random(5);
      random.fill(matrices);
      for (const int64_t bad : {3, 20}) {
        matrices[9 * bad + bad % 9] = bad == 3 ? std::numeric_limits<T>::quiet_NaN() : std::numeric_limits<T>::infinity();
      }
      split(kCount, threads, [&](int64_t begin, int64_t end) {
        checked::nearest_rotations(matrices.data(), rotations.data(), begin, end);
      });
      ASSERT_TRUE(rotations.untouched_around());
      for (int64_t i = 0; i < 9 * kCount; ++i) ASSERT_EQ(std::isnan(rotations[i]), i / 9 == 3 || i / 9 == 20) << i;
      if (first.empty()) first = rotations.bits();
      ASSERT_EQ(rotations.bits(), first);
    }
  }
}
TEST(NearestRotation, SpoilsNoOtherFloat32) { check_placement<float>(); }
TEST(NearestRotation, SpoilsNoOtherFloat64) { check_placement<double>(); }

}  // namespace

}  // namespace twodasl::test
