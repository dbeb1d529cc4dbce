// Fits in plain double-precision loops: where the points are for some unknowns, what that costs, derivatives by the chain
// rule written out. Unknowns are in the order of the results, w, s, d, c.
#pragma once

#include <cmath>
#include <memory>
#include <vector>

#include "../../csrc/cpu/kernels/fit_landmarks.h"
#include "levels.h"
#include "oracle.h"

namespace twodasl::test {

struct FitCase {
  FitCamera camera;
  int64_t points, modes, batch;
  int64_t shared = 0;                // of groups of up to three faces
  bool full = false, held = false;
  double robust = 2.0;
  int64_t candidates = 1;

  int64_t dimensions() const { return camera == FitCamera::space ? 3 : 2; }
  int64_t unknowns() const { return kFitPose + modes; }
};

inline std::ostream& operator<<(std::ostream& out, const FitCase& c) {
  const char* cameras[] = {"orthographic", "space", "perspective"};
  return out << cameras[static_cast<int>(c.camera)] << ", L = " << c.points << ", K = " << c.modes << ", B = " << c.batch
             << ", shared " << c.shared << (c.full ? ", full" : "") << (c.held ? ", held" : "") << ", robust " << c.robust
             << ", candidates " << c.candidates;
}

inline const std::vector<FitCase>& fit_cases() {
  constexpr FitCamera kPlane = FitCamera::orthographic, kSpace = FitCamera::space, kDeep = FitCamera::perspective;
  constexpr double kNone = std::numeric_limits<double>::infinity();
  static const std::vector<FitCase> cases = {
      {kPlane, 68, 50, 3}, {kPlane, 17, 8, 9},          {kSpace, 21, 9, 3, 0, false, true},
      {kDeep, 33, 24, 3},  {kPlane, 40, 9, 7, 4},       {kSpace, 20, 6, 7, 6, true},
      {kDeep, 40, 7, 5, 3}, {kPlane, 31, 5, 2, 0, true, false, kNone}, {kPlane, 35, 4, 3, 0, false, false, 2.0, 3},
      {kDeep, 35, 4, 3, 2, false, false, 2.0, 3},       {kPlane, 1, 2, 2}, {kPlane, 0, 3, 2}, {kPlane, 12, 0, 2},
      {kPlane, 100, 100, 1}, {kPlane, 5, 3, 0},
  };
  return cases;
}

// Faces with points that no head explains entirely, some of them not seen, some far off.
template <class T>
struct FitData {
  FitCase c;
  int64_t rows;
  Array<T> mean, modes, center, points, sigma, start, pose_sigma, prior_mean, precision, intrinsics, outward;
  Array<int64_t> candidates, offsets;

  FitData(Place place, const FitCase& c, uint64_t seed = 1)
      : c(c), rows(c.points * c.candidates), mean(place, 3 * rows), modes(place, 3 * rows * c.modes), center(place, 3),
        points(place, c.batch * c.points * c.dimensions()), sigma(place, c.batch * c.points), start(place, 12 * c.batch),
        pose_sigma(place, kFitPose * c.batch), prior_mean(place, c.modes * c.batch),
        precision(place, c.batch * c.modes * (c.full ? c.modes : 1)),
        intrinsics(place, c.camera == FitCamera::perspective ? 4 * c.batch : 0),
        outward(place, c.candidates > 1 ? 2 * c.points : 0), candidates(place, c.points * c.candidates),
        offsets(place, c.shared > 0 ? (c.batch + 2) / 3 + 2 : 0) {
    Random random(seed);
    const auto uniform = [&](double low, double high) { return static_cast<T>(random.uniform(low, high)); };
    for (T& x : mean) x = uniform(-2.0, 2.0);
    for (T& x : modes) x = uniform(-0.3, 0.3);
    for (T& x : center) x = uniform(-0.2, 0.2);
    for (T& x : sigma) x = uniform(0.02, 0.05);
    for (T& x : prior_mean) x = uniform(-0.3, 0.3);
    for (T& x : outward) x = uniform(-1.0, 1.0);
    for (int64_t g = 0; g < offsets.size(); ++g) offsets[g] = std::min(3 * g, c.batch);  // the last is empty
    for (int64_t i = 0; i < c.points; ++i) {
      for (int64_t j = 0; j < c.candidates; ++j) {
        candidates[i * c.candidates + j] = j > 0 && (i % 3 == 0 || (i % 3 == 1 && j == 2)) ? -1 : i * c.candidates + j;
      }
    }
    for (int64_t b = 0; b < c.batch; ++b) draw_face(b, random);
  }

