// fit_landmarks against plain loops: what is written fits the unknowns that were found, and those are where the cost's
// derivatives vanish.
#include "fit.h"

namespace twodasl::test {

namespace {

constexpr int64_t kIterations = 400;  // reweighting converges linearly, slowly where many points are far off

template <class T>
FitOracle<T> oracle_at(const FitData<T>& data, const FitRun<T>& run, int64_t face) {
  return FitOracle<T>(data, face, run.at(face), run.chosen.data() + face * data.c.points);
}

// Parameters, residuals and cost belong to the unknowns. A number of a point is a sum of K + 1 terms in each of three
// axes, then turned, moved and divided: K + 24 roundings, and as many of the unknowns' own.
template <class T>
void check_state(const FitData<T>& data, const FitRun<T>& run) {
  const FitCase& c = data.c;
  for (int64_t b = 0; b < c.batch; ++b) {
    const FitOracle<T> oracle = oracle_at(data, run, b);
    const double unit = static_cast<double>(c.modes + 24) * kRoundoff<T>;
    double slack = 0.0;
    for (int64_t i = 0; i < c.points; ++i) {
      for (int64_t d = 0; d < c.dimensions(); ++d) {
        const double got = static_cast<double>(run.residuals[(b * c.points + i) * c.dimensions() + d]);
        if (!oracle.seen(i)) {
          ASSERT_EQ(got, 0.0);
          continue;
        }
        const Sum image = oracle.image(run.chosen[b * c.points + i], static_cast<int>(d));
        const double bound = 2.0 * unit * (image.size + std::fabs(oracle.point(i, d)));
        ASSERT_NEAR(got, oracle.point(i, d) - image.value, bound) << "face " << b << " point " << i;
        slack += 2.0 * (oracle.size(i) + 1.0) * bound / oracle.sigma(i);
      }
    }
    const double cost = oracle.cost();
    ASSERT_NEAR(static_cast<double>(run.cost[b]), cost, slack + 64.0 * unit * (1.0 + cost)) << "face " << b;
    const T* parameters = run.parameters.data() + b * (12 + c.modes);
    for (int r = 0; r < 3; ++r) {
      double shift = oracle.place[r];
      for (int k = 0; k < 3; ++k) {
        ASSERT_NEAR(static_cast<double>(parameters[4 * r + k]), oracle.matrix[3 * r + k], 32.0 * kRoundoff<T> * 2.0);
        shift -= oracle.matrix[3 * r + k] * static_cast<double>(data.center[k]);
      }
      ASSERT_NEAR(static_cast<double>(parameters[4 * r + 3]), shift, 32.0 * kRoundoff<T> * (std::fabs(shift) + 2.0));
    }
  }
}

// A group's normal equations and half gradient: own unknowns of its faces one after the other, then what they share.
struct GroupSystem {
  int64_t size = 0;
  std::vector<double> hessian, gradient;
  double cost = 0.0;
};

template <class T>
int64_t column(const FitCase& c, int64_t faces, int64_t face, int64_t unknown) {
  const int64_t own = c.unknowns() - c.shared, k = unknown - kFitPose;
  if (k >= 0 && k < c.shared) return faces * own + k;
  return face * own + (k < 0 ? unknown : unknown - c.shared);
}

template <class T>
GroupSystem system_of(const FitData<T>& data, const FitRun<T>& run, int64_t first, int64_t last) {
  const FitCase& c = data.c;
  const int64_t faces = last - first;
  GroupSystem s;
  s.size = faces * (c.unknowns() - c.shared) + c.shared;
  s.hessian.assign(static_cast<size_t>(s.size * s.size), 0.0);
  s.gradient.assign(static_cast<size_t>(s.size), 0.0);
  for (int64_t f = 0; f < faces; ++f) {
    const FitOracle<T> oracle = oracle_at(data, run, first + f);
    s.cost += oracle.cost();
    std::vector<std::vector<double>> jacobian;
    std::vector<double> weights, left;
    oracle.rows_of(jacobian, weights, left);
    for (int64_t i = 0; i < c.unknowns(); ++i) {
      const int64_t at = column<T>(c, faces, f, i);
      double& gradient = s.gradient[static_cast<size_t>(at)];
      for (size_t r = 0; r < left.size(); ++r) gradient -= weights[r] * jacobian[r][static_cast<size_t>(i)] * left[r];
      if (i < kFitPose && !oracle.held(i)) {
        gradient += oracle.pose_precision(static_cast<int>(i)) * oracle.x[static_cast<size_t>(i)];
      }
      for (int64_t j = 0; j < c.unknowns(); ++j) {
        double sum = 0.0;
        for (size_t r = 0; r < left.size(); ++r) {
          sum += weights[r] * jacobian[r][static_cast<size_t>(i)] * jacobian[r][static_cast<size_t>(j)];
        }
        if (i == j && i < kFitPose && !oracle.held(i)) sum += oracle.pose_precision(static_cast<int>(i));
        if (i >= kFitPose && j >= kFitPose) {
          sum += oracle.precision(i - kFitPose, j - kFitPose);
          if (i == j) {
            for (int64_t l = 0; l < c.modes; ++l) gradient += oracle.precision(i - kFitPose, l) * oracle.apart(l);
          }
        }
        s.hessian[static_cast<size_t>(at * s.size + column<T>(c, faces, f, j))] += sum;
      }
      if (oracle.held(i)) s.hessian[static_cast<size_t>(at * (s.size + 1))] = 1.0;
    }
  }
  return s;
}

// The gain that is left, g^T H^-1 g, is below the tolerance; deviations are those of H^-1.
template <class T>
void check_optimum(const FitData<T>& data, const FitRun<T>& run, double tolerance) {
  const FitCase& c = data.c;
  const FitProblem<T> problem = data.problem();
  for (int64_t g = 0; g < problem.groups; ++g) {
    const int64_t first = problem.first_face(g), last = problem.last_face(g);
    if (first == last) continue;
    GroupSystem s = system_of(data, run, first, last);
    const size_t n = static_cast<size_t>(s.size);
    // Pose priors that are infinite leave a row without a point empty.
    for (size_t i = 0; i < n; ++i) ASSERT_GT(s.hessian[i * n + i], 0.0);
    const std::vector<double> inverse = inverted(s.hessian, s.size);
    double gain = 0.0, condition = 0.0;
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) gain += s.gradient[i] * inverse[i * n + j] * s.gradient[j];
      condition += inverse[i * n + i] * s.hessian[i * n + i];
    }
    ASSERT_LE(gain, tolerance * (1.0 + s.cost)) << "group " << g;
    // The scaled system's condition is below n times the trace of its inverse; the diagonal is raised by 64 epsilon, and
    // the differences of the Jacobian here are good to 1e-9.
    const double bound = static_cast<double>(n) * condition * (130.0 * kRoundoff<T> + 1e-8);
    for (int64_t f = first; f < last; ++f) {
      const FitOracle<T> oracle = oracle_at(data, run, f);
      ASSERT_TRUE(run.converged[f]);
      for (int64_t i = 0; i < c.unknowns(); ++i) {
        const size_t at = static_cast<size_t>(column<T>(c, last - first, f - first, i));
        const double got = static_cast<double>(run.deviations[f * c.unknowns() + i]);
        const double expected = oracle.held(i) ? 0.0 : std::sqrt(inverse[at * (n + 1)]);
        ASSERT_NEAR(got, expected, bound * expected) << "face " << f << " unknown " << i;
      }
    }
  }
}

