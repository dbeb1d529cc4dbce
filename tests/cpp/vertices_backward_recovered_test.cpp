// vertices, backward, with shapes recovered from the forward's result: grad M = (sum_n g[n] (V[n] - t)^T) M^-T where M
// is far from singular; see cpu/kernels/recover.h.
#include "backward.h"
#include "levels.h"
#include "poses.h"

namespace twodasl::test {

namespace {

// The forward's result, with rounding unlike the kernel's: from double-precision loops.
template <class T, class S>
void synthesize(const Basis<T, S>& basis, const Faces<T>& faces, Array<T>& vertices) {
  const Sizes& s = basis.sizes;
  for (int64_t b = 0; b < s.batch; ++b) {
    for (int64_t n = 0; n < s.vertices; ++n) {
      double p[3];
      for (int64_t c = 0; c < 3; ++c) p[c] = basis.shape(faces.coefficients.data() + b * s.modes, n, c).value;
      for (int64_t r = 0; r < 3; ++r) {
        const T* row = faces.pose.data() + 12 * b + 4 * r;
        double posed = widen(row[3]);
        for (int64_t c = 0; c < 3; ++c) posed += widen(row[c]) * p[c];
        vertices[(b * s.vertices + n) * 3 + r] = static_cast<T>(posed);
      }
    }
  }
}

// The sizes of the terms of (sum g (V - t)^T) M^-T, in place of those of sum g p^T.
template <class T, class S>
void widen_bounds(const Basis<T, S>& basis, const Faces<T>& faces, const Gradient<T>& gradient, int64_t face,
                  ExpectedGradients& expected) {
  const T* pose = faces.pose.data() + 12 * face;
  double inverse[9];
  ASSERT_TRUE(checked::invert(pose, inverse));
  for (int64_t r = 0; r < 3; ++r) {
    double sizes[3] = {};
    for (int64_t n = 0; n < basis.sizes.vertices; ++n) {
      double p[3];
      for (int64_t c = 0; c < 3; ++c) p[c] = basis.shape(faces.coefficients.data() + face * basis.sizes.modes, n, c).size;
      for (int64_t j = 0; j < 3; ++j) {
        double posed = 2 * std::fabs(widen(pose[4 * j + 3]));
        for (int64_t c = 0; c < 3; ++c) posed += std::fabs(widen(pose[4 * j + c])) * p[c];
        sizes[j] += std::fabs(gradient.at(face, n, r)) * posed;
      }
    }
    for (int64_t c = 0; c < 3; ++c) {
      Sum& sum = expected.pose[static_cast<size_t>(12 * face + 4 * r + c)];
      sum.size = 0.0;
      for (int64_t j = 0; j < 3; ++j) sum.size += std::fabs(inverse[3 * c + j]) * sizes[j];
    }
  }
}

// One way to arrange easy poses and others in a batch.
struct Mixture {
  const char* name;
  bool (*easy)(int64_t face);
};
constexpr Mixture kMixtures[] = {
    {"all easy", [](int64_t) { return true; }},
    {"none easy", [](int64_t) { return false; }},
    {"easy ones first", [](int64_t face) { return face < 3; }},
    {"easy ones last", [](int64_t face) { return face >= 3; }},
    {"every third easy", [](int64_t face) { return face % 3 == 0; }},
    {"all but every fifth easy", [](int64_t face) { return face % 5 != 2; }},
};

template <class T, class S>
struct Batch {
  Basis<T, S> basis;
  Faces<T> faces;
  Gradient<T> gradient;
  Array<T> vertices;
  int64_t easy = 0;

  Batch(Place place, const Sizes& s, const Mixture& mixture, Layout layout)
      : basis(place, s), faces(place, s), gradient(place, layout, s), vertices(place, s.batch * s.vertices * 3) {
    Random random(9);
    for (int64_t b = 0; b < s.batch; ++b) {
      const bool is_easy = mixture.easy(b);
      easy += is_easy;
      set_pose(is_easy ? Pose::easy : kHardPoses[b % kHardPoseCount], random, faces.pose.data() + 12 * b);
    }
    synthesize(basis, faces, vertices);
  }

