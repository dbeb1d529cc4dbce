// vertex_distance_cost: cost = sum_r || R a_r ||^2 over the rows of the pose, a_r the features' differences, and its
// gradients; see cpu/kernels/distance-inl.h.
#include "distance.h"
#include "levels.h"

namespace twodasl::test {

namespace {

// A forward and a backward pass as the operator makes them.
template <class T>
struct Results {
  Array<T> cost, residual, scratch, grad_predicted, grad_target;

  // Outputs that are not needed have no storage.
  Results(Place place, const DistanceSizes& s, bool for_predicted, bool for_target)
      : cost(place, s.batch), residual(place, s.batch * 3 * s.padded_features()),
        scratch(place, s.batch * 3 * s.padded_features()),
        grad_predicted(place, for_predicted ? s.batch * s.width() : 0),
        grad_target(place, for_target ? s.batch * s.width() : 0) {}

  void compute(const cpu::Kernels<T>& kernels, const DistanceInputs<T>& in, bool for_predicted, bool for_target,
               int threads) {
    const DistanceSizes& s = in.sizes;
    const VertexDistanceParams<T> params{in.factor.data(), in.predicted.data(), in.target.data(), cost.data(),
                                         residual.data(),  s.batch,             s.modes,          in.ignore_depth};
    split(s.batch, threads, [&](int64_t begin, int64_t end) { kernels.vertex_distance_cost(params, begin, end); });
    const VertexDistanceBackwardParams<T> back{in.grad.data(),
                                               in.grad_stride,
                                               in.factor.data(),
                                               residual.data(),
                                               for_predicted ? in.predicted.data() : nullptr,
                                               for_target ? in.target.data() : nullptr,
                                               scratch.data(),
                                               for_predicted ? grad_predicted.data() : nullptr,
                                               for_target ? grad_target.data() : nullptr,
                                               s.batch,
                                               s.modes,
                                               in.ignore_depth};
    split(s.batch, threads,
          [&](int64_t begin, int64_t end) { kernels.vertex_distance_cost_backward(back, begin, end); });
  }
  bool untouched_around() const {
    return cost.untouched_around() && residual.untouched_around() && scratch.untouched_around() &&
           grad_predicted.untouched_around() && grad_target.untouched_around();
  }
};

template <class T>
void check_distance(const cpu::Kernels<T>& kernels, const DistanceSizes& sizes, Difference difference,
                    bool ignore_depth, int64_t grad_stride) {
  std::vector<unsigned char> cost, predicted, target;
  for (const Place place : kPlaces) {
    const DistanceInputs<T> in(place, sizes, difference, ignore_depth, grad_stride);
    for (const auto& [for_predicted, for_target] : {std::pair{true, true}, {true, false}, {false, true}}) {
      for (const int threads : splits(place)) {
        if (threads > 1 && !(for_predicted && for_target)) continue;  // one task each shows a race in these
        SCOPED_TRACE(testing::Message() << sizes << ", " << name(difference) << ", " << name(place)
                                        << (ignore_depth ? ", without depth" : "") << ", stride " << grad_stride
                                        << (for_predicted ? ", predicted" : "") << (for_target ? ", target" : "")
                                        << ", threads " << threads);
        Results<T> result(place, sizes, for_predicted, for_target);
        result.compute(kernels, in, for_predicted, for_target, threads);
        ASSERT_TRUE(result.untouched_around());
        if (cost.empty()) {
          ASSERT_TRUE(close_cost(result.cost, result.residual, in));
          const DistanceGradients expected = expected_gradients(in, result.residual);
          // A product for every feature's gradient and every term, the sums, 2 * grad and the product with it.
          const int64_t operations = sizes.features() + std::max<int64_t>(sizes.modes + 1, 9) + 4;
          ASSERT_TRUE(close(result.grad_predicted, expected.predicted, operations));
          ASSERT_TRUE(close(result.grad_target, expected.target, operations));
          cost = result.cost.bits(), predicted = result.grad_predicted.bits(), target = result.grad_target.bits();
        }
        // Either alone gives the same.
        ASSERT_TRUE(result.cost.bits() == cost);
        ASSERT_TRUE(!for_predicted || result.grad_predicted.bits() == predicted);
        ASSERT_TRUE(!for_target || result.grad_target.bits() == target);
      }
    }
  }
}

template <class T>
void check_sizes(const cpu::Kernels<T>& kernels) {
  for (const DistanceSizes& sizes : {DistanceSizes{0, 0, 1}, {3, 0, 7}, {4, 0, 100}, {2, 1, 0}, {7, 1, 1}, {5, 1, 100},
                                     {52, 16, 7}, {20, 16, 1}, {151, 49, 7}, {151, 49, 1}, {10, 49, 25}, {1504, 500, 1},
                                     {40, 500, 7}, {1, 500, 0}}) {
    check_distance(kernels, sizes, Difference::large, false, 1);
  }
}

// Close predictions must not cancel; the choices that change what is computed.
template <class T>
void check_choices(const cpu::Kernels<T>& kernels) {
  for (const DistanceSizes& sizes : {DistanceSizes{4, 0, 2}, {30, 16, 5}, {70, 49, 3}}) {
    for (const Difference difference : {Difference::large, Difference::small}) {
      for (const bool ignore_depth : {false, true}) {
        for (const int64_t stride : {0, 3}) check_distance(kernels, sizes, difference, ignore_depth, stride);
      }
    }
  }
}

class VertexDistance : public LevelTest {};

TEST_P(VertexDistance, Float32) { check_sizes(level().f32); }
TEST_P(VertexDistance, Float64) { check_sizes(level().f64); }
TEST_P(VertexDistance, Float32Choices) { check_choices(level().f32); }
TEST_P(VertexDistance, Float64Choices) { check_choices(level().f64); }

// The formula itself: vertices that are posed one by one. Vertex n of this basis has zeros in its first n features, so
// that the features of all vertices are upper triangular, a factor as they stand (over the root of their number).
template <class T>
void check_against_vertices(const cpu::Kernels<T>& kernels, const DistanceSizes& sizes) {
  SCOPED_TRACE(testing::Message() << sizes);
  DistanceInputs<T> in(Place::exact, sizes, Difference::large, false, 1);
  for (int64_t n = 0; n < sizes.rows; ++n) in.set_factor(n, sizes.features() - 1, T(1));
  Results<T> result(Place::exact, sizes, false, true);
  result.compute(kernels, in, false, true, 1);
  for (int64_t b = 0; b < sizes.batch; ++b) {
    double expected = 0.0;
    for (int64_t n = 0; n < sizes.rows; ++n) {
      for (int64_t r = 0; r < 3; ++r) {
        double distance = 0.0;
        for (const int sign : {1, -1}) {
          const T* p = (sign > 0 ? in.predicted : in.target).data() + b * sizes.width();
          double posed = widen(p[4 * r + 3]);
          for (int64_t x = 0; x < 3; ++x) {
            double shape = in.factor_at(n, x);
            for (int64_t k = 0; k < sizes.modes; ++k) shape += widen(p[12 + k]) * in.factor_at(n, 3 * (k + 1) + x);
            posed += widen(p[4 * r + x]) * shape;
          }
          distance += sign * posed;
        }
        expected += distance * distance;
      }
    }
    // Nothing cancels in a sum of squares of this size; its rounding has been bounded above.
    ASSERT_NEAR(widen(result.cost[b]), expected, 1000 * kRoundoff<T> * expected) << "face " << b;
  }
}

TEST_P(VertexDistance, IsTheDistanceOfPosedVertices) {
  for (const DistanceSizes& sizes : {DistanceSizes{4, 0, 3}, {7, 1, 3}, {5, 16, 3}, {52, 16, 3}, {100, 49, 3}}) {
    check_against_vertices(level().f32, sizes);
    check_against_vertices(level().f64, sizes);
  }
}

template <class T>
void check_identical(const cpu::Kernels<T>& kernels) {
  for (const DistanceSizes& sizes : {DistanceSizes{4, 0, 7}, {7, 1, 1}, {151, 49, 7}, {40, 500, 2}}) {
    const DistanceInputs<T> in(Place::exact, sizes, Difference::none, false, 1);
    Results<T> result(Place::exact, sizes, true, true);
    result.compute(kernels, in, true, true, 1);
    for (const auto* array : {&result.cost, &result.grad_predicted, &result.grad_target}) {
      for (int64_t i = 0; i < array->size(); ++i) ASSERT_EQ((*array)[i], T(0)) << sizes << ", element " << i;
    }
  }
}

TEST_P(VertexDistance, IdenticalPredictionCostsNothing) {
  check_identical(level().f32);
  check_identical(level().f64);
}

// Faces share tiles: a NaN in the parameters of one, or in its gradient, reaches its results and no others.
template <class T>
void check_not_a_number(const cpu::Kernels<T>& kernels, int64_t parameter, bool in_target) {
  const DistanceSizes sizes{30, 16, 17};
  for (const int64_t face : {0, 5, 16}) {
    SCOPED_TRACE(testing::Message() << "face " << face << ", parameter " << parameter << (in_target ? ", target" : ""));
    DistanceInputs<T> in(Place::exact, sizes, Difference::large, false, 1);
    Array<T>& array = parameter < 0 ? in.grad : in_target ? in.target : in.predicted;
    array[parameter < 0 ? face : face * sizes.width() + parameter] = std::numeric_limits<T>::quiet_NaN();
    Results<T> result(Place::exact, sizes, true, true);
    result.compute(kernels, in, true, true, 1);
    for (int64_t b = 0; b < sizes.batch; ++b) {
      ASSERT_EQ(std::isnan(result.cost[b]), b == face && parameter >= 0) << "face " << b;
      for (int64_t i = 0; i < sizes.width(); ++i) {
        if (b == face && i < 12) continue;  // the pose's other rows have nothing to do with it
        ASSERT_EQ(std::isnan(result.grad_predicted[b * sizes.width() + i]), b == face) << "face " << b << ", " << i;
        ASSERT_EQ(std::isnan(result.grad_target[b * sizes.width() + i]), b == face) << "face " << b << ", " << i;
      }
    }
  }
}

TEST_P(VertexDistance, NotANumberStaysInItsFace) {
  for (const int64_t parameter : {-1, 0, 12, 27}) {
    for (const bool in_target : {false, true}) {
      check_not_a_number(level().f32, parameter, in_target);
      check_not_a_number(level().f64, parameter, in_target);
    }
  }
}

TWODASL_FOR_EVERY_LEVEL(VertexDistance);

}  // namespace

}  // namespace twodasl::test