// Of a point's candidates the outermost, for the pose that was found.
template <class T>
void check_candidates(const FitData<T>& data, const FitRun<T>& run) {
  const FitCase& c = data.c;
  for (int64_t b = 0; b < c.batch; ++b) {
    const FitOracle<T> oracle = oracle_at(data, run, b);
    const double length = std::hypot(oracle.matrix[1], oracle.matrix[4]);
    const double up[2] = {oracle.matrix[1] / length, oracle.matrix[4] / length};
    const double turn = c.camera == FitCamera::perspective ? -1.0 : 1.0;
    for (int64_t i = 0; i < c.points; ++i) {
      const double a = static_cast<double>(data.outward[2 * i]), e = static_cast<double>(data.outward[2 * i + 1]);
      const double way[2] = {a * turn * up[1] + e * up[0], -a * turn * up[0] + e * up[1]};
      const auto reach = [&](int64_t row) {
        return way[0] * oracle.image(row, 0).value + way[1] * oracle.image(row, 1).value;
      };
      const double got = reach(run.chosen[b * c.points + i]);
      bool listed = false;
      for (int64_t j = 0; j < c.candidates; ++j) {
        const int64_t row = data.candidates[i * c.candidates + j];
        listed = listed || row == run.chosen[b * c.points + i];
        if (row >= 0) {
          ASSERT_GE(got, reach(row) - 1e3 * kRoundoff<T>);
        }
      }
      ASSERT_TRUE(listed);
    }
  }
}

