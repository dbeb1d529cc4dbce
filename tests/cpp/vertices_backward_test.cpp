// vertices, backward, for coefficients and pose, with the sum over the parts that ends it. Shapes are synthesized again
// here; vertices_backward_recovered_test.cpp takes them from the forward's result.
#include "backward.h"
#include "levels.h"

namespace twodasl::test {

namespace {

template <class T, class S>
void check_backward(const cpu::BasisKernels<T, S>& kernels, const Sizes& sizes, Layout layout) {
  ExpectedGradients expected;
  std::vector<unsigned char> first_coefficients, first_pose;
  for (const Place place : kPlaces) {
    const Basis<T, S> basis(place, sizes);
    const Faces<T> faces(place, sizes);
    const Gradient<T> gradient(place, layout, sizes);
    if (place == Place::exact) expected = expected_gradients(basis, faces, gradient);
    for (const auto& [need_coefficients, need_pose] : {std::pair{true, true}, {true, false}, {false, true}}) {
      for (const int threads : splits(place)) {
        if (threads > 1 && !(need_coefficients && need_pose)) continue;  // one task each shows a race in these
        SCOPED_TRACE(testing::Message() << sizes << ", " << name(place) << ", gradient " << name(layout)
                                        << (need_coefficients ? ", coefficients" : "") << (need_pose ? ", pose" : "")
                                        << ", threads " << threads);
        Gradients<T> result(place, sizes, need_coefficients, need_pose);
        Array<T> partial(place, partition_of<S>(sizes).parts * sizes.batch * sizes.width());
        VerticesBackwardParams<T, S> params = backward_params(basis, faces, gradient, partial);
        params.need_coefficients = need_coefficients;
        params.need_pose = need_pose;
        cpu::FaceOrder<T> order;
        checked::apply(order, params, static_cast<const T*>(nullptr));
        run_backward(kernels, params, place, threads, result);
        ASSERT_TRUE(result.coefficients.untouched_around() && result.pose.untouched_around());
        ASSERT_TRUE(partial.untouched_around());
        if (first_pose.empty()) {
          // Three products for q, then 3 N terms. The K modes of a shape, then N terms. One more where the parts end.
          ASSERT_TRUE(close(result.coefficients, expected.coefficients, 3 * sizes.vertices + 4));
          ASSERT_TRUE(close(result.pose, expected.pose, sizes.vertices + sizes.modes + 1));
          first_coefficients = result.coefficients.bits();
          first_pose = result.pose.bits();
        }
        // Either alone gives the same.
        ASSERT_TRUE(!need_coefficients || result.coefficients.bits() == first_coefficients);
        ASSERT_TRUE(!need_pose || result.pose.bits() == first_pose);
      }
    }
  }
}

template <class T, class S>
void check_sizes(const cpu::BasisKernels<T, S>& kernels) {
  for (const Sizes& sizes : kSizes) check_backward(kernels, sizes, Layout::dense);
}

template <class T, class S>
void check_layouts(const cpu::BasisKernels<T, S>& kernels) {
  for (const Layout layout : kLayouts) {
    for (const Sizes& sizes : {Sizes{1, 1, 1}, {17, 2, 7}, {203, 3, 5}, {31, 19, 2}, {0, 2, 3}, {17, 2, 0}}) {
      check_backward(kernels, sizes, layout);
    }
  }
}

class VerticesBackward : public LevelTest {};

TEST_P(VerticesBackward, Float32) { check_sizes(level().f32.basis); }
TEST_P(VerticesBackward, Float64) { check_sizes(level().f64.basis); }
TEST_P(VerticesBackward, BFloat16) { check_sizes(level().bf16); }
TEST_P(VerticesBackward, Float16) { check_sizes(level().f16); }
TEST_P(VerticesBackward, Float32Layouts) { check_layouts(level().f32.basis); }
TEST_P(VerticesBackward, Float64Layouts) { check_layouts(level().f64.basis); }

TWODASL_FOR_EVERY_LEVEL(VerticesBackward);

template <class T>
void check_reduce(int64_t parts, int64_t batch, int64_t modes) {
  for (const Place place : kPlaces) {
    SCOPED_TRACE(testing::Message() << parts << " parts, K = " << modes << ", B = " << batch << ", " << name(place));
    const int64_t width = 12 + modes;
    Array<T> partial(place, parts * batch * width), coefficients(place, batch * modes), pose(place, batch * 12);
    Random(4).fill(partial);
    VerticesBackwardParams<T, T> params{};
    params.basis.modes_count = modes;
    params.batch = batch;
    params.partial = partial.data();
    cpu::FaceOrder<T> order;
    checked::apply(order, params, static_cast<const T*>(nullptr));
    Array<double> total(place, width);
    const auto reduce = [&](T* to_coefficients, T* to_pose) {
      params.need_coefficients = to_coefficients != nullptr;
      params.need_pose = to_pose != nullptr;
      checked::reduce_parts(params, parts, to_coefficients, to_pose, total.data(), 0, batch);
    };
    std::vector<Sum> expected_coefficients, expected_pose;
    for (int64_t b = 0; b < batch; ++b) {
      for (int64_t i = 0; i < width; ++i) {
        Sum sum;
        for (int64_t p = 0; p < parts; ++p) sum.add(widen(partial[(p * batch + b) * width + i]));
        (i < 12 ? expected_pose : expected_coefficients).push_back(sum);
      }
    }
    // Summed in double precision: one rounding to T, and as many of double's as there are parts.
    const int64_t operations = std::is_same_v<T, float> ? 1 : parts;
    reduce(coefficients.data(), pose.data());
    ASSERT_TRUE(close(coefficients, expected_coefficients, operations));
    ASSERT_TRUE(close(pose, expected_pose, operations));
    ASSERT_TRUE(coefficients.untouched_around() && pose.untouched_around());
    // Either alone gives the same.
    Array<T> coefficients_alone(place, coefficients.size()), pose_alone(place, pose.size());
    reduce(coefficients_alone.data(), nullptr);
    reduce(nullptr, pose_alone.data());
    ASSERT_EQ(coefficients_alone.bits(), coefficients.bits());
    ASSERT_EQ(pose_alone.bits(), pose.bits());
  }
}

TEST(ReduceParts, AddsThePartsInOrder) {
  for (const int64_t parts : {0, 1, 2, 7, 100}) {
    for (const int64_t modes : {0, 1, 49}) {
      for (const int64_t batch : {0, 1, 7}) {
        check_reduce<float>(parts, batch, modes);
        check_reduce<double>(parts, batch, modes);
      }
    }
  }
}

}  // namespace

}  // namespace twodasl::test
