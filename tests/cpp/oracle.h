// The expected results in double-precision loops, with the size of the terms of every sum.
#pragma once

#include <cmath>
#include <ostream>
#include <random>
#include <string>

#include "../../csrc/common/params.h"
#include "arrays.h"

namespace twodasl::test {

// A value, and the sum of the absolute values of the terms that make it up: rounding errors grow with the second.
struct Sum {
  double value = 0.0, size = 0.0;

  void add(double term) { add(1.0, {term, std::fabs(term)}); }
  void add(double factor, const Sum& other) {
    value += factor * other.value;
    size += std::fabs(factor) * other.size;
  }
};

template <class T>
inline constexpr double kRoundoff = std::numeric_limits<T>::epsilon() / 2;  // relative error of one rounding

// |result - expected| <= operations * roundoff * size. `operations` is the number of roundings that any one term
// meets on its way into the result: every one of them changes it by at most its roundoff. The oracle rounds as
// often, in double precision. A NaN, such as an element that was never written, fails.
template <class T>
testing::AssertionResult close(const Array<T>& result, const std::vector<Sum>& expected, int64_t operations) {
  if (result.size() != static_cast<int64_t>(expected.size())) {
    return testing::AssertionFailure() << result.size() << " elements, expected " << expected.size();
  }
  const double unit = static_cast<double>(operations) * (kRoundoff<T> + kRoundoff<double>);
  for (int64_t i = 0; i < result.size(); ++i) {
    const Sum& sum = expected[static_cast<size_t>(i)];
    const double got = static_cast<double>(result[i]), bound = unit * sum.size;
    if (!(std::fabs(got - sum.value) <= bound)) {
      return testing::AssertionFailure() << "element " << i << " of " << result.size() << " is " << got << ", expected "
                                         << sum.value << " within " << bound;
    }
  }
  return testing::AssertionSuccess() << "all " << result.size() << " elements as expected";
}

// ---- numbers -------------------------------------------------------------------------------------------------
inline double widen(float x) { return static_cast<double>(x); }
inline double widen(double x) { return x; }
inline double widen(BFloat16 x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return static_cast<double>(value);
}
// Sign, 5 bits of exponent with bias 15, 10 bits of fraction; finite numbers only.
inline double widen(Float16 x) {
  const int exponent = (x.bits >> 10) & 31, fraction = x.bits & 1023;
  const double magnitude = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  return x.bits & 0x8000 ? -magnitude : magnitude;
}

class Random {
 public:
  explicit Random(uint64_t seed) : bits_(seed) {}

  double uniform(double low, double high) {
    return low + (high - low) * static_cast<double>(bits_() >> 11) * 0x1p-53;
  }
  int64_t below(int64_t count) { return static_cast<int64_t>(bits_() % static_cast<uint64_t>(count)); }

  // Numbers of sizes around one, both signs.
  void draw(float& x) { x = static_cast<float>(uniform(-2.0, 2.0)); }
  void draw(double& x) { x = uniform(-2.0, 2.0); }
  void draw(BFloat16& x) { x.bits = static_cast<uint16_t>((bits_() & 0x80ff) + 0x3f00); }  // 0.5 to 2
  void draw(Float16& x) { x.bits = static_cast<uint16_t>((bits_() & 0x87ff) + 0x3800); }   // 0.5 to 2
  template <class T>
  void fill(Array<T>& array) {
    for (T& x : array) draw(x);
  }

 private:
  std::mt19937_64 bits_;
};

// ---- a basis and faces on it ------------------------------------------------------------------------------------
struct Sizes {
  int64_t vertices, modes, batch;

  int64_t blocks() const { return block_count(vertices); }
  int64_t width() const { return 12 + modes; }
};

inline std::ostream& operator<<(std::ostream& out, const Sizes& sizes) {
  return out << "N = " << sizes.vertices << ", K = " << sizes.modes << ", B = " << sizes.batch;
}

// Every count of vertices around a multiple of the block; several parts and several groups of faces; none at all.
inline constexpr Sizes kSizes[] = {
    {1, 0, 1},   {1, 1, 7},    {1, 49, 33},  {15, 49, 7},  {16, 0, 7},   {16, 49, 1}, {17, 1, 1000}, {31, 500, 7},
    {47, 2, 3},  {79, 500, 3}, {203, 49, 7}, {203, 0, 65}, {203, 500, 1}, {1000, 2, 70}, {1000, 49, 2}, {17, 49, 0},
    {0, 49, 7},  {0, 0, 0},
};

// A number's place in the packed layout: 16 x, 16 y, 16 z a block; `row` is a mode, of `rows`.
inline int64_t packed(int64_t vertex, int64_t row, int64_t rows, int64_t component) {
  return ((vertex / kBlock * rows + row) * 3 + component) * kBlock + vertex % kBlock;
}

template <class T, class S>
struct Basis {
  Sizes sizes;
  Array<T> mean;
  Array<S> modes;

  Basis(Place place, const Sizes& s, uint64_t seed = 1)
      : sizes(s), mean(place, s.blocks() * kBlockRow), modes(place, s.blocks() * s.modes * kBlockRow) {
    std::fill(mean.begin(), mean.end(), T{});
    std::fill(modes.begin(), modes.end(), S{});
    Random random(seed);
    for (int64_t n = 0; n < s.vertices; ++n) {
      for (int64_t c = 0; c < 3; ++c) {
        random.draw(mean[packed(n, 0, 1, c)]);
        for (int64_t k = 0; k < s.modes; ++k) random.draw(modes[packed(n, k, s.modes, c)]);
      }
    }
  }

  BasisView<T, S> view() const { return {mean.data(), modes.data(), sizes.vertices, sizes.modes}; }
  double mode(int64_t k, int64_t n, int64_t c) const { return widen(modes[packed(n, k, sizes.modes, c)]); }

  // Component c of vertex n before the pose.
  Sum shape(const T* coefficients, int64_t n, int64_t c) const {
    Sum sum;
    sum.add(widen(mean[packed(n, 0, 1, c)]));
    for (int64_t k = 0; k < sizes.modes; ++k) sum.add(widen(coefficients[k]) * mode(k, n, c));
    return sum;
  }
};

template <class T>
struct Faces {
  Array<T> coefficients, pose;

  Faces(Place place, const Sizes& sizes, uint64_t seed = 2)
      : coefficients(place, sizes.batch * sizes.modes), pose(place, sizes.batch * 12) {
    Random random(seed);
    random.fill(coefficients);
    random.fill(pose);
  }
};

}  // namespace twodasl::test
