// The second derivatives of a face's half cost, whole: of the camera, of Huber's norm and of the turn as well.
#pragma once

#include "fit_system-inl.h"

namespace twodasl::cpu::TWODASL_LEVEL {

using Curvature = PointCurvature<Here>;

// Of a point that is seen.
inline Curvature curvature_at(const FitProblem<double>& problem, const FitFace<double>& face, const Frame<double>& frame,
                              const FitState<double>& state, int64_t i) {
  const bool deep = problem.camera == FitCamera::space;
  const double arm[3] = {state.arm[0][i], state.arm[1][i], state.arm[2][i]};
  const double error[3] = {state.error[0][i], state.error[1][i], deep ? state.error[2][i] : 0.0};
  Curvature at;
  at.set(frame, problem.camera, problem.robust, face.weight[i], arm, error, state.size[i]);
  return at;
}

// Sums over the points that the turn's and the scale's own second derivatives are made of.
struct FitTwist {
  double* rows;       // (4, width): of (M m_k) x pull, and of M m_k . pull
  double spread[9];   // of pull arm^T
};

inline void add_twist(const Frame<double>& frame, const Curvature& at, const double (&arm)[3],
                      const double* packed, int64_t width, FitTwist& twist) {
  constexpr int lanes = Vec<double>::lanes;
  Vec<double> factors[4][3];
  for (int c = 0; c < 3; ++c) {
    const double* const m = frame.matrix + c;
    double along = 0.0;
    for (int r = 0; r < 3; ++r) {
      const int a = (r + 1) % 3, b = (r + 2) % 3;
      factors[r][c] = broadcast(m[3 * a] * at.pull[b] - m[3 * b] * at.pull[a]);
      along += m[3 * r] * at.pull[r];
      twist.spread[3 * r + c] += at.pull[r] * arm[c];
    }
    factors[3][c] = broadcast(along);
  }
  for (int64_t v = 0; v < width; v += lanes) {
    const Vec<double> x = load(packed + v), y = load(packed + width + v), z = load(packed + 2 * width + v);
    for (int r = 0; r < 4; ++r) {
      double* const to = twist.rows + r * width + v;
      store(to, fma(factors[r][0], x, fma(factors[r][1], y, fma(factors[r][2], z, load(to)))));
    }
  }
}

// Adds J^T Q J of every point, Q its curvature, to a face's normal equations, and fills the twist.
inline void add_curved_points(const FitParams<double>& params, const FitFace<double>& face,
                              const Frame<double>& frame, const FitState<double>& state, FitWork<double>& work,
                              FitTwist& twist) {
  const FitProblem<double>& problem = params.problem;
  const FitLayout layout = problem.layout();
  const int64_t width = layout.width(), count = problem.points_count;
  constexpr int64_t kRows = 3 * FitMemory<double>::kChunkPoints;
  int64_t filled = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (face.weight[i] != 0.0) {
      const Curvature at = curvature_at(problem, face, frame, state, i);
      const double arm[3] = {state.arm[0][i], state.arm[1][i], state.arm[2][i]};
      const double* const packed = params.packed + 3 * int64_t(state.chosen[i]) * width;
      double factors[3][3];
      for (int j = 0; j < 9; ++j) factors[j / 3][j % 3] = frame.matrix[j];
      double* const rows = work.rows + filled * width;
      combine<3>(packed, width, factors, rows);
      for (int c = 0; c < 3; ++c) {
        const double way[3] = {c == 0 ? 1.0 : 0.0, c == 1 ? 1.0 : 0.0, c == 2 ? 1.0 : 0.0};
        frame.pose_columns(way, arm, rows + c * width + layout.own());
      }
      combine<3>(rows, width, at.bend, work.products + filled * width);
      add_twist(frame, at, arm, packed, width, twist);
      filled += 3;
    }
    if (filled < kRows && i + 1 < count) continue;
    add_rows<double>(work.products, work.rows, filled, layout, face, work);
    filled = 0;
  }
}

// The turn's and the scale's second derivatives: by each other and by the coefficients.
inline void add_twisted(const FitFace<double>& face, const Frame<double>& frame, const FitState<double>& state,
                        const FitLayout& layout, const FitTwist& twist) {
  const int64_t own = layout.own();
  const double* n = twist.spread;
  const double torque[3] = {n[7] - n[5], n[2] - n[6], n[3] - n[1]};  // sum of arm x pull
  double second[9];
  fit_turn_second(state.pose, twist.spread, second);
  for (int j = 0; j < 4; ++j) {
    if (frame.held[j]) continue;
    double* const row = face.rows.row(own + j);
    const auto turned = [&](double x, double y, double z) {
      return j == 3 ? 0.0 : frame.left[j] * x + frame.left[3 + j] * y + frame.left[6 + j] * z;
    };
    for (int l = j; l < 3; ++l) {
      if (!frame.held[l]) row[own + l] += second[3 * j + l];
    }
    if (!frame.held[3]) row[own + 3] += j == 3 ? n[0] + n[4] + n[8] : turned(torque[0], torque[1], torque[2]);
    const double* const cross = twist.rows;
    const int64_t width = layout.width();
    for (int64_t k = 0; k < layout.modes; ++k) {
      const int64_t i = layout.column(k);
      const double value =
          j == 3 ? cross[3 * width + i] : turned(cross[i], cross[width + i], cross[2 * width + i]);
      (i < own ? face.rows.row(i)[own + j] : row[i]) += value;
    }
  }
}

// The whole second derivatives of a face's half cost, into face.rows and work.face_shared.
inline void full_hessian(const FitParams<double>& params, const FitFace<double>& face, const FitState<double>& state,
                         FitWork<double>& work, double* twist_rows) {
  const FitProblem<double>& problem = params.problem;
  Frame<double> frame;
  frame.set(problem, face.index, state.place);
  FitTwist twist{twist_rows, {}};
  for (int64_t i = 0; i < 4 * problem.layout().width(); ++i) twist_rows[i] = 0.0;
  clear_rows(face.rows);
  clear_rows(work.face_shared);
  add_curved_points(params, face, frame, state, work, twist);
  add_twisted(face, frame, state, problem.layout(), twist);
  add_priors(problem, face, state, frame, work);
}

}  // namespace twodasl::cpu::TWODASL_LEVEL
