// Two clouds with poses and pairs, for the steps of iterative_closest_point.
#pragma once

#include "../../csrc/cpu/kernels/icp.h"
#include "arrays.h"
#include "oracle.h"

namespace twodasl::test {

// A number, and the size of the terms behind it: every rounding changes it by at most a roundoff of that size.
struct Term {
  long double value = 0, size = 0;

  Term() = default;
  Term(double x) : value(x), size(std::fabs(x)) {}
  Term(long double v, long double s) : value(v), size(s) {}
};
inline Term operator+(Term a, Term b) { return {a.value + b.value, a.size + b.size}; }
inline Term operator-(Term a, Term b) { return {a.value - b.value, a.size + b.size}; }
inline Term operator*(Term a, Term b) { return {a.value * b.value, a.size * b.size}; }

inline testing::AssertionResult near(double got, const Term& expected, int64_t roundings, double unit) {
  const double bound = static_cast<double>(expected.size) * static_cast<double>(roundings) * unit;
  if (std::fabs(got - static_cast<double>(expected.value)) <= bound) return testing::AssertionSuccess();
  return testing::AssertionFailure() << got << ", expected " << static_cast<double>(expected.value) << " within " << bound;
}

struct Counts {
  int64_t source, target;
  std::vector<int64_t> counts;  // of the source, an element
};

// No points, one, around every multiple of a part, of a vector and of what is summed at once; finished elements.
inline const std::vector<Counts>& cloud_sizes() {
  static const std::vector<Counts> sizes = {
      {1, 1, {1}},           {7, 5, {7, 0, 3}},       {63, 9, {63, 62}},         {65, 9, {65, 64}},
      {511, 40, {511}},      {513, 40, {513, 512}},   {1300, 70, {1024, 0, 1300, 1025}}, {0, 0, {0}},
      {20, 3, {}},
  };
  return sizes;
}

template <class T>
struct Clouds {
  int64_t batch, n, p;
  Array<T> source, target, normals, squared;
  Array<int64_t> indices, counts;
  Array<double> pose, source_frame, target_frame;

  Clouds(Place place, const Counts& sizes, uint64_t seed = 1)
      : batch(static_cast<int64_t>(sizes.counts.size())), n(sizes.source), p(sizes.target), source(place, 3 * batch * n),
        target(place, 3 * batch * p), normals(place, 3 * batch * p), squared(place, batch * n), indices(place, batch * n),
        counts(place, batch), pose(place, kPoseNumbers * batch), source_frame(place, kFrameNumbers * batch),
        target_frame(place, kFrameNumbers * batch) {
    Random random(seed);
    random.fill(target);
    random.fill(normals);
    for (int64_t b = 0; b < batch; ++b) {
      counts[b] = sizes.counts[static_cast<size_t>(b)];
      for (int64_t i = 0; i < counts[b]; ++i) {  // past the count: NaN, -1
        for (int64_t c = 0; c < 3; ++c) random.draw(source[3 * (b * n + i) + c]);
        squared[b * n + i] = static_cast<T>(random.below(8));  // ties
        indices[b * n + i] = random.below(p);
      }
      for (int64_t j = 0; j < p; j += 3) {  // vertices without a plane
        for (int64_t c = 0; c < 3; ++c) normals[3 * (b * p + j) + c] = T(0);
      }
      double q[4], length = 0.0;
      for (double& x : q) {
        x = random.uniform(-1.0, 1.0);
        length += x * x;
      }
      const double s = 2.0 / length, w = q[0], x = q[1], y = q[2], z = q[3];
      const double rotation[9] = {1 - s * (y * y + z * z), s * (x * y - w * z),     s * (x * z + w * y),
                                  s * (x * y + w * z),     1 - s * (x * x + z * z), s * (y * z - w * x),
                                  s * (x * z - w * y),     s * (y * z + w * x),     1 - s * (x * x + y * y)};
      for (int i = 0; i < 9; ++i) pose[kPoseNumbers * b + i] = rotation[i];
      for (int i = 9; i < 12; ++i) pose[kPoseNumbers * b + i] = random.uniform(-5.0, 5.0);
      pose[kPoseNumbers * b + 12] = random.uniform(0.5, 2.0);
      for (int64_t i = 0; i < kFrameNumbers; ++i) {
        source_frame[kFrameNumbers * b + i] = random.uniform(0.1, 1.0);
        target_frame[kFrameNumbers * b + i] = random.uniform(0.1, 1.0);
      }
    }
  }
};

// The outputs of a step.
template <class T>
struct Step {
  IcpUpdateParams<T> params;
  Array<T> threshold, candidates;
  Array<double> partial, next, statistics;

  Step(Place place, const Clouds<T>& c, bool planes, double trim, double max_squared, bool scale = false,
       bool recenter = false)
      : threshold(place, c.batch), candidates(place, trim > 0.0 ? c.batch * c.n : 0),
        partial(place, c.batch * icp_parts(c.n) * (planes ? cpu::kPlaneSums : cpu::kPointSums)),
        next(place, kPoseNumbers * c.batch), statistics(place, kIcpStatistics * c.batch) {
    params = {c.source.data(), c.target.data(), planes ? c.normals.data() : nullptr, c.indices.data(), c.squared.data(),
              c.counts.data(), c.pose.data(), c.source_frame.data(), c.target_frame.data(), threshold.data(),
              candidates.data(), partial.data(), next.data(), statistics.data(), c.batch, c.n, c.p, trim, max_squared,
              scale, recenter};
  }
  int64_t tasks() const { return params.batch * icp_parts(params.source_count); }
  bool untouched_around() const {
    return threshold.untouched_around() && candidates.untouched_around() && partial.untouched_around() &&
           next.untouched_around() && statistics.untouched_around();
  }
};

}  // namespace twodasl::test
