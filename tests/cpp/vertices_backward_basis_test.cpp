// vertices, backward, for the basis: grad mean[n] = sum_b q_b[n],  grad modes_k[n] = sum_b c_bk q_b[n],
// with q_b[n] = M_b^T g_b[n].
#include "gradients.h"
#include "levels.h"

namespace twodasl::test {

namespace {

struct Expected {
  std::vector<Sum> mean, modes;  // packed; lanes past the last vertex are zero
};

template <class T>
Expected expected_gradients(const Sizes& sizes, const Faces<T>& faces, const Gradient<T>& gradient) {
  Expected result;
  result.mean.resize(static_cast<size_t>(sizes.blocks() * kBlockRow));
  result.modes.resize(static_cast<size_t>(sizes.blocks() * sizes.modes * kBlockRow));
  for (int64_t b = 0; b < sizes.batch; ++b) {
    for (int64_t n = 0; n < sizes.vertices; ++n) {
      for (int64_t c = 0; c < 3; ++c) {
        const Sum q = turned_back(faces.pose, gradient, b, n, c);
        result.mean[static_cast<size_t>(packed(n, 0, 1, c))].add(1.0, q);
        for (int64_t k = 0; k < sizes.modes; ++k) {
          result.modes[static_cast<size_t>(packed(n, k, sizes.modes, c))].add(
              widen(faces.coefficients[b * sizes.modes + k]), q);
        }
      }
    }
  }
  return result;
}

template <class T>
struct Gradients {
  Array<T> mean, modes;

  Gradients(Place place, const Sizes& sizes)
      : mean(place, sizes.blocks() * kBlockRow), modes(place, sizes.blocks() * sizes.modes * kBlockRow) {}
};

template <class T>
void check_basis_gradients(const cpu::Kernels<T>& kernels, const Sizes& sizes, Layout layout) {
  Expected expected;
  std::vector<unsigned char> first_mean, first_modes;
  for (const Place place : kPlaces) {
    const Faces<T> faces(place, sizes);
    const Gradient<T> gradient(place, layout, sizes);
    if (place == Place::exact) expected = expected_gradients(sizes, faces, gradient);
    for (const int threads : splits(place)) {
      for (const auto& [need_mean, need_modes] : {std::pair{true, true}, {true, false}, {false, true}}) {
        if (threads > 1 && !(need_mean && need_modes)) continue;  // one task each shows a race in these
        SCOPED_TRACE(testing::Message() << sizes << ", " << name(place) << ", gradient " << name(layout)
                                        << (need_mean ? ", mean" : "") << (need_modes ? ", modes" : "") << ", threads "
                                        << threads);
        Gradients<T> result(place, sizes);
        const BasisBackwardParams<T> params{faces.coefficients.data(),
                                            faces.pose.data(),
                                            gradient.view(),
                                            need_mean ? result.mean.data() : nullptr,
                                            need_modes ? result.modes.data() : nullptr,
                                            sizes.batch,
                                            sizes.vertices,
                                            sizes.modes};
        split(sizes.blocks(), threads, [&](int64_t begin, int64_t end) { kernels.backward_basis(params, begin, end); });
        ASSERT_TRUE(result.mean.untouched_around() && result.modes.untouched_around());
        if (first_mean.empty()) {
          // Three products for q, one with the coefficient, then B terms.
          ASSERT_TRUE(close(result.mean, expected.mean, sizes.batch + 3));
          ASSERT_TRUE(close(result.modes, expected.modes, sizes.batch + 4));
          first_mean = result.mean.bits();
          first_modes = result.modes.bits();
        }
        // Either alone gives the same.
        ASSERT_TRUE(!need_mean || result.mean.bits() == first_mean);
        ASSERT_TRUE(!need_modes || result.modes.bits() == first_modes);
      }
    }
  }
}

template <class T>
void check_sizes(const cpu::Kernels<T>& kernels) {
  for (const Sizes& sizes : kSizes) check_basis_gradients(kernels, sizes, Layout::dense);
}

template <class T>
void check_layouts(const cpu::Kernels<T>& kernels) {
  for (const Layout layout : kLayouts) {
    for (const Sizes& sizes : {Sizes{1, 1, 1}, {17, 9, 7}, {203, 3, 5}, {31, 17, 66}, {0, 2, 3}, {17, 2, 0}}) {
      check_basis_gradients(kernels, sizes, layout);
    }
  }
}

class VerticesBackwardBasis : public LevelTest {};

TEST_P(VerticesBackwardBasis, Float32) { check_sizes(level().f32); }
TEST_P(VerticesBackwardBasis, Float64) { check_sizes(level().f64); }
TEST_P(VerticesBackwardBasis, Float32Layouts) { check_layouts(level().f32); }
TEST_P(VerticesBackwardBasis, Float64Layouts) { check_layouts(level().f64); }

TWODASL_FOR_EVERY_LEVEL(VerticesBackwardBasis);

}  // namespace

}  // namespace twodasl::test
