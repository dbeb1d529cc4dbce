// From the sums over the pairs to the next pose: known motions, and sums that determine little or nothing.
#include "icp.h"

#include "../../csrc/cpu/dispatch/kernels.h"

namespace twodasl::test {

namespace {

// Pairs of one element, each source with a target of its own.
struct Pairs {
  Clouds<double> clouds;
  std::unique_ptr<Step<double>> result;

  explicit Pairs(int64_t count) : clouds(Place::exact, {count, count, {count}}) {
    for (int64_t i = 0; i < count; ++i) {
      clouds.indices[i] = i;
      clouds.squared[i] = 0.0;
    }
    for (int i = 0; i < kPoseNumbers; ++i) clouds.pose[i] = i == 0 || i == 4 || i == 8 || i == 12 ? 1.0 : 0.0;
    set_frames();
  }
  double* source(int64_t i) { return clouds.source.data() + 3 * i; }
  double* target(int64_t i) { return clouds.target.data() + 3 * i; }
  double* normal(int64_t i) { return clouds.normals.data() + 3 * i; }

  void set_frames() {
    const auto set = [&](const Array<double>& points, Array<double>& frame) {
      Array<double> partial(Place::exact, 3 * icp_parts(clouds.n));
      const IcpFrameParams<double> params{points.data(), clouds.counts.data(), partial.data(), frame.data(), 1, clouds.n};
      for (int pass = 0; pass < 2; ++pass) {
        cpu::icp_frame(params, pass, 0, icp_parts(clouds.n));
        cpu::icp_frame_finish(params, pass);
      }
    };
    set(clouds.source, clouds.source_frame);
    set(clouds.target, clouds.target_frame);
  }
  // The pose of `clouds`, improved once.
  const Step<double>& improve(bool planes, bool scale) {
    set_frames();
    result = std::make_unique<Step<double>>(Place::fenced, clouds, planes, 0.0, HUGE_VAL, scale);
    Step<double>& step = *result;
    cpu::icp_trim(step.params, 0, 1);
    cpu::level_baseline().f64.icp_accumulate(step.params, 0, step.tasks());
    cpu::icp_solve(step.params, 0, 1);
    EXPECT_TRUE(step.untouched_around());
    return step;
  }
  void set_targets(const double* pose, double mirrored = 1.0) {
    for (int64_t i = 0; i < clouds.n; ++i) {
      for (int r = 0; r < 3; ++r) {
        target(i)[r] = pose[9 + r];
        for (int c = 0; c < 3; ++c) target(i)[r] += pose[12] * pose[3 * r + c] * (c == 2 ? mirrored : 1.0) * source(i)[c];
      }
    }
  }
};

// Any rotation, translation and scale.
std::vector<double> some_pose(uint64_t seed) {
  const Clouds<double> clouds(Place::exact, {1, 1, {1}}, seed);
  return {clouds.pose.data(), clouds.pose.data() + clouds.pose.size()};
}

void expect_rotation(const double* r) {
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) {
      const double dot = r[3 * i] * r[3 * j] + r[3 * i + 1] * r[3 * j + 1] + r[3 * i + 2] * r[3 * j + 2];
      EXPECT_NEAR(dot, i == j ? 1.0 : 0.0, 1e-14);
    }
  }
  const double determinant = r[0] * (r[4] * r[8] - r[5] * r[7]) - r[1] * (r[3] * r[8] - r[5] * r[6]) +
                             r[2] * (r[3] * r[7] - r[4] * r[6]);
  EXPECT_NEAR(determinant, 1.0, 1e-14);
}

double mean_square(const Pairs& pairs, const double* pose) {
  double sum = 0.0;
  for (int64_t i = 0; i < pairs.clouds.n; ++i) {
    for (int r = 0; r < 3; ++r) {
      double d = pose[9 + r] - pairs.clouds.target[3 * i + r];
      for (int c = 0; c < 3; ++c) d += pose[12] * pose[3 * r + c] * pairs.clouds.source[3 * i + c];
      sum += d * d;
    }
  }
  return sum / static_cast<double>(pairs.clouds.n);
}

TEST(IcpSolve, FindsAMotion) {
  for (uint64_t seed = 1; seed < 40; ++seed) {
    for (const int64_t count : {3, 4, 100, 700}) {
      const std::vector<double> pose = some_pose(seed);
      for (const bool scale : {false, true}) {
        std::vector<double> wanted = pose;
        if (!scale) wanted[12] = 1.0;
        Pairs pairs(count);
        pairs.set_targets(wanted.data());
        const Step<double>& step = pairs.improve(false, scale);
        // Three points may be nearly on a line, about which nothing but the rounding holds them.
        for (int i = 0; i < 13; ++i) EXPECT_NEAR(step.next[i], wanted[static_cast<size_t>(i)], count < 100 ? 1e-9 : 1e-13);
        EXPECT_NEAR(step.statistics[0], mean_square(pairs, pairs.clouds.pose.data()), 1e-11);
        EXPECT_EQ(step.statistics[1], static_cast<double>(count));
        EXPECT_EQ(step.statistics[2], static_cast<double>(count));
      }
    }
  }
}

