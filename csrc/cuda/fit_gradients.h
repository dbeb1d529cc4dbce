// From the dual of a fit to the gradients of its inputs: what a block writes of a face, see fit_backward.cu.
#pragma once

#include "fit_curvature.h"

namespace twodasl::cuda {

template <class T>
struct Backward {
  FitBackwardParams<T> params;
  FitStore<double> store;
};

// Of points and sigmas, and this thread's share of the sums that the start's gradient is made of.
template <class T>
__device__ __forceinline__ void write_points(const Backward<T>& b, int64_t face, const double* step, double (&sums)[12]) {
  const FitProblem<T>& problem = b.params.problem;
  const FitStore<double>& store = b.store;
  const StateView<double> state = store.state(face, 0);
  const int64_t count = store.points, d = problem.dimensions();
  Frame frame;
  frame.set(problem, face, *state.place);
  const double* pose = step + store.layout.own();
  double axis[3];
  for (int r = 0; r < 3; ++r) {
    axis[r] = frame.left[3 * r] * pose[0] + frame.left[3 * r + 1] * pose[1] + frame.left[3 * r + 2] * pose[2];
  }
  for (int64_t i = threadIdx.x; i < count; i += kFitThreads) {
    const int64_t at_point = face * count + i;
    double image[3] = {}, both[3] = {}, sigma = 0.0;
    Curvature at{};
    if (store.weight[at_point] != 0.0) {
      at = curvature_at(problem, store, face, frame, state, i);
      const double arm[3] = {state.arm[i], state.arm[count + i], state.arm[2 * count + i]};
      const double *p = store.before + 3 * at_point, *q = store.along + 3 * at_point;
      double moved[3];  // by the dual
      for (int r = 0; r < 3; ++r) {
        const int a = (r + 1) % 3, c = (r + 2) % 3;
        moved[r] = frame.matrix[3 * r] * q[0] + frame.matrix[3 * r + 1] * q[1] + frame.matrix[3 * r + 2] * q[2] +
                   axis[a] * arm[c] - axis[c] * arm[a] + pose[3] * arm[r] + pose[4 + r];
      }
      for (int r = 0; r < 3; ++r) {
        const int a = (r + 1) % 3, c = (r + 2) % 3;
        const double bent = at.bend[r][0] * moved[0] + at.bend[r][1] * moved[1] + at.bend[r][2] * moved[2];
        both[r] = bent + at.pull[a] * axis[c] - at.pull[c] * axis[a] + pose[3] * at.pull[r];
        sums[9 + r] += bent;
        for (int k = 0; k < 3; ++k) sums[3 * r + k] += both[r] * p[k] + at.pull[r] * q[k];
        image[r] = at.slope[r][0] * moved[0] + at.slope[r][1] * moved[1] + at.slope[r][2] * moved[2];
      }
    }
    for (int c = 0; c < d; ++c) {
      double sum = 0.0;
      for (int k = 0; k < d; ++k) sum += at.image_bend[c][k] * image[k];
      b.params.grad_points[at_point * d + c] = static_cast<T>(sum);
      sigma += at.image_pull[c] * image[c];
    }
    b.params.grad_sigma[at_point] = static_cast<T>((at.inside ? 2.0 : 1.0) * store.weight[at_point] * sigma);
    for (int k = 0; b.params.pull != nullptr && k < 3; ++k) {
      double pull = 0.0, twist = 0.0;
      for (int r = 0; r < 3; ++r) {
        pull -= frame.matrix[3 * r + k] * both[r];
        twist -= frame.matrix[3 * r + k] * at.pull[r];
      }
      b.params.pull[3 * at_point + k] = static_cast<T>(pull);
      b.params.twist[3 * at_point + k] = static_cast<T>(twist);
    }
  }
}

// Through the optimum, and as a factor of the pose. One thread a number of the start.
template <class T>
__device__ __forceinline__ void write_start(const Backward<T>& b, int64_t face, const double* sums) {
  if (threadIdx.x >= 12) return;
  const FitPlace& place = *b.store.state(face, 0).place;
  const int r = static_cast<int>(threadIdx.x) / 4, c = static_cast<int>(threadIdx.x) % 4;
  const T *grad = b.params.grad + face * (12 + b.store.layout.modes), *center = b.params.problem.center;
  double value = static_cast<double>(grad[4 * r + 3]) - sums[9 + r];
  if (c < 3) {
    value *= static_cast<double>(center[c]);
    for (int k = 0; k < 3; ++k) {
      const double inner = static_cast<double>(grad[4 * k + c]) -
                           static_cast<double>(grad[4 * k + 3]) * static_cast<double>(center[c]) - sums[3 * k + c];
      value += place.factor[3 * k + r] * inner;
    }
  }
  b.params.grad_start[12 * face + threadIdx.x] = static_cast<T>(value);
}

template <class T>
__device__ __forceinline__ void write_priors(const Backward<T>& b, int64_t face, const double* step) {
  const FitProblem<T>& problem = b.params.problem;
  const FitLayout& layout = b.store.layout;
  const int64_t modes = layout.modes;
  const T *unknowns = b.params.unknowns + face * layout.unknowns(), *mean = problem.prior_mean.of(face);
  const T* precision = problem.precision.of(face);
  if (threadIdx.x < kFitPose) {
    const int j = static_cast<int>(threadIdx.x);
    const double sigma = static_cast<double>(problem.pose_sigma.of(face)[j]), by = fit_pose_precision(sigma);
    const double value =
        by > 0.0 ? 2.0 * step[layout.own() + j] * static_cast<double>(unknowns[j]) * by / sigma : 0.0;
    b.params.grad_pose_sigma[face * kFitPose + j] = static_cast<T>(value);
  }
  const auto dual = [&](int64_t i) { return step[layout.column(i)]; };
  const auto apart = [&](int64_t i) { return static_cast<double>(unknowns[kFitPose + i]) - static_cast<double>(mean[i]); };
  for (int64_t i = threadIdx.x; i < modes; i += kFitThreads) {
    double sum = 0.0;
    for (int64_t j = 0; problem.full_precision && j < modes; ++j) {
      sum += static_cast<double>(precision[j * modes + i]) * dual(j);
    }
    if (!problem.full_precision) sum = static_cast<double>(precision[i]) * dual(i);
    b.params.grad_prior_mean[face * modes + i] = static_cast<T>(sum);
    if (b.params.solved != nullptr) b.params.solved[face * modes + i] = static_cast<T>(dual(i));
    if (b.params.grad_precision != nullptr && !problem.full_precision) {
      b.params.grad_precision[face * modes + i] = static_cast<T>(-dual(i) * apart(i));
    }
  }
  if (b.params.grad_precision == nullptr || !problem.full_precision) return;
  for (int64_t at = threadIdx.x; at < modes * modes; at += kFitThreads) {
    const int64_t i = at / modes, j = at % modes;
    b.params.grad_precision[face * modes * modes + at] =
        static_cast<T>(-0.5 * (dual(i) * apart(j) + apart(i) * dual(j)));
  }
}

// Whether every factor and solution of a face's group is good.
template <class T>
__device__ __forceinline__ bool usable(const Backward<T>& b, int64_t group) {
  bool good = b.store.solved[group] != 0;
  for (int64_t f = b.params.problem.first_face(group); f < b.params.problem.last_face(group); ++f) {
    good = good && b.store.good[f] != 0;
  }
  return good;
}

// All gradients from the dual in a face's step, or from zeros where there is none.
template <class T>
__device__ __forceinline__ void write_face(const Backward<T>& b, int64_t face, bool good, double* partial, double* totals) {
  const FitStore<double>& store = b.store;
  const FitLayout& layout = store.layout;
  double* const step = store.step + face * layout.width();
  const StateView<double> moved = store.state(face, 1);
  for (int64_t j = threadIdx.x; !good && j < layout.width(); j += kFitThreads) step[j] = 0.0;
  __syncthreads();
  for (int64_t k = threadIdx.x; k < layout.modes; k += kFitThreads) {
    moved.coefficients[layout.column(k)] = step[layout.column(k)];
  }
  __syncthreads();
  synthesize_points<double>(store, store.state(face, 0).chosen, moved.coefficients,
                            store.along + 3 * face * store.points);
  double sums[12] = {};
  write_points(b, face, step, sums);
  for (int i = 0; i < 12; ++i) {
    const double total = sum_block(sums[i], partial);
    if (threadIdx.x == 0) totals[i] = total;
  }
  __syncthreads();
  write_start(b, face, totals);
  write_priors(b, face, step);
}

}  // namespace twodasl::cuda
