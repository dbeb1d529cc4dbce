// fit_landmarks_backward against differences of whole fits: every input is moved a little, and the fit is made again.
#include "fit.h"

namespace twodasl::test {

namespace {

template <class T>
struct BackwardRun {
  std::vector<double> packed;
  Array<T> points, sigma, start, pose_sigma, prior_mean, precision, pull, twist, solved;
  FitBackwardParams<T> params;

  BackwardRun(Place place, const FitData<T>& data, const FitRun<T>& fit, const Array<T>& grad)
      : packed(static_cast<size_t>(3 * data.rows * data.problem().layout().width()) + 64),
        points(place, data.points.size()), sigma(place, data.sigma.size()), start(place, data.start.size()),
        pose_sigma(place, data.pose_sigma.size()), prior_mean(place, data.prior_mean.size()),
        precision(place, data.precision.size()), pull(place, 3 * data.sigma.size()), twist(place, 3 * data.sigma.size()),
        solved(place, data.prior_mean.size()) {
    cpu::fit_pack(data.problem(), packed.data());
    params = {data.problem(), packed.data(), fit.unknowns.data(), fit.chosen.data(), grad.data(), points.data(),
              sigma.data(), start.data(), pose_sigma.data(), prior_mean.data(), precision.data(), pull.data(),
              twist.data(), solved.data()};
  }
  void run(const cpu::Kernels<T>& kernels, int64_t most, int threads) {
    const cpu::FitMemory<double> memory(params.problem.layout(), params.problem.points_count);
    split(params.problem.groups, threads, [&](int64_t begin, int64_t end) {
      FitScratch scratch(cpu::fit_backward_bytes(memory, most, params.problem.full_precision));
      kernels.fit_landmarks_backward(params, scratch.data(), begin, end);
    });
  }
  std::vector<const Array<T>*> all() const {
    return {&points, &sigma, &start, &pose_sigma, &prior_mean, &precision, &pull, &twist, &solved};
  }
  std::vector<unsigned char> bits() const {
    std::vector<unsigned char> found;
    for (const Array<T>* array : all()) {
      const auto part = array->bits();
      found.insert(found.end(), part.begin(), part.end());
    }
    return found;
  }
  bool untouched_around() const {
    bool good = true;
    for (const Array<T>* array : all()) good = good && array->untouched_around();
    return good;
  }
};

constexpr int64_t kIterations = 200;

template <class T>
void draw_gradient(Array<T>& grad) {
  Random random(11);
  for (T& x : grad) x = static_cast<T>(random.uniform(-1.0, 1.0));
}

// The parameters of a fit to `data`, weighted by `grad` and added up.
double weighed_fit(const cpu::Kernels<double>& kernels, const FitData<double>& data, const Array<double>& grad) {
  FitRun<double> run(Place::exact, data, kIterations, 0.0);
  run.run(kernels, data.most_faces(), 1);
  double total = 0.0;
  for (int64_t i = 0; i < grad.size(); ++i) total += grad[i] * run.parameters[i];
  return total;
}

// How the weighed fit changes along a random direction of one input, by differences and by the gradient.
void check_input(const cpu::Kernels<double>& kernels, FitData<double>& data, const Array<double>& grad,
                 Array<double>& input, const std::vector<double>& gradient, const char* name) {
  if (input.size() == 0) return;
  Random random(7);
  std::vector<double> way, kept(input.begin(), input.end());
  double expected = 0.0, size = 0.0;
  const int64_t modes = data.c.modes;
  for (int64_t i = 0; i < input.size(); ++i) {
    double by = random.uniform(-1.0, 1.0) * std::min(1.0, std::fabs(kept[static_cast<size_t>(i)]) + 0.01);
    if (!std::isfinite(kept[static_cast<size_t>(i)]) || kept[static_cast<size_t>(i)] == 0.0) by = 0.0;
    way.push_back(by);
  }
  if (&input == &data.precision && data.c.full) {  // of a symmetric matrix
    for (int64_t b = 0; b < data.c.batch; ++b) {
      for (int64_t i = 0; i < modes; ++i) {
        for (int64_t j = 0; j < i; ++j) {
          way[static_cast<size_t>((b * modes + i) * modes + j)] = way[static_cast<size_t>((b * modes + j) * modes + i)];
        }
      }
    }
  }
  for (size_t i = 0; i < way.size(); ++i) {
    expected += gradient[i] * way[i];
    size += std::fabs(gradient[i] * way[i]);
  }
  constexpr double kStep = 1e-5;
  double found = 0.0;
  for (const double side : {1.0, -1.0}) {
    for (int64_t i = 0; i < input.size(); ++i) {
      input[i] = kept[static_cast<size_t>(i)] + side * kStep * way[static_cast<size_t>(i)];
    }
    found += side * weighed_fit(kernels, data, grad) / (2.0 * kStep);
  }
  std::copy(kept.begin(), kept.end(), input.begin());
  // Differences of 1e-5 of fits that are good to 1e-12 or better, and the third derivatives.
  ASSERT_NEAR(found, expected, 3e-6 * size + 1e-6) << name;
}

std::vector<double> values(const Array<double>& array) { return {array.data(), array.data() + array.size()}; }

// The basis's gradients from what the kernel gives for them.
void check_basis(const cpu::Kernels<double>& kernels, FitData<double>& data, const FitRun<double>& fit,
                 const BackwardRun<double>& run, const Array<double>& grad) {
  const FitCase& c = data.c;
  std::vector<double> mean(static_cast<size_t>(data.mean.size()), 0.0), modes(static_cast<size_t>(data.modes.size()), 0.0);
  for (int64_t b = 0; b < c.batch; ++b) {
    for (int64_t i = 0; i < 3 * c.points; ++i) {
      const int64_t at = 3 * int64_t(fit.chosen[b * c.points + i / 3]) + i % 3, from = 3 * b * c.points + i;
      mean[static_cast<size_t>(at)] += run.pull[from];
      for (int64_t k = 0; k < c.modes; ++k) {
        const double coefficient = fit.unknowns[b * c.unknowns() + kFitPose + k];
        modes[static_cast<size_t>(3 * k * data.rows + at)] +=
            coefficient * run.pull[from] + run.solved[b * c.modes + k] * run.twist[from];
      }
    }
  }
  check_input(kernels, data, grad, data.mean, mean, "mean");
  check_input(kernels, data, grad, data.modes, modes, "modes");
}

std::vector<FitCase> backward_cases() {
  std::vector<FitCase> cases;
  for (const FitCase& c : fit_cases()) {
    if (c.candidates == 1 && c.modes <= 24) cases.push_back(c);
  }
  return cases;
}

class FitBackward : public LevelTest {};

TEST_P(FitBackward, AgreesWithDifferencesOfFits) {
  const cpu::Kernels<double>& kernels = level().f64;
  for (const FitCase& c : backward_cases()) {
    SCOPED_TRACE(testing::Message() << c);
    FitData<double> data(Place::exact, c);
    FitRun<double> fit(Place::exact, data, kIterations, 0.0);
    fit.run(kernels, data.most_faces(), 1);
    Array<double> grad(Place::exact, fit.parameters.size());
    draw_gradient(grad);
    BackwardRun<double> run(Place::exact, data, fit, grad);
    run.run(kernels, data.most_faces(), 1);
    check_input(kernels, data, grad, data.points, values(run.points), "points");
    check_input(kernels, data, grad, data.sigma, values(run.sigma), "sigma");
    check_input(kernels, data, grad, data.start, values(run.start), "start");
    check_input(kernels, data, grad, data.pose_sigma, values(run.pose_sigma), "pose_sigma");
    check_input(kernels, data, grad, data.prior_mean, values(run.prior_mean), "prior_mean");
    check_input(kernels, data, grad, data.precision, values(run.precision), "precision");
    check_basis(kernels, data, fit, run, grad);
  }
}

template <class T>
void check_bits(const cpu::Kernels<T>& kernels, const FitCase& c) {
  std::vector<unsigned char> first;
  for (const Place place : kPlaces) {
    const FitData<T> data(place, c);
    FitRun<T> fit(place, data, 10, 0.0);
    fit.run(kernels, data.most_faces(), 1);
    Array<T> grad(place, fit.parameters.size());
    draw_gradient(grad);
    for (const int threads : splits(place)) {
      SCOPED_TRACE(testing::Message() << c << ", " << name(place) << ", threads " << threads);
      BackwardRun<T> run(place, data, fit, grad);
      run.run(kernels, data.most_faces(), threads);
      ASSERT_TRUE(run.untouched_around());
      for (const Array<T>* array : run.all()) {
        for (int64_t i = 0; i < array->size(); ++i) ASSERT_TRUE(std::isfinite((*array)[i]));
      }
      if (first.empty()) first = run.bits();
      ASSERT_TRUE(run.bits() == first);
    }
  }
}

TEST_P(FitBackward, TheSameBitsWhateverTheThreadsAndPlaces) {
  for (const FitCase& c : fit_cases()) {
    check_bits(level().f32, c);
    check_bits(level().f64, c);
  }
}

// Single precision is that of inputs and results alone: the same numbers in double precision give the same gradients.
TEST_P(FitBackward, Float32IsRoundedOnce) {
  for (const FitCase& c : fit_cases()) {
    SCOPED_TRACE(testing::Message() << c);
    const FitData<float> data(Place::exact, c);
    FitData<double> wide(Place::exact, c);
    const auto widen = [](const Array<float>& from, Array<double>& to) { std::copy(from.data(), from.data() + from.size(), to.begin()); };
    widen(data.mean, wide.mean), widen(data.modes, wide.modes), widen(data.center, wide.center);
    widen(data.points, wide.points), widen(data.sigma, wide.sigma), widen(data.start, wide.start);
    widen(data.pose_sigma, wide.pose_sigma), widen(data.prior_mean, wide.prior_mean);
    widen(data.precision, wide.precision), widen(data.intrinsics, wide.intrinsics);
    FitRun<float> fit(Place::exact, data, 10, 0.0);
    fit.run(level().f32, data.most_faces(), 1);
    FitRun<double> same(Place::exact, wide, 0, 0.0);
    widen(fit.unknowns, same.unknowns);
    std::copy(fit.chosen.begin(), fit.chosen.end(), same.chosen.begin());
    Array<float> grad(Place::exact, fit.parameters.size());
    Array<double> wide_grad(Place::exact, fit.parameters.size());
    draw_gradient(grad);
    widen(grad, wide_grad);
    BackwardRun<float> run(Place::exact, data, fit, grad);
    BackwardRun<double> expected(Place::exact, wide, same, wide_grad);
    run.run(level().f32, data.most_faces(), 1);
    expected.run(level().f64, data.most_faces(), 1);
    const auto found = run.all();
    const auto exact = expected.all();
    for (size_t a = 0; a < found.size(); ++a) {
      for (int64_t i = 0; i < found[a]->size(); ++i) ASSERT_EQ((*found[a])[i], static_cast<float>((*exact[a])[i]));
    }
  }
}

TWODASL_FOR_EVERY_LEVEL(FitBackward);

}  // namespace

}  // namespace twodasl::test