  void draw_face(int64_t b, Random& random) {
    const double depth = c.camera == FitCamera::perspective ? 12.0 : 0.0;
    T* pose = start.data() + 12 * b;
    for (int i = 0; i < 12; ++i) {
      const double identity = i % 5 == 0 && i < 11 ? 1.0 : i == 11 ? depth : 0.0;
      pose[i] = static_cast<T>(identity + random.uniform(-0.15, 0.15));
    }
    const double sigmas[kFitPose] = {0.3, 0.4, 0.5, 0.2, 0.5, 0.6, 0.7};
    for (int j = 0; j < kFitPose; ++j) pose_sigma[kFitPose * b + j] = static_cast<T>(sigmas[j]);
    if (c.camera == FitCamera::orthographic) pose_sigma[kFitPose * b + 6] = T(0);
    if (c.camera == FitCamera::perspective) pose_sigma[kFitPose * b + 3] = T(0);
    if (c.held) pose_sigma[kFitPose * b + 1] = T(0), pose_sigma[kFitPose * b + 4] = std::numeric_limits<T>::infinity();
    if (c.camera == FitCamera::perspective) {
      const double camera[4] = {11.0, 12.0, 0.3, -0.2};
      for (int i = 0; i < 4; ++i) intrinsics[4 * b + i] = static_cast<T>(camera[i]);
    }
    for (int64_t k = 0; k < c.modes; ++k) {
      for (int64_t l = 0; c.full && l < c.modes; ++l) {  // strongly dominant, so positive definite
        precision[(b * c.modes + k) * c.modes + l] = k == l ? T(4) : T(1) / static_cast<T>(2 * c.modes);
      }
      if (!c.full) precision[b * c.modes + k] = static_cast<T>(random.uniform(1.0, 5.0));
    }
    const int64_t d = c.dimensions();
    for (int64_t i = 0; i < c.points; ++i) {
      const int64_t row = candidates[i * c.candidates];
      double x[3], y[3];
      for (int r = 0; r < 3; ++r) {
        x[r] = static_cast<double>(pose[4 * r + 3]);
        for (int k = 0; k < 3; ++k) x[r] += static_cast<double>(pose[4 * r + k]) * static_cast<double>(mean[3 * row + k]);
        y[r] = x[r];
      }
      if (c.camera == FitCamera::perspective) y[0] = 11.0 * x[0] / x[2] + 0.3, y[1] = 12.0 * x[1] / x[2] - 0.2;
      for (int64_t k = 0; k < d; ++k) {
        const double off = i % 7 == 3 ? 0.6 : 0.08;
        points[(b * c.points + i) * d + k] = static_cast<T>(y[k] + random.uniform(-off, off));
      }
      if (i % 11 == 5) points[(b * c.points + i) * d] = std::numeric_limits<T>::quiet_NaN();
      if (i % 13 == 6) sigma[b * c.points + i] = std::numeric_limits<T>::infinity();
      if (i % 17 == 8) sigma[b * c.points + i] = T(0);
    }
  }

  FitProblem<T> problem() const {
    return {mean.data(), modes.data(), center.data(), {points.data(), c.points * c.dimensions()},
            {sigma.data(), c.points}, {start.data(), 12}, {pose_sigma.data(), kFitPose}, {prior_mean.data(), c.modes},
            {precision.data(), c.full ? c.modes * c.modes : c.modes}, {intrinsics.data(), 4},
            c.shared > 0 ? offsets.data() : nullptr, c.batch, c.shared > 0 ? offsets.size() - 1 : c.batch, c.points, rows,
            c.modes, c.shared, c.camera, c.full, c.robust};
  }
  int64_t most_faces() const { return c.shared > 0 ? 3 : 1; }
};

// A face at some unknowns.
template <class T>
struct FitOracle {
  const FitData<T>& data;
  int64_t face;
  std::vector<double> x;  // w, s, d, c
  std::vector<int64_t> rows;
  double matrix[9], place[3];

  FitOracle(const FitData<T>& data, int64_t face, const std::vector<double>& x, const int32_t* chosen)
      : data(data), face(face), x(x), rows(chosen, chosen + data.c.points) {
    double turn[9];
    rotation(x[0], x[1], x[2], turn);
    const T* start = data.start.data() + 12 * face;
    for (int r = 0; r < 3; ++r) {
      place[r] = static_cast<double>(start[4 * r + 3]) + x[static_cast<size_t>(4 + r)];
      for (int c = 0; c < 3; ++c) {
        matrix[3 * r + c] = 0.0;
        for (int k = 0; k < 3; ++k) matrix[3 * r + c] += std::exp(x[3]) * turn[3 * r + k] * static_cast<double>(start[4 * k + c]);
        place[r] += static_cast<double>(start[4 * r + c]) * static_cast<double>(data.center[c]);
      }
    }
  }

