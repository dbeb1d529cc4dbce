// One face of fit_landmarks: where its points are for some unknowns and what that costs, and the normal equations there.
#pragma once

#include "fit_landmarks.h"
#include "fit_tiles-inl.h"

namespace twodasl::cpu::TWODASL_LEVEL {

// A face at some unknowns. Arrays of points are padded to whole blocks.
template <class T>
struct FitState {
  double pose[kFitPose];
  FitPlace place;
  double cost;
  T* pull;          // (width): the prior's precision times the coefficients' distance from its mean
  T* coefficients;  // (width): in the layout's columns, 1 in that of the right side, 0 in the pose's
  T* arm[3];        // X - q
  T* error[3];      // point - y, 0 where a point is not seen
  T* size;          // |point - y| / sigma
  int32_t* chosen;  // rows
};

template <class T>
struct FitFace {
  int64_t index;   // in the batch
  RowsOf<T> rows;  // the local unknowns' normal equations, then their factor
  T *inverse, *diagonal, *step;
  T* target[3];
  T* weight;  // 1 / sigma, 0 where a point is not seen
  FitState<T> states[2];
};

// Memory that the faces of a task use in turn.
template <class T>
struct FitWork {
  T *rows, *products;          // of a chunk of points
  RowsOf<T> face_shared;       // a face's part of the normal equations of what its group shares
  RowsOf<T> shared;            // the group's, then its factor
  T *inverse, *diagonal;       // of the group's
  T *whole, *scratch;          // (unknowns, width) each
  T* points;                   // (L, 3), before the pose
  T* scale;                    // of a point's rows
  T* apart;                    // the coefficients' distance from the prior's mean
};

template <class T>
inline Vec<T> divide(Vec<T> a, Vec<T> b) {
  return {a.v / b.v};
}

template <class T>
inline bool finite(T x) {
  return x - x == T(0);
}

template <class T>
inline T product(const T* a, const T* b, int64_t width) {
  Vec<T> sums = broadcast(T(0));
  for (int64_t j = 0; j < width; j += Vec<T>::lanes) sums = fma(load(a + j), load(b + j), sums);
  return sum(sums);
}

// Reads what a face is given: targets and weights.
template <class T>
void read_face(const FitProblem<T>& problem, FitFace<T>& face) {
  const int64_t count = problem.points_count, dimensions = problem.dimensions();
  const T *points = problem.points.of(face.index), *sigma = problem.sigma.of(face.index);
  for (int64_t i = 0; i < problem.padded_points(); ++i) {
    bool seen = i < count && sigma[i] > T(0) && finite(sigma[i]);
    for (int64_t d = 0; seen && d < dimensions; ++d) seen = finite(points[i * dimensions + d]);
    for (int64_t d = 0; d < dimensions; ++d) face.target[d][i] = seen ? points[i * dimensions + d] : T(0);
    face.weight[i] = seen ? T(1) / sigma[i] : T(0);
  }
}

// The points before the pose, (L, 3) about the center, and zeros in what fills up the last block.
template <class T>
void synthesize_points(const FitParams<T>& params, const FitState<T>& state, T* points) {
  const FitProblem<T>& problem = params.problem;
  const int64_t width = problem.layout().width(), numbers = 3 * problem.points_count;
  const T* const c = state.coefficients;
  for (int64_t j = 0; j < numbers; j += 4) {
    const T* rows[4];
    for (int64_t k = 0; k < 4; ++k) {
      const int64_t number = j + k < numbers ? j + k : numbers - 1;
      rows[k] = params.packed + (3 * int64_t(state.chosen[number / 3]) + number % 3) * width;
    }
    Vec<T> sums[4];
    for (auto& s : sums) s = broadcast(T(0));
    for (int64_t v = 0; v < width; v += Vec<T>::lanes) {
      const Vec<T> by = load(c + v);
      for (int k = 0; k < 4; ++k) sums[k] = fma(by, load(rows[k] + v), sums[k]);
    }
    sum_four(sums[0], sums[1], sums[2], sums[3], points + j);
  }
  for (int64_t j = numbers; j < 3 * problem.padded_points(); ++j) points[j] = T(0);
}

// Of each point's candidates the one that lies furthest outward in the image; ties to the first.
template <class T>
void choose_candidates(const FitParams<T>& params, int64_t face, FitState<T>& state) {
  const FitProblem<T>& problem = params.problem;
  const int64_t width = problem.layout().width(), choices = params.candidates_count;
  const bool perspective = problem.camera == FitCamera::perspective;
  const double *m = state.place.matrix, *q = state.place.origin;
  double up[2] = {m[1], m[4]};
  const double length = root(up[0] * up[0] + up[1] * up[1]);
  for (double& x : up) x = length > 0.0 ? x / length : 0.0;
  const double turn = perspective ? -1.0 : 1.0, side[2] = {turn * up[1], -turn * up[0]};
  for (int64_t i = 0; i < problem.points_count; ++i) {
    const int64_t* rows = params.candidates + i * choices;
    state.chosen[i] = static_cast<int32_t>(rows[0]);
    double best = 0.0;
    bool first = true;
    bool several = false;
    for (int64_t j = 1; j < choices; ++j) several = several || rows[j] >= 0;
    if (!several) continue;
    const double out[2] = {static_cast<double>(params.outward[2 * i]), static_cast<double>(params.outward[2 * i + 1])};
    const double way[2] = {out[0] * side[0] + out[1] * up[0], out[0] * side[1] + out[1] * up[1]};
    for (int64_t j = 0; j < choices; ++j) {
      if (rows[j] < 0) continue;
      double p[3], x[3];
      for (int c = 0; c < 3; ++c) {
        p[c] = static_cast<double>(product(params.packed + (3 * rows[j] + c) * width,
                                           static_cast<const T*>(state.coefficients), width));
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
      state.chosen[i] = static_cast<int32_t>(rows[j]);
    }
  }
}

// Arms, errors and sizes from the points before the pose; false where a point that is seen is not before the camera.
template <FitCamera Camera, class T>
bool project_points(const FitProblem<T>& problem, const FitFace<T>& face, const T* points, FitState<T>& state) {
  constexpr int lanes = Vec<T>::lanes, kDimensions = Camera == FitCamera::space ? 3 : 2;
  Vec<T> m[9], q[3], focal[2], middle[2], behind = broadcast(T(0));
  for (int i = 0; i < 9; ++i) m[i] = broadcast(static_cast<T>(state.place.matrix[i]));
  for (int i = 0; i < 3; ++i) q[i] = broadcast(static_cast<T>(state.place.origin[i]));
  if constexpr (Camera == FitCamera::perspective) {
    const T* k = problem.intrinsics.of(face.index);
    for (int i = 0; i < 2; ++i) focal[i] = broadcast(k[i]), middle[i] = broadcast(k[2 + i]);
  }
  for (int64_t i = 0; i < problem.padded_points(); i += lanes) {
    Vec<T> p[3], y[3], squares = broadcast(T(0));
    load_interleaved(points + 3 * i, p[0], p[1], p[2]);
    const Vec<T> weight = load(face.weight + i);
    for (int c = 0; c < 3; ++c) {
      const Vec<T> arm = fma(m[3 * c], p[0], fma(m[3 * c + 1], p[1], mul(m[3 * c + 2], p[2])));
      store(state.arm[c] + i, arm);
      y[c] = add(arm, q[c]);
    }
    if constexpr (Camera == FitCamera::perspective) {
      const Vec<T> zero = broadcast(T(0));
      const Vec<T> depth = where_less(zero, y[2], y[2], broadcast(T(1)));
      behind = add(behind, where_less(zero, y[2], zero, weight));
      for (int c = 0; c < 2; ++c) y[c] = add(divide(mul(focal[c], y[c]), depth), middle[c]);
    }
    for (int d = 0; d < kDimensions; ++d) {
      // Nothing of a point that is not seen, wherever the model's is.
      const Vec<T> error = where_less(broadcast(T(0)), weight, sub(load(face.target[d] + i), y[d]), broadcast(T(0)));
      store(state.error[d] + i, error);
      squares = fma(error, error, squares);
    }
    store(state.size + i, mul(weight, root(squares)));
  }
  return !(sum(behind) > T(0));
}

// pull = A (c - n) by columns of the layout, and (c - n)^T A (c - n).
template <class T>
double prior_pull(const FitProblem<T>& problem, int64_t face, const T* coefficients, T* apart, T* pull) {
  const FitLayout layout = problem.layout();
  const int64_t modes = layout.modes;
  const T *mean = problem.prior_mean.of(face), *precision = problem.precision.of(face);
  // What the group shares, then the face's own: both are in a row.
  const int64_t firsts[2] = {0, layout.shared}, counts[2] = {layout.shared, layout.own()};
  const int64_t columns[2] = {layout.local(), 0};
  for (int part = 0; part < 2; ++part) {
    const T *c = coefficients + columns[part], *n = mean + firsts[part];
    T* const to = apart + firsts[part];
    for (int64_t l = 0; l < counts[part]; ++l) to[l] = c[l] - n[l];
  }
  for (int part = 0; part < 2; ++part) {
    T* const to = pull + columns[part];
    const T *row = precision + firsts[part], *from = apart + firsts[part];
    if (!problem.full_precision) {
      for (int64_t l = 0; l < counts[part]; ++l) to[l] = row[l] * from[l];
      continue;
    }
    for (int64_t l = 0; l < counts[part]; ++l) to[l] = T(0);
    for (int64_t k = 0; k < modes; ++k, row += modes) {
      for (int64_t l = 0; l < counts[part]; ++l) to[l] += apart[k] * row[l];
    }
  }
  double cost[4] = {0.0, 0.0, 0.0, 0.0};
  for (int part = 0; part < 2; ++part) {
    const T *to = pull + columns[part], *from = apart + firsts[part];
    for (int64_t l = 0; l < counts[part]; ++l) cost[l % 4] += static_cast<double>(from[l]) * static_cast<double>(to[l]);
  }
  return (cost[0] + cost[1]) + (cost[2] + cost[3]);
}

inline double pose_precision(double sigma) {
  return sigma > 0.0 && finite(sigma) ? 1.0 / (sigma * sigma) : 0.0;
}

// Everything of a state that follows from its pose and coefficients.
template <class T>
void evaluate_face(const FitParams<T>& params, const FitFace<T>& face, FitWork<T>& work, FitState<T>& state) {
  const FitProblem<T>& problem = params.problem;
  fit_place(problem, face.index, state.pose, state.place);
  if (params.candidates_count > 1) choose_candidates(params, face.index, state);
  synthesize_points(params, state, work.points);
  const bool valid = problem.camera == FitCamera::orthographic
                         ? project_points<FitCamera::orthographic>(problem, face, work.points, state)
                     : problem.camera == FitCamera::space
                         ? project_points<FitCamera::space>(problem, face, work.points, state)
                         : project_points<FitCamera::perspective>(problem, face, work.points, state);
  const T h = static_cast<T>(problem.robust);
  double cost[4] = {0.0, 0.0, 0.0, 0.0};
  for (int64_t i = 0; i < problem.padded_points(); i += 4) {
    for (int64_t j = 0; j < 4; ++j) {
      const T e = state.size[i + j];
      cost[j] += static_cast<double>(e > h ? h * (e + e - h) : e * e);
    }
  }
  state.cost = (cost[0] + cost[1]) + (cost[2] + cost[3]) +
               prior_pull(problem, face.index, static_cast<const T*>(state.coefficients), work.apart, state.pull);
  const T* sigma = problem.pose_sigma.of(face.index);
  for (int j = 0; j < kFitPose; ++j) {
    state.cost += pose_precision(static_cast<double>(sigma[j])) * state.pose[j] * state.pose[j];
  }
  if (!valid) state.cost = __builtin_inf();
}

}  // namespace twodasl::cpu::TWODASL_LEVEL
