// The checks of rasterize's inputs before a kernel runs: indices in range, finite numbers.
#include "../../csrc/cpu/kernels/rasterize.h"
#include "arrays.h"

namespace twodasl::test {

namespace {

TEST(IndicesInside, FindsEveryIndexOutside) {
  for (const Place place : kPlaces) {
    for (const int64_t count : {0, 1, 2, 3, 17}) {
      Array<int64_t> indices(place, count);
      for (int64_t i = 0; i < count; ++i) indices[i] = i % 5;
      EXPECT_TRUE(cpu::indices_inside(indices.data(), count, 5));
      EXPECT_EQ(cpu::indices_inside(indices.data(), count, 0), count == 0);
      for (int64_t i = 0; i < count; ++i) {
        for (const int64_t bad : {int64_t(-1), int64_t(5), INT64_MAX, INT64_MIN}) {
          const int64_t good = indices[i];
          indices[i] = bad;
          EXPECT_FALSE(cpu::indices_inside(indices.data(), count, 5)) << bad << " at " << i;
          indices[i] = good;
        }
      }
    }
  }
}

template <class T>
void check_all_finite() {
  using Limits = std::numeric_limits<T>;
  for (const Place place : kPlaces) {
    for (const int64_t count : {0, 1, 7, 8, 9, 31}) {
      Array<T> values(place, count);
      std::fill(values.begin(), values.end(), Limits::max());
      EXPECT_TRUE(cpu::all_finite(values.data(), count));
      for (int64_t i = 0; i < count; ++i) {
        for (const T bad : {Limits::infinity(), -Limits::infinity(), Limits::quiet_NaN()}) {
          values[i] = bad;
          EXPECT_FALSE(cpu::all_finite(values.data(), count)) << bad << " at " << i;
          values[i] = Limits::lowest();
        }
      }
    }
  }
}

TEST(AllFinite, Float32) { check_all_finite<float>(); }
TEST(AllFinite, Float64) { check_all_finite<double>(); }

}  // namespace

}  // namespace twodasl::test
