// vertices, forward: V[b, n] = M[b] (mean[n] + sum_k c[b, k] modes[k, n]) + t[b].
#include "levels.h"
#include "oracle.h"

namespace twodasl::test {

namespace {

// Row r of M p + t, for p given by its components.
Sum pose_row(const double* row, const Sum (&p)[3]) {
  Sum sum;
  for (int c = 0; c < 3; ++c) sum.add(row[c], p[c]);
  sum.add(row[3]);
  return sum;
}

template <class T, class S>
std::vector<Sum> expected_vertices(const Basis<T, S>& basis, const Faces<T>& faces) {
  std::vector<Sum> result;
  for (int64_t b = 0; b < basis.sizes.batch; ++b) {
    for (int64_t n = 0; n < basis.sizes.vertices; ++n) {
      Sum p[3];
      for (int c = 0; c < 3; ++c) p[c] = basis.shape(faces.coefficients.data() + b * basis.sizes.modes, n, c);
      for (int r = 0; r < 3; ++r) {
        double row[4];
        for (int c = 0; c < 4; ++c) row[c] = widen(faces.pose[12 * b + 4 * r + c]);
        result.push_back(pose_row(row, p));
      }
    }
  }
  return result;
}

template <class T, class S>
void check_forward(const cpu::BasisKernels<T, S>& kernels) {
  for (const Sizes& sizes : kSizes) {
    std::vector<Sum> expected;
    std::vector<unsigned char> first;
    for (const Place place : kPlaces) {
      const Basis<T, S> basis(place, sizes);
      const Faces<T> faces(place, sizes);
      if (place == Place::exact) expected = expected_vertices(basis, faces);
      for (const int threads : splits(place)) {
        SCOPED_TRACE(testing::Message() << sizes << ", " << name(place) << ", threads " << threads);
        Array<T> output(place, sizes.batch * sizes.vertices * 3);
        const VerticesParams<T, S> params{basis.view(), faces.coefficients.data(), faces.pose.data(), output.data(),
                                          sizes.batch};
        split(partition(sizes.vertices, sizes.modes, sizes.batch, sizeof(S)).tasks(), threads,
              [&](int64_t begin, int64_t end) { kernels.forward(params, begin, end); });
        ASSERT_TRUE(output.untouched_around());
        if (first.empty()) {
          // K modes, then three columns and the translation.
          ASSERT_TRUE(close(output, expected, sizes.modes + 4));
          first = output.bits();
        }
        ASSERT_TRUE(output.bits() == first);
      }
    }
  }
}

// Every finite number of a 16-bit format passes through: one mode, coefficient one, no pose.
template <class S>
void check_storage(const cpu::BasisKernels<float, S>& kernels, int exponent_bits) {
  std::vector<S> finite;
  const int fraction_bits = 15 - exponent_bits;
  for (int bits = 0; bits < 0x10000; ++bits) {
    const int exponent = (bits >> fraction_bits) & ((1 << exponent_bits) - 1);
    if (exponent != (1 << exponent_bits) - 1) finite.push_back({static_cast<uint16_t>(bits)});
  }
  const Sizes sizes{static_cast<int64_t>(finite.size() + 2) / 3, 1, 1};
  Basis<float, S> basis(Place::exact, sizes);
  std::fill(basis.mean.begin(), basis.mean.end(), 0.0f);
  std::fill(basis.modes.begin(), basis.modes.end(), S{});
  for (size_t i = 0; i < finite.size(); ++i) {
    basis.modes[packed(static_cast<int64_t>(i / 3), 0, 1, static_cast<int64_t>(i % 3))] = finite[i];
  }
  const float one = 1.0f, pose[12] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0};
  Array<float> output(Place::exact, 3 * sizes.vertices);
  const VerticesParams<float, S> params{basis.view(), &one, pose, output.data(), 1};
  kernels.forward(params, 0, partition(sizes.vertices, 1, 1, sizeof(S)).tasks());
  for (size_t i = 0; i < finite.size(); ++i) {
    ASSERT_EQ(widen(output[static_cast<int64_t>(i)]), widen(finite[i])) << "bits " << finite[i].bits;
  }
}

class Vertices : public LevelTest {};

TEST_P(Vertices, Float32) { check_forward(level().f32.basis); }
TEST_P(Vertices, Float64) { check_forward(level().f64.basis); }
TEST_P(Vertices, BFloat16) { check_forward(level().bf16); }
TEST_P(Vertices, Float16) { check_forward(level().f16); }
TEST_P(Vertices, EveryBFloat16Number) { check_storage(level().bf16, 8); }
TEST_P(Vertices, EveryFloat16Number) { check_storage(level().f16, 5); }

TWODASL_FOR_EVERY_LEVEL(Vertices);

}  // namespace

}  // namespace twodasl::test