  // By the quaternion, which the kernels do not use.
  static void rotation(double a, double b, double c, double (&m)[9]) {
    const double angle = std::sqrt(a * a + b * b + c * c), s = angle > 1e-12 ? std::sin(angle / 2) / angle : 0.5;
    const double w = std::cos(angle / 2), i = s * a, j = s * b, k = s * c;
    const double full[9] = {1 - 2 * (j * j + k * k), 2 * (i * j - k * w), 2 * (i * k + j * w),
                            2 * (i * j + k * w), 1 - 2 * (i * i + k * k), 2 * (j * k - i * w),
                            2 * (i * k - j * w), 2 * (j * k + i * w), 1 - 2 * (i * i + j * j)};
    std::copy(full, full + 9, m);
  }

  bool seen(int64_t i) const {
    const double sigma = static_cast<double>(data.sigma[face * data.c.points + i]);
    bool good = sigma > 0.0 && std::isfinite(sigma);
    for (int64_t d = 0; d < data.c.dimensions(); ++d) good = good && std::isfinite(point(i, d));
    return good;
  }
  double sigma(int64_t i) const { return static_cast<double>(data.sigma[face * data.c.points + i]); }
  double point(int64_t i, int64_t d) const {
    return static_cast<double>(data.points[(face * data.c.points + i) * data.c.dimensions() + d]);
  }

  // Component r of a row's place X, with the size of its terms.
  Sum place_of(int64_t row, int r) const {
    Sum sum;
    sum.add(place[r]);
    for (int k = 0; k < 3; ++k) {
      const double m = matrix[3 * r + k];
      sum.add(m, {static_cast<double>(data.mean[3 * row + k]) - static_cast<double>(data.center[k]),
                  std::fabs(static_cast<double>(data.mean[3 * row + k])) + std::fabs(static_cast<double>(data.center[k]))});
      for (int64_t mode = 0; mode < data.c.modes; ++mode) {
        sum.add(m * x[static_cast<size_t>(kFitPose + mode)] * static_cast<double>(data.modes[(mode * data.rows + row) * 3 + k]));
      }
    }
    return sum;
  }
  Sum image(int64_t row, int d) const {
    const Sum at = place_of(row, d);
    if (data.c.camera != FitCamera::perspective) return at;
    const Sum depth = place_of(row, 2);
    const double focal = static_cast<double>(data.intrinsics[4 * face + d]);
    const double middle = static_cast<double>(data.intrinsics[4 * face + 2 + d]), y = focal * at.value / depth.value;
    return {y + middle, std::fabs(middle) + focal / depth.value * (at.size + std::fabs(at.value) / depth.value * depth.size)};
  }
  double size(int64_t i) const {
    double squares = 0.0;
    for (int d = 0; d < data.c.dimensions(); ++d) {
      const double error = point(i, d) - image(rows[static_cast<size_t>(i)], d).value;
      squares += error * error;
    }
    return std::sqrt(squares) / sigma(i);
  }

  double apart(int64_t k) const {
    return x[static_cast<size_t>(kFitPose + k)] - static_cast<double>(data.prior_mean[face * data.c.modes + k]);
  }
  double precision(int64_t k, int64_t l) const {
    if (!data.c.full) return k == l ? static_cast<double>(data.precision[face * data.c.modes + k]) : 0.0;
    return static_cast<double>(data.precision[(face * data.c.modes + k) * data.c.modes + l]);
  }
  double pose_precision(int j) const {
    const double s = static_cast<double>(data.pose_sigma[kFitPose * face + j]);
    return s > 0.0 && std::isfinite(s) ? 1.0 / (s * s) : 0.0;
  }
  bool held(int64_t j) const { return j < kFitPose && !(data.pose_sigma[kFitPose * face + j] > T(0)); }

  double cost() const {
    double total = 0.0;
    const double h = data.c.robust;
    for (int64_t i = 0; i < data.c.points; ++i) {
      if (!seen(i)) continue;
      const double e = size(i);
      total += e > h ? h * (2.0 * e - h) : e * e;
    }
    for (int j = 0; j < kFitPose; ++j) total += pose_precision(j) * x[static_cast<size_t>(j)] * x[static_cast<size_t>(j)];
    for (int64_t k = 0; k < data.c.modes; ++k) {
      for (int64_t l = 0; l < data.c.modes; ++l) total += apart(k) * precision(k, l) * apart(l);
    }
    return total;
  }

  FitOracle moved(int64_t unknown, double by) const {
    std::vector<double> there = x;
    there[static_cast<size_t>(unknown)] += by;
    std::vector<int32_t> chosen(rows.begin(), rows.end());
    return FitOracle(data, face, there, chosen.data());
  }