  // What the kernels may read of the forward's result: the rows of easy faces, up to the last of them.
  std::unique_ptr<Array<T>> needed(Place place, const Mixture& mixture) const {
    const int64_t row = basis.sizes.vertices * 3;
    int64_t end = 0;
    for (int64_t b = 0; b < basis.sizes.batch; ++b) end = mixture.easy(b) ? b + 1 : end;
    auto result = std::make_unique<Array<T>>(place, end * row);
    for (int64_t b = 0; b < end; ++b) {
      if (mixture.easy(b)) std::copy_n(vertices.data() + b * row, row, result->data() + b * row);
    }
    return result;  // NaN elsewhere
  }
};

// Gradients of one face alone.
template <class T, class S>
void check_alone(const cpu::BasisKernels<T, S>& kernels, const Batch<T, S>& batch, int64_t face,
                 const Gradients<T>& together) {
  const Sizes& all = batch.basis.sizes;
  const Sizes one{all.vertices, all.modes, 1};
  Array<T> partial(Place::exact, partition_of<S>(one).parts * one.width());
  VerticesBackwardParams<T, S> params = backward_params(batch.basis, batch.faces, batch.gradient, partial);
  params.coefficients += face * all.modes;
  params.pose += 12 * face;
  params.grad.data += face * params.grad.stride[0];
  params.batch = 1;
  cpu::FaceOrder<T> order;
  checked::apply(order, params, batch.vertices.data() + face * all.vertices * 3);
  Gradients<T> result(Place::exact, one, true, true);
  run_backward(kernels, params, Place::exact, 1, result);
  for (int64_t i = 0; i < all.modes; ++i) {
    ASSERT_EQ(result.coefficients[i], together.coefficients[face * all.modes + i]) << "face " << face;
  }
  for (int64_t i = 0; i < 12; ++i) ASSERT_EQ(result.pose[i], together.pose[12 * face + i]) << "face " << face;
}

template <class T, class S>
void check_recovered(const cpu::BasisKernels<T, S>& kernels, const Sizes& sizes, const Mixture& mixture,
                     Layout layout) {
  std::vector<unsigned char> first_coefficients, first_pose;
  for (const Place place : kPlaces) {
    const Batch<T, S> batch(place, sizes, mixture, layout);
    const auto needed = batch.needed(place, mixture);
    for (const int threads : splits(place)) {
      SCOPED_TRACE(testing::Message() << sizes << ", " << mixture.name << ", gradient " << name(layout) << ", "
                                      << name(place) << ", threads " << threads);
      Gradients<T> result(place, sizes, true, true);
      Array<T> partial(place, partition_of<S>(sizes).parts * sizes.batch * sizes.width());
      VerticesBackwardParams<T, S> params = backward_params(batch.basis, batch.faces, batch.gradient, partial);
      cpu::FaceOrder<T> order;
      checked::apply(order, params, batch.vertices.data());
      ASSERT_EQ(params.recovered, batch.easy);
      ASSERT_EQ(params.vertices == nullptr, batch.easy == 0);
      if (batch.easy > 0) params.vertices = needed->data();
      run_backward(kernels, params, place, threads, result);
      ASSERT_TRUE(result.coefficients.untouched_around() && result.pose.untouched_around());
      ASSERT_TRUE(partial.untouched_around());
      if (first_pose.empty()) {
        ExpectedGradients expected = expected_gradients(batch.basis, batch.faces, batch.gradient);
        for (int64_t b = 0; b < sizes.batch; ++b) {
          if (mixture.easy(b)) widen_bounds(batch.basis, batch.faces, batch.gradient, b, expected);
        }
        ASSERT_TRUE(close(result.coefficients, expected.coefficients, 3 * sizes.vertices + 4));
        // V's rounding and V - t add two, the inverse some dozen in double precision; see vertices_backward_test.cpp.
        ASSERT_TRUE(close(result.pose, expected.pose, sizes.vertices + sizes.modes + 20));
        first_coefficients = result.coefficients.bits(), first_pose = result.pose.bits();
        for (int64_t b = 0; b < sizes.batch; b += 1 + sizes.batch / 20) check_alone(kernels, batch, b, result);
      }
      ASSERT_TRUE(result.coefficients.bits() == first_coefficients && result.pose.bits() == first_pose);
    }
  }
}

template <class T, class S>
void check_mixtures(const cpu::BasisKernels<T, S>& kernels) {
  for (const Mixture& mixture : kMixtures) {
    for (const Sizes& sizes : {Sizes{1, 1, 7}, {17, 0, 3}, {31, 19, 8}, {203, 7, 6}, {33, 4, 70}, {600, 49, 5},
                               {203, 101, 18}}) {
      check_recovered(kernels, sizes, mixture, Layout::dense);
    }
  }
  for (const Layout layout : kLayouts) check_recovered(kernels, Sizes{47, 5, 9}, kMixtures[4], layout);
}

class VerticesBackwardRecovered : public LevelTest {};

TEST_P(VerticesBackwardRecovered, Float32) { check_mixtures(level().f32.basis); }
TEST_P(VerticesBackwardRecovered, Float64) { check_mixtures(level().f64.basis); }
TEST_P(VerticesBackwardRecovered, BFloat16) { check_mixtures(level().bf16); }
TEST_P(VerticesBackwardRecovered, Float16) { check_mixtures(level().f16); }

TWODASL_FOR_EVERY_LEVEL(VerticesBackwardRecovered);

}  // namespace

}  // namespace twodasl::test
