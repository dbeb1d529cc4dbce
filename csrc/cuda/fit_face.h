// A block's work on one face: where its points are for some unknowns, what that costs, the normal equations there. All
// threads of the block call; a call ends with a barrier.
#pragma once

#include <limits>

#include "fit_store.h"

namespace twodasl::cuda {

template <class P>
__device__ __forceinline__ bool fit_finite(P x) {
  return x - x == P(0);
}

// A row that is there, whatever the number.
__device__ __forceinline__ int32_t fit_row(int64_t row, int64_t rows) {
  return row >= 0 && row < rows ? static_cast<int32_t>(row) : 0;
}

// 1 / sigma of what is seen.
template <class T, class P>
__device__ __forceinline__ void read_weights(const FitProblem<T>& problem, const FitStore<P>& store, int64_t face) {
  const int64_t dimensions = problem.dimensions();
  const T *points = problem.points.of(face), *sigma = problem.sigma.of(face);
  for (int64_t i = threadIdx.x; i < store.points; i += kFitThreads) {
    bool seen = sigma[i] > T(0) && fit_finite(sigma[i]);
    for (int64_t d = 0; seen && d < dimensions; ++d) seen = fit_finite(points[i * dimensions + d]);
    store.weight[face * store.points + i] = seen ? P(1) / static_cast<P>(sigma[i]) : P(0);
  }
  __syncthreads();
}

// A number of a point before the pose, by a warp: every lane gets it.
template <class P>
__device__ __forceinline__ P synthesize_number(const P* packed, const P* coefficients, int64_t width) {
  P sum = P(0);
  for (int64_t j = threadIdx.x % kWarp; j < width; j += kWarp) sum += packed[j] * coefficients[j];
  return sum_lanes<kWarp>(sum);
}

template <class P>
__device__ __forceinline__ void synthesize_points(const FitStore<P>& store, const int32_t* chosen,
                                                  const P* coefficients, P* points) {
  const int64_t width = store.layout.width();
  for (int64_t j = threadIdx.x / kWarp; j < 3 * store.points; j += kFitWarps) {
    const P* packed = store.packed + (3 * int64_t(chosen[j / 3]) + j % 3) * width;
    const P value = synthesize_number(packed, coefficients, width);
    if (threadIdx.x % kWarp == 0) points[j] = value;
  }
  __syncthreads();
}

// Of each point's candidates the one that lies furthest outward in the image; ties to the first. A warp a point.
template <class T, class P>
__device__ __forceinline__ void choose_rows(const FitParams<T>& params, const FitStore<P>& store, int64_t face,
                                            const StateView<P>& state) {
  const FitProblem<T>& problem = params.problem;
  const bool perspective = problem.camera == FitCamera::perspective;
  const double *m = state.place->matrix, *q = state.place->origin;
  const double length = sqrt(m[1] * m[1] + m[4] * m[4]), inverse = length > 0.0 ? 1.0 / length : 0.0;
  const double up[2] = {m[1] * inverse, m[4] * inverse}, turn = perspective ? -1.0 : 1.0;
  const int64_t choices = params.candidates_count, width = store.layout.width();
  for (int64_t i = threadIdx.x / kWarp; i < store.points; i += kFitWarps) {
    const int64_t* rows = params.candidates + i * choices;
    bool several = false;
    for (int64_t j = 1; j < choices; ++j) several = several || rows[j] >= 0;
    int32_t chosen = fit_row(rows[0], problem.rows_count);
    const double out0 = several ? static_cast<double>(params.outward[2 * i]) : 0.0;
    const double out1 = several ? static_cast<double>(params.outward[2 * i + 1]) : 0.0;
    const double way[2] = {out0 * turn * up[1] + out1 * up[0], -out0 * turn * up[0] + out1 * up[1]};
    double best = 0.0;
    bool first = true;
    for (int64_t j = 0; several && j < choices; ++j) {
      if (rows[j] < 0 || rows[j] >= problem.rows_count) continue;
      double p[3], x[3];
      for (int c = 0; c < 3; ++c) {
        p[c] = static_cast<double>(
            synthesize_number<P>(store.packed + (3 * rows[j] + c) * width, state.coefficients, width));
      }
      for (int c = 0; c < 3; ++c) x[c] = m[3 * c] * p[0] + m[3 * c + 1] * p[1] + m[3 * c + 2] * p[2] + q[c];
      if (perspective) {
        const T* k = problem.intrinsics.of(face);
        const double depth = x[2] > 0.0 ? x[2] : 1.0;
        for (int c = 0; c < 2; ++c) x[c] = static_cast<double>(k[c]) * x[c] / depth + static_cast<double>(k[2 + c]);
      }
      const double reach = way[0] * x[0] + way[1] * x[1];
      if (!first && !(reach > best)) continue;
      first = false;
      best = reach;
      chosen = static_cast<int32_t>(rows[j]);
    }
    if (threadIdx.x % kWarp == 0) state.chosen[i] = chosen;
  }
  __syncthreads();
}

// Arms, errors and sizes from the points before the pose; this thread's share of the cost, infinite where a point that is
// seen is not before the camera.
template <class T, class P>
__device__ __forceinline__ double project_points(const FitProblem<T>& problem, const FitStore<P>& store, int64_t face,
                                                 const StateView<P>& state) {
  const int64_t count = store.points;
  const int dimensions = static_cast<int>(problem.dimensions());
  const P h = static_cast<P>(problem.robust);
  const P* weights = store.weight + face * count;
  P m[9], q[3];
  for (int i = 0; i < 9; ++i) m[i] = static_cast<P>(state.place->matrix[i]);
  for (int i = 0; i < 3; ++i) q[i] = static_cast<P>(state.place->origin[i]);
  double cost = 0.0;
  for (int64_t i = threadIdx.x; i < count; i += kFitThreads) {
    const P *p = store.before + 3 * (face * count + i), weight = weights[i];
    const T* target = problem.points.of(face) + i * dimensions;
    P y[3], squares = P(0);
    for (int c = 0; c < 3; ++c) {
      const P arm = m[3 * c] * p[0] + m[3 * c + 1] * p[1] + m[3 * c + 2] * p[2];
      state.arm[c * count + i] = arm;
      y[c] = arm + q[c];
    }
    if (problem.camera == FitCamera::perspective) {
      const T* k = problem.intrinsics.of(face);
      const P depth = y[2] > P(0) ? y[2] : P(1);
      if (weight > P(0) && !(y[2] > P(0))) cost = std::numeric_limits<double>::infinity();
      for (int c = 0; c < 2; ++c) y[c] = static_cast<P>(k[c]) * y[c] / depth + static_cast<P>(k[2 + c]);
    }
    for (int d = 0; d < dimensions; ++d) {
      const P error = weight > P(0) ? static_cast<P>(target[d]) - y[d] : P(0);
      state.error[d * count + i] = error;
      squares += error * error;
    }
    const P e = weight * fit_root(squares);
    state.size[i] = e;
    cost += static_cast<double>(e > h ? h * (e + e - h) : e * e);
  }
  return cost;
}

__device__ __forceinline__ double fit_pose_precision(double sigma) {
  return sigma > 0.0 && fit_finite(sigma) ? 1.0 / (sigma * sigma) : 0.0;
}

// store.pull = A (c - n) by columns; this thread's share of (c - n)^T A (c - n).
template <class T, class P>
__device__ __forceinline__ double prior_pull(const FitProblem<T>& problem, const FitStore<P>& store, int64_t face,
                                             const P* coefficients) {
  const FitLayout& layout = store.layout;
  const T *mean = problem.prior_mean.of(face), *precision = problem.precision.of(face);
  P* const pull = store.pull + face * layout.width();
  double cost = 0.0;
  for (int64_t k = threadIdx.x; k < layout.modes; k += kFitThreads) {
    const P apart = coefficients[layout.column(k)] - static_cast<P>(mean[k]);
    P sum = P(0);
    if (!problem.full_precision) {
      sum = static_cast<P>(precision[k]) * apart;
    } else {
      for (int64_t l = 0; l < layout.modes; ++l) {  // a row of threads reads a row of a symmetric matrix
        sum += static_cast<P>(precision[l * layout.modes + k]) *
               (coefficients[layout.column(l)] - static_cast<P>(mean[l]));
      }
    }
    pull[layout.column(k)] = sum;
    cost += static_cast<double>(apart) * static_cast<double>(sum);
  }
  return cost;
}

// Everything of a state that follows from its pose and coefficients.
template <class T, class P>
__device__ __forceinline__ void evaluate_face(const FitParams<T>& params, const FitStore<P>& store, int64_t face,
                                              int which, double* sums) {
  const FitProblem<T>& problem = params.problem;
  const StateView<P> state = store.state(face, which);
  if (threadIdx.x == 0) place_face(problem.start.of(face), problem.center, state.pose, *state.place);
  __syncthreads();
  if (params.candidates_count > 1) choose_rows(params, store, face, state);
  synthesize_points<P>(store, state.chosen, state.coefficients, store.before + 3 * face * store.points);
  double cost = project_points(problem, store, face, state);
  cost += prior_pull<T, P>(problem, store, face, state.coefficients);
  if (threadIdx.x < kFitPose) {
    const double x = state.pose[threadIdx.x];
    cost += fit_pose_precision(static_cast<double>(problem.pose_sigma.of(face)[threadIdx.x])) * x * x;
  }
  cost = sum_block(cost, sums);
  if (threadIdx.x == 0) *state.cost = cost;
  __syncthreads();
}

// A point's rows of a weighted Jacobian and its residual, by a warp; zeros of one that is not seen. `slopes` are rows of
// the camera's derivative, weighted.
template <class P>
__device__ __forceinline__ void fill_point(const FitStore<P>& store, const FitFrame<OnGpu, P>& frame, int rows_count,
                                           const P (&slopes)[3][3], const P (&arm)[3], const P (&right)[3],
                                           const P* packed, P* rows) {
  const FitLayout& layout = store.layout;
  const int64_t width = layout.width();
  P factors[3][3];
  for (int d = 0; d < 3; ++d) {
    for (int c = 0; c < 3; ++c) {
      factors[d][c] = slopes[d][0] * frame.matrix[c] + slopes[d][1] * frame.matrix[3 + c] +
                      slopes[d][2] * frame.matrix[6 + c];
    }
  }
  for (int64_t j = threadIdx.x % kWarp; j < width; j += kWarp) {
    const bool coefficient = j < layout.own() || (j >= layout.local() && j < layout.unknowns());
    const P x = packed[j], y = packed[width + j], z = packed[2 * width + j];
    for (int d = 0; d < rows_count; ++d) {
      rows[d * width + j] = coefficient ? factors[d][0] * x + factors[d][1] * y + factors[d][2] * z : P(0);
    }
  }
  __syncwarp();
  if (threadIdx.x % kWarp == 0) {
    for (int d = 0; d < rows_count; ++d) {
      frame.pose_columns(slopes[d], arm, rows + d * width + layout.own());
      rows[d * width + layout.right()] = right[d];
    }
  }
}

// The priors on the normal equations.
template <class T, class P>
__device__ __forceinline__ void add_priors(const FitProblem<T>& problem, const FitStore<P>& store, int64_t face,
                                           const StateView<P>& state, P* matrix) {
  const FitLayout& layout = store.layout;
  const int64_t width = layout.width(), modes = layout.modes;
  const T* precision = problem.precision.of(face);
  prior_pull<T, P>(problem, store, face, state.coefficients);
  __syncthreads();
  const P* pull = store.pull + face * width;
  for (int64_t k = threadIdx.x; k < modes; k += kFitThreads) {
    const int64_t i = layout.column(k);
    matrix[i * width + layout.right()] -= pull[i];
    if (!problem.full_precision) matrix[i * width + i] += static_cast<P>(precision[k]);
  }
  for (int64_t at = threadIdx.x; problem.full_precision && at < modes * modes; at += kFitThreads) {
    const int64_t i = layout.column(at / modes), j = layout.column(at % modes);
    if (j >= i) matrix[i * width + j] += static_cast<P>(precision[at]);
  }
  if (threadIdx.x < kFitPose) {
    const int j = static_cast<int>(threadIdx.x);
    const double sigma = static_cast<double>(problem.pose_sigma.of(face)[j]);
    const double by = problem.held(face, j) ? 0.0 : fit_pose_precision(sigma);
    P* const row = matrix + (layout.own() + j) * width;
    row[layout.own() + j] += static_cast<P>(by);
    row[layout.right()] -= static_cast<P>(by * state.pose[j]);
  }
  __syncthreads();
}

// J^T W J + A in the layout's columns, with -gradient / 2 in that of the right side.
template <class T, class P>
__device__ __forceinline__ void normal_equations(const FitProblem<T>& problem, const FitStore<P>& store, int64_t face,
                                                 const StateView<P>& state, P* matrix, P* rows) {
  const FitLayout& layout = store.layout;
  const int64_t width = layout.width(), count = store.points;
  const int dimensions = static_cast<int>(problem.dimensions()), unknowns = static_cast<int>(layout.unknowns());
  FitFrame<OnGpu, P> frame;
  frame.set(problem, face, *state.place);
  for (int64_t i = threadIdx.x; i < unknowns * width; i += kFitThreads) matrix[i] = P(0);
  const P h = static_cast<P>(problem.robust);
  for (int64_t first = 0; first < count; first += kFitChunk) {
    for (int64_t p = threadIdx.x / kWarp; p < kFitChunk; p += kFitWarps) {
      const int64_t i = first + p < count ? first + p : count - 1;
      const P weight = first + p < count ? store.weight[face * count + i] : P(0), e = state.size[i];
      const P scale = weight * (e > h ? fit_root(h / e) : P(1));
      const P arm[3] = {state.arm[i], state.arm[count + i], state.arm[2 * count + i]};
      P slopes[3][3] = {}, right[3] = {};
      for (int d = 0; weight > P(0) && d < dimensions; ++d) {
        frame.slope(problem.camera, d, scale, arm, slopes[d]);
        right[d] = scale * state.error[d * count + i];
      }
      const P* packed = store.packed + 3 * int64_t(state.chosen[i]) * width;
      fill_point(store, frame, dimensions, slopes, arm, right, packed, rows + p * dimensions * width);
    }
    __syncthreads();
    add_products<P>(rows, rows, kFitChunk * dimensions, unknowns, static_cast<int>(width), matrix);
  }
  add_priors(problem, store, face, state, matrix);
}

}  // namespace twodasl::cuda
