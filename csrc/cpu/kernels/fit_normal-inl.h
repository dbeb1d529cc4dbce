// The normal equations of a face at a state, half of the cost's: J^T W J + A in the layout's columns, with -gradient / 2
// in the column of the right side.
#pragma once

#include "fit_face-inl.h"

namespace twodasl::cpu::TWODASL_LEVEL {

// This level's own copies of what is shared with the GPU.
struct Here {};
template <class T>
using Frame = FitFrame<Here, T>;

// rows[d] = sum_c factors[d][c] packed[c], over the whole width.
template <int Count, class T>
inline void combine(const T* packed, int64_t width, const T (&factors)[Count][3], T* rows) {
  Vec<T> f[Count][3];
  for (int d = 0; d < Count; ++d) {
    for (int c = 0; c < 3; ++c) f[d][c] = broadcast(factors[d][c]);
  }
  for (int64_t v = 0; v < width; v += Vec<T>::lanes) {
    const Vec<T> x = load(packed + v), y = load(packed + width + v), z = load(packed + 2 * width + v);
    for (int d = 0; d < Count; ++d) store(rows + d * width + v, fma(f[d][0], x, fma(f[d][1], y, mul(f[d][2], z))));
  }
}

// Weighted rows of the Jacobian and the residual of points [first, last) that are seen; how many.
template <FitCamera Camera, class T>
int64_t fill_rows(const FitParams<T>& params, const FitFace<T>& face, const Frame<T>& frame,
                  const FitState<T>& state, const T* scales, int64_t first, int64_t last, T* rows) {
  constexpr int kDimensions = Camera == FitCamera::space ? 3 : 2;
  const FitLayout layout = params.problem.layout();
  const int64_t width = layout.width();
  const T* const begin = rows;
  for (int64_t i = first; i < last; ++i) {
    if (face.weight[i] == T(0)) continue;
    const T scale = scales[i], arm[3] = {state.arm[0][i], state.arm[1][i], state.arm[2][i]};
    T slopes[kDimensions][3], factors[kDimensions][3];
    for (int d = 0; d < kDimensions; ++d) {
      if constexpr (Camera == FitCamera::perspective) frame.slope(Camera, d, scale, arm, slopes[d]);
      for (int c = 0; c < 3; ++c) {
        factors[d][c] = Camera != FitCamera::perspective
                            ? scale * frame.matrix[3 * d + c]
                            : slopes[d][0] * frame.matrix[c] + slopes[d][1] * frame.matrix[3 + c] +
                                  slopes[d][2] * frame.matrix[6 + c];
      }
    }
    combine<kDimensions>(params.packed + 3 * int64_t(state.chosen[i]) * width, width, factors, rows);
    for (int d = 0; d < kDimensions; ++d, rows += width) {
      if constexpr (Camera == FitCamera::perspective) {
        frame.pose_columns(slopes[d], arm, rows + layout.own());
      } else {
        frame.axis_columns(d, scale, arm, rows + layout.own());
      }
      rows[layout.right()] = scale * state.error[d][i];
    }
  }
  return (rows - begin) / width;
}

// Priors, on the rows where the unknowns are.
template <class T>
void add_priors(const FitProblem<T>& problem, const FitFace<T>& face, const FitState<T>& state, const Frame<T>& frame,
                FitWork<T>& work) {
  const FitLayout layout = problem.layout();
  const auto row = [&](int64_t i) { return i < layout.local() ? face.rows.row(i) : work.face_shared.row(i); };
  const T *precision = problem.precision.of(face.index), *sigma = problem.pose_sigma.of(face.index);
  for (int64_t k = 0; k < layout.modes; ++k) {
    const int64_t i = layout.column(k);
    T* const to = row(i);
    to[layout.right()] -= state.pull[i];
    if (!problem.full_precision) {
      to[i] += precision[k];
      continue;
    }
    for (int64_t l = 0; l < layout.modes; ++l) {
      if (layout.column(l) >= i) to[layout.column(l)] += precision[k * layout.modes + l];
    }
  }
  for (int j = 0; j < kFitPose; ++j) {
    const double by = frame.held[j] ? 0.0 : pose_precision(static_cast<double>(sigma[j]));
    T* const to = row(layout.own() + j);
    to[layout.own() + j] += static_cast<T>(by);
    to[layout.right()] -= static_cast<T>(by * state.pose[j]);
  }
}

template <class T>
inline void clear_rows(const RowsOf<T>& rows) {
  for (int64_t i = 0; i < (rows.last - rows.first) * rows.width; ++i) rows.data[i] = T(0);
}

// Adds left^T right of `count` rows to a face's normal equations.
template <class T>
inline void add_rows(const T* left, const T* right, int64_t count, const FitLayout& layout, const FitFace<T>& face,
                     const FitWork<T>& work) {
  const int64_t local = layout.local(), columns = layout.right() + 1;
  add_product<false>(left, right, count, face.rows, 0, local, 0, columns, true);
  if (layout.shared > 0) {
    add_product<false>(left, right, count, work.face_shared, local, layout.unknowns(), 0, columns, true);
  }
}

template <FitCamera Camera, class T>
void add_points(const FitParams<T>& params, const FitFace<T>& face, const Frame<T>& frame, const FitState<T>& state,
                FitWork<T>& work) {
  constexpr int64_t kChunk = FitMemory<T>::kChunkPoints;
  const int64_t count = params.problem.points_count;
  for (int64_t first = 0; first < count; first += kChunk) {
    const int64_t last = first + kChunk < count ? first + kChunk : count;
    const int64_t rows = fill_rows<Camera>(params, face, frame, state, work.scale, first, last, work.rows);
    add_rows<T>(work.rows, work.rows, rows, params.problem.layout(), face, work);
  }
}

// Fills face.rows and work.face_shared.
template <class T>
void normal_equations(const FitParams<T>& params, const FitFace<T>& face, const FitState<T>& state, FitWork<T>& work) {
  const FitProblem<T>& problem = params.problem;
  Frame<T> frame;
  frame.set(problem, face.index, state.place);
  const Vec<T> h = broadcast(static_cast<T>(problem.robust)), one = broadcast(T(1));
  for (int64_t i = 0; i < problem.padded_points(); i += Vec<T>::lanes) {
    const Vec<T> e = load(state.size + i), ratio = where_less(h, e, divide(h, where_less(h, e, e, one)), one);
    store(work.scale + i, mul(load(face.weight + i), root(ratio)));
  }
  clear_rows(face.rows);
  clear_rows(work.face_shared);
  if (problem.camera == FitCamera::orthographic) {
    add_points<FitCamera::orthographic>(params, face, frame, state, work);
  } else if (problem.camera == FitCamera::space) {
    add_points<FitCamera::space>(params, face, frame, state, work);
  } else {
    add_points<FitCamera::perspective>(params, face, frame, state, work);
  }
  add_priors(problem, face, state, frame, work);
}

}  // namespace twodasl::cpu::TWODASL_LEVEL
