// The second derivatives of a face's half cost, whole: of the camera, of Huber's norm and of the turn as well. All threads
// of a block call; a call ends with a barrier.
#pragma once

#include "fit_system.h"

namespace twodasl::cuda {

using Curvature = PointCurvature<OnGpu>;
using Frame = FitFrame<OnGpu, double>;

// Of a point that is seen.
template <class T>
__device__ __forceinline__ Curvature curvature_at(const FitProblem<T>& problem, const FitStore<double>& store,
                                                  int64_t face, const Frame& frame, const StateView<double>& state,
                                                  int64_t i) {
  const int64_t count = store.points;
  const double arm[3] = {state.arm[i], state.arm[count + i], state.arm[2 * count + i]};
  const bool deep = problem.camera == FitCamera::space;
  const double error[3] = {state.error[i], state.error[count + i], deep ? state.error[2 * count + i] : 0.0};
  Curvature at;
  at.set(frame, problem.camera, problem.robust, store.weight[face * count + i], arm, error, state.size[i]);
  return at;
}

// Every point's pull and bend, zeros of one that is not seen.
template <class T>
__device__ __forceinline__ void keep_curvature(const FitProblem<T>& problem, const FitStore<double>& store,
                                               int64_t face, const Frame& frame, const StateView<double>& state) {
  for (int64_t i = threadIdx.x; i < store.points; i += kFitThreads) {
    double* const kept = store.curvature + 12 * (face * store.points + i);
    if (store.weight[face * store.points + i] == 0.0) {
      for (int j = 0; j < 12; ++j) kept[j] = 0.0;
      continue;
    }
    const Curvature at = curvature_at(problem, store, face, frame, state, i);
    for (int j = 0; j < 3; ++j) kept[j] = at.pull[j];
    for (int j = 0; j < 9; ++j) kept[3 + j] = at.bend[j / 3][j % 3];
  }
  __syncthreads();
}

// Rows of (M m_k) x pull (3) and M m_k . pull, summed over the points, a thread a column; and pull arm^T into spread[9].
__device__ __forceinline__ void sum_twist(const FitStore<double>& store, int64_t face, const Frame& frame,
                                          const StateView<double>& state, double* spread) {
  const int64_t width = store.layout.width(), count = store.points;
  const double* curvature = store.curvature + 12 * face * count;
  double* const twist = store.twist + 4 * face * width;
  for (int64_t j = threadIdx.x; j < width; j += kFitThreads) {
    double sums[4] = {};
    for (int64_t i = 0; i < count; ++i) {
      const double *packed = store.packed + 3 * int64_t(state.chosen[i]) * width + j, *pull = curvature + 12 * i;
      double m[3];
      for (int r = 0; r < 3; ++r) {
        m[r] = frame.matrix[3 * r] * packed[0] + frame.matrix[3 * r + 1] * packed[width] +
               frame.matrix[3 * r + 2] * packed[2 * width];
      }
      sums[0] += m[1] * pull[2] - m[2] * pull[1];
      sums[1] += m[2] * pull[0] - m[0] * pull[2];
      sums[2] += m[0] * pull[1] - m[1] * pull[0];
      sums[3] += m[0] * pull[0] + m[1] * pull[1] + m[2] * pull[2];
    }
    for (int r = 0; r < 4; ++r) twist[r * width + j] = sums[r];
  }
  if (threadIdx.x < 9) {
    const int a = static_cast<int>(threadIdx.x) / 3, b = static_cast<int>(threadIdx.x) % 3;
    double sum = 0.0;
    for (int64_t i = 0; i < count; ++i) sum += curvature[12 * i + a] * state.arm[b * count + i];
    spread[threadIdx.x] = sum;
  }
  __syncthreads();
}

// The turn's and the scale's second derivatives: by each other and by the coefficients.
__device__ __forceinline__ void add_twisted(const FitStore<double>& store, int64_t face, const Frame& frame,
                                            const StateView<double>& state, const double* spread, double* matrix) {
  const FitLayout& layout = store.layout;
  const int64_t width = layout.width(), own = layout.own();
  const double* twist = store.twist + 4 * face * width;
  for (int64_t k = threadIdx.x; k < layout.modes; k += kFitThreads) {
    const int64_t i = layout.column(k);
    for (int j = 0; j < 4; ++j) {
      if (frame.held[j]) continue;
      const double value = j == 3 ? twist[3 * width + i]
                                  : frame.left[j] * twist[i] + frame.left[3 + j] * twist[width + i] +
                                        frame.left[6 + j] * twist[2 * width + i];
      matrix[i < own ? i * width + own + j : (own + j) * width + i] += value;
    }
  }
  if (threadIdx.x == 0) {
    double n[9], second[9];
    for (int i = 0; i < 9; ++i) n[i] = spread[i];
    const double torque[3] = {n[7] - n[5], n[2] - n[6], n[3] - n[1]};  // sum of arm x pull
    second_by_turn(state.pose, n, second);
    for (int j = 0; j < 3; ++j) {
      if (frame.held[j]) continue;
      double* const row = matrix + (own + j) * width + own;
      for (int l = j; l < 3; ++l) {
        if (!frame.held[l]) row[l] += second[3 * j + l];
      }
      if (frame.held[3]) continue;
      row[3] += frame.left[j] * torque[0] + frame.left[3 + j] * torque[1] + frame.left[6 + j] * torque[2];
    }
    if (!frame.held[3]) matrix[(own + 3) * width + own + 3] += n[0] + n[4] + n[8];
  }
  __syncthreads();
}

// The whole second derivatives into `matrix`; `rows` has room for two chunks' rows.
template <class T>
__device__ __forceinline__ void full_hessian(const FitProblem<T>& problem, const FitStore<double>& store, int64_t face,
                                             const StateView<double>& state, double* spread, double* matrix,
                                             double* rows) {
  const FitLayout& layout = store.layout;
  const int64_t width = layout.width(), count = store.points, unknowns = layout.unknowns();
  double* const products = rows + kFitRows * width;
  Frame frame;
  frame.set(problem, face, *state.place);
  for (int64_t i = threadIdx.x; i < unknowns * width; i += kFitThreads) matrix[i] = 0.0;
  keep_curvature(problem, store, face, frame, state);
  for (int64_t first = 0; first < count; first += kFitChunk) {
    for (int64_t p = threadIdx.x / kWarp; p < kFitChunk; p += kFitWarps) {
      const int64_t i = first + p < count ? first + p : count - 1;
      const double *bend = store.curvature + 12 * (face * count + i) + 3, there = first + p < count ? 1.0 : 0.0;
      const double arm[3] = {state.arm[i], state.arm[count + i], state.arm[2 * count + i]};
      const double axes[3][3] = {{there, 0.0, 0.0}, {0.0, there, 0.0}, {0.0, 0.0, there}}, right[3] = {};
      double* const to = rows + 3 * p * width;
      fill_point(store, frame, 3, axes, arm, right, store.packed + 3 * int64_t(state.chosen[i]) * width, to);
      __syncwarp();
      for (int64_t j = threadIdx.x % kWarp; j < width; j += kWarp) {
        for (int r = 0; r < 3; ++r) {
          products[(3 * p + r) * width + j] =
              bend[3 * r] * to[j] + bend[3 * r + 1] * to[width + j] + bend[3 * r + 2] * to[2 * width + j];
        }
      }
    }
    __syncthreads();
    add_products<double>(products, rows, kFitRows, static_cast<int>(unknowns), static_cast<int>(width), matrix);
  }
  sum_twist(store, face, frame, state, spread);
  add_twisted(store, face, frame, state, spread, matrix);
  add_priors(problem, store, face, state, matrix);
}

}  // namespace twodasl::cuda