template <class T>
void check(const cpu::Kernels<T>& kernels, const FitCase& c) {
  // Of the cost that a step gains, what rounding leaves to be told.
  const double tolerance = 1024.0 * kRoundoff<T>;
  std::vector<unsigned char> first;
  for (const Place place : kPlaces) {
    const FitData<T> data(place, c);
    for (const int threads : splits(place)) {
      SCOPED_TRACE(testing::Message() << c << ", " << name(place) << ", threads " << threads);
      FitRun<T> run(place, data, kIterations, tolerance);
      run.run(kernels, data.most_faces(), threads);
      ASSERT_TRUE(run.untouched_around());
      if (first.empty()) {
        check_state(data, run);
        if (c.candidates == 1) check_optimum(data, run, 4.0 * tolerance);
        if (c.candidates > 1) check_candidates(data, run);
        first = run.bits();
      }
      ASSERT_TRUE(run.bits() == first);
    }
  }
}

class FitLandmarks : public LevelTest {};

TEST_P(FitLandmarks, Float32) {
  for (const FitCase& c : fit_cases()) check(level().f32, c);
}
TEST_P(FitLandmarks, Float64) {
  for (const FitCase& c : fit_cases()) check(level().f64, c);
}

// The cost never rises: not from step to step, and not above the start.
TEST_P(FitLandmarks, CostNeverRises) {
  for (const FitCase& c : fit_cases()) {
    if (c.shared > 0) continue;
    const FitData<double> data(Place::exact, c, 5);
    std::vector<double> last;
    for (int64_t iterations = 0; iterations < 6; ++iterations) {
      FitRun<double> run(Place::exact, data, iterations, 0.0);
      run.run(level().f64, data.most_faces(), 1);
      for (int64_t b = 0; b < c.batch; ++b) {
        ASSERT_LE(run.steps[b], iterations);
        if (iterations == 0) continue;
        ASSERT_LE(run.cost[b], last[static_cast<size_t>(b)]) << c << ", face " << b;
      }
      last.assign(run.cost.begin(), run.cost.end());
    }
  }
}

// Nothing seen: the fit stays at its prior, with the prior's deviations.
TEST_P(FitLandmarks, NothingSeen) {
  const FitCase c{FitCamera::orthographic, 20, 5, 2};
  FitData<float> data(Place::exact, c);
  for (float& s : data.sigma) s = std::numeric_limits<float>::infinity();
  FitRun<float> run(Place::exact, data, 8, 1e-6);
  run.run(level().f32, 1, 1);
  for (int64_t b = 0; b < 2; ++b) {
    ASSERT_EQ(run.cost[b], 0.0f);
    ASSERT_TRUE(run.converged[b]);
    for (int64_t k = 0; k < 5; ++k) {
      ASSERT_EQ(run.unknowns[b * 12 + 7 + k], data.prior_mean[b * 5 + k]);
      ASSERT_NEAR(run.deviations[b * 12 + 7 + k], 1.0 / std::sqrt(data.precision[b * 5 + k]), 1e-4);
    }
    for (int j = 0; j < 7; ++j) ASSERT_EQ(run.unknowns[b * 12 + j], 0.0f);
  }
}

TWODASL_FOR_EVERY_LEVEL(FitLandmarks);

}  // namespace

}  // namespace twodasl::test