// Mirrored, flattened, on a line, in a point: a rotation, no worse than the start nor than others.
TEST(IcpSolve, DegeneratePairsGiveTheBestRotation) {
  for (const bool scale : {false, true}) {
    for (int kind = 0; kind < 6; ++kind) {
      SCOPED_TRACE(testing::Message() << "kind " << kind << ", scale " << scale);
      Pairs pairs(50);
      const std::vector<double> pose = some_pose(9);
      for (int64_t i = 0; i < 50; ++i) {
        double* p = pairs.source(i);
        if (kind == 1) p[2] = 0.0;
        if (kind == 2) p[1] = p[2] = 2.0 * p[0];
        if (kind >= 3) p[0] = p[1] = p[2] = kind == 5 ? 0.0 : 0.5;
      }
      pairs.set_targets(pose.data(), kind == 0 ? -1.0 : 1.0);
      for (int64_t i = 0; i < 50 && kind == 4; ++i) pairs.target(i)[0] += static_cast<double>(i % 7);
      const Step<double>& step = pairs.improve(false, scale);
      expect_rotation(step.next.data());
      const double found = mean_square(pairs, step.next.data());
      EXPECT_LE(found, step.statistics[0] * (1.0 + 1e-12) + 1e-24);
      EXPECT_GT(step.next[12], 0.0);
      for (uint64_t seed = 10; seed < 60; ++seed) {  // about the pairs' centroids, as the best of them is
        std::vector<double> rival = some_pose(seed);
        rival[12] = step.next[12];
        for (int r = 0; r < 3; ++r) {
          rival[static_cast<size_t>(9 + r)] = pairs.clouds.target_frame[r];
          for (int c = 0; c < 3; ++c) {
            rival[static_cast<size_t>(9 + r)] -= rival[12] * rival[static_cast<size_t>(3 * r + c)] * pairs.clouds.source_frame[c];
          }
        }
        EXPECT_LE(found, mean_square(pairs, rival.data()) + 1e-12);
      }
      if (kind >= 3) {  // a point does not determine a turn
        for (int i = 0; i < 9; ++i) EXPECT_NEAR(step.next[i], pairs.clouds.pose[i], 1e-12);
      }
    }
  }
}

TEST(IcpSolve, KeepsThePoseWithoutPairs) {
  const auto expect_kept = [](Pairs& pairs, bool planes) {
    const std::vector<double> pose = some_pose(3);
    std::copy(pose.begin(), pose.end(), pairs.clouds.pose.begin());
    const Step<double>& step = pairs.improve(planes, true);
    for (int i = 0; i < 13; ++i) EXPECT_EQ(step.next[i], pose[static_cast<size_t>(i)]);
    return step.statistics[2];
  };
  Pairs zero_normals(30);
  std::fill(zero_normals.clouds.normals.begin(), zero_normals.clouds.normals.end(), 0.0);
  EXPECT_EQ(expect_kept(zero_normals, true), 0.0);
  Pairs finished(30);
  finished.clouds.counts[0] = 0;
  EXPECT_EQ(expect_kept(finished, false), 0.0);
  Pairs huge(30);  // products overflow: the pose would be invalid
  for (double& x : huge.clouds.source) x *= 1e200;
  for (double& x : huge.clouds.target) x *= 1e200;
  EXPECT_EQ(expect_kept(huge, false), 30.0);
}

// A small motion along the normals of a bumpy surface: found up to terms of second order.
TEST(IcpSolve, PlanesHoldASmallMotion) {
  for (const bool scale : {false, true}) {
    Pairs pairs(400);
    for (int64_t i = 0; i < 400; ++i) {
      Random random(static_cast<uint64_t>(i) + 50);
      for (int c = 0; c < 3; ++c) pairs.normal(i)[c] = random.uniform(-1.0, 1.0);
    }
    const double angle = 1e-5;
    const double motion[13] = {1, -angle, 0, angle, 1, 2 * angle, 0, -2 * angle, 1, 3e-5, -1e-5, 2e-5, scale ? 1 + 2e-5 : 1};
    pairs.set_targets(motion);
    const Step<double>& step = pairs.improve(true, scale);
    expect_rotation(step.next.data());
    for (int i = 0; i < 13; ++i) EXPECT_NEAR(step.next[i], motion[i], 1e-8) << i;  // 20 times the angles' products
  }
}

// A source on a plane can slide and turn in it; it only drops.
TEST(IcpSolve, SlidesNowhereAlongAPlane) {
  Pairs pairs(60);
  for (int64_t i = 0; i < 60; ++i) {
    for (int c = 0; c < 3; ++c) {
      pairs.normal(i)[c] = c == 2 ? 1.0 : 0.0;
      pairs.target(i)[c] = c == 2 ? -3.0 : pairs.source(i)[c] + 0.4;
    }
    pairs.source(i)[2] = 0.0;
  }
  const Step<double>& step = pairs.improve(true, false);
  const double expected[13] = {1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, -3, 1};
  for (int i = 0; i < 13; ++i) EXPECT_NEAR(step.next[i], expected[i], 1e-9) << i;
}

}  // namespace

}  // namespace twodasl::test