  // J (count of seen numbers, unknowns) by central differences, weights of the rows, and what is left.
  void rows_of(std::vector<std::vector<double>>& jacobian, std::vector<double>& weights, std::vector<double>& left) const {
    const double step = 1e-5;
    for (int64_t i = 0; i < data.c.points; ++i) {
      if (!seen(i)) continue;
      const double e = size(i), w = e > data.c.robust ? data.c.robust / e : 1.0;
      for (int d = 0; d < data.c.dimensions(); ++d) {
        std::vector<double> row;
        for (int64_t j = 0; j < data.c.unknowns(); ++j) {
          const int64_t at = rows[static_cast<size_t>(i)];
          const double up = moved(j, step).image(at, d).value, down = moved(j, -step).image(at, d).value;
          row.push_back(held(j) ? 0.0 : (up - down) / (2.0 * step));
        }
        jacobian.push_back(row);
        weights.push_back(w / (sigma(i) * sigma(i)));
        left.push_back(point(i, d) - image(rows[static_cast<size_t>(i)], d).value);
      }
    }
  }
};

// (n, n) matrices row by row, solved by Gauss's elimination with pivots.
inline std::vector<double> inverted(std::vector<double> a, int64_t n) {
  std::vector<double> b(static_cast<size_t>(n * n), 0.0);
  const auto at = [n](std::vector<double>& m, int64_t i, int64_t j) -> double& { return m[static_cast<size_t>(i * n + j)]; };
  for (int64_t i = 0; i < n; ++i) at(b, i, i) = 1.0;
  for (int64_t k = 0; k < n; ++k) {
    int64_t best = k;
    for (int64_t i = k; i < n; ++i) best = std::fabs(at(a, i, k)) > std::fabs(at(a, best, k)) ? i : best;
    for (int64_t j = 0; j < n; ++j) std::swap(at(a, k, j), at(a, best, j)), std::swap(at(b, k, j), at(b, best, j));
    const double pivot = at(a, k, k);
    for (int64_t j = 0; j < n; ++j) at(a, k, j) /= pivot, at(b, k, j) /= pivot;
    for (int64_t i = 0; i < n; ++i) {
      const double by = at(a, i, k);
      for (int64_t j = 0; i != k && j < n; ++j) at(a, i, j) -= by * at(a, k, j), at(b, i, j) -= by * at(b, k, j);
    }
  }
  return b;
}

// Bytes on a boundary of cache lines.
class FitScratch {
 public:
  explicit FitScratch(int64_t bytes) : bytes_(std::make_unique<unsigned char[]>(static_cast<size_t>(bytes) + 64)) {}
  void* data() { return reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(bytes_.get()) + 63) / 64 * 64); }

 private:
  std::unique_ptr<unsigned char[]> bytes_;
};

template <class T>
struct FitRun {
  std::vector<T> packed;
  Array<T> parameters, deviations, unknowns, cost, residuals;
  Array<int32_t> chosen, steps;
  Array<bool> converged;
  FitParams<T> params;

  FitRun(Place place, const FitData<T>& data, int64_t iterations, double tolerance)
      : packed(static_cast<size_t>(3 * data.rows * data.problem().layout().width()) + 64),
        parameters(place, data.c.batch * (12 + data.c.modes)), deviations(place, data.c.batch * data.c.unknowns()),
        unknowns(place, data.c.batch * data.c.unknowns()), cost(place, data.c.batch),
        residuals(place, data.c.batch * data.c.points * data.c.dimensions()), chosen(place, data.c.batch * data.c.points),
        steps(place, data.c.batch), converged(place, data.c.batch) {
    cpu::fit_pack(data.problem(), packed.data());
    params = {data.problem(), packed.data(), data.candidates.data(), data.outward.data(), data.c.candidates, iterations,
              tolerance, parameters.data(), deviations.data(), unknowns.data(), cost.data(), residuals.data(),
              chosen.data(), steps.data(), converged.data()};
  }
  void run(const cpu::Kernels<T>& kernels, int64_t most, int threads) {
    const cpu::FitMemory<T> memory(params.problem.layout(), params.problem.points_count);
    split(params.problem.groups, threads, [&](int64_t begin, int64_t end) {
      FitScratch scratch(cpu::fit_scratch_bytes(memory, most));
      kernels.fit_landmarks(params, scratch.data(), begin, end);
    });
  }
  std::vector<unsigned char> bits() const {
    std::vector<unsigned char> all;
    for (const auto& part : {parameters.bits(), deviations.bits(), unknowns.bits(), cost.bits(), residuals.bits(),
                             chosen.bits(), steps.bits(), converged.bits()}) {
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }
  bool untouched_around() const {
    return parameters.untouched_around() && deviations.untouched_around() && unknowns.untouched_around() &&
           cost.untouched_around() && residuals.untouched_around() && chosen.untouched_around() &&
           steps.untouched_around() && converged.untouched_around();
  }
  std::vector<double> at(int64_t face) const {
    const int64_t n = params.problem.layout().unknowns();
    return std::vector<double>(unknowns.data() + face * n, unknowns.data() + (face + 1) * n);
  }
};

}  // namespace twodasl::test
