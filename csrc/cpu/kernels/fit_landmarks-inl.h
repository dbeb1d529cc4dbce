// fit_landmarks: Gauss-Newton on Huber's weights with Levenberg's damping, a group of faces at a time.
#pragma once

#include "fit_system-inl.h"

namespace twodasl::cpu::TWODASL_LEVEL {

template <class T>
struct FitGroup {
  const FitParams<T>& params;
  const FitLayout layout;
  FitSystem<T> system;
  int now = 0;  // which of a face's two states is the fit's; the other is the trial
  double cost = 0.0;

  FitGroup(const FitParams<T>& params, int64_t group, FitArena arena)
      : params(params), layout(params.problem.layout()),
        system(layout, params.problem.points_count, params.problem.first_face(group), params.problem.last_face(group),
               arena) {
    for (int64_t f = 0; f < system.count; ++f) read_face(params.problem, system.faces[f]);
  }

  FitState<T>& state(int64_t f) { return system.faces[f].states[now]; }
  FitState<T>& trial(int64_t f) { return system.faces[f].states[1 - now]; }

  bool factor_system(double damping) {
    return system.factor_system(damping, [&](int64_t f) {
      normal_equations(params, system.faces[f], state(f), system.work);
    });
  }

  double evaluate(int which) {
    double total = 0.0;
    for (int64_t f = 0; f < system.count; ++f) {
      evaluate_face(params, system.faces[f], system.work, system.faces[f].states[which]);
      total += system.faces[f].states[which].cost;
    }
    return total;
  }

  // No motion, and the prior's mean: of what a group shares the mean of its faces'.
  void begin() {
    const FitProblem<T>& problem = params.problem;
    for (int64_t f = 0; f < system.count; ++f) {
      for (FitState<T>& s : system.faces[f].states) {
        for (double& x : s.pose) x = 0.0;
        for (int64_t j = 0; j < layout.width(); ++j) s.coefficients[j] = T(0);
        s.coefficients[layout.right()] = T(1);
        for (int64_t i = 0; i < problem.points_count; ++i) {
          s.chosen[i] = static_cast<int32_t>(params.candidates[i * params.candidates_count]);
        }
      }
      const T* mean = problem.prior_mean.of(system.faces[f].index);
      for (int64_t k = layout.shared; k < layout.modes; ++k) state(f).coefficients[layout.column(k)] = mean[k];
    }
    for (int64_t k = 0; k < layout.shared; ++k) {
      double sum = 0.0;
      for (int64_t f = 0; f < system.count; ++f) sum += static_cast<double>(problem.prior_mean.of(system.faces[f].index)[k]);
      for (int64_t f = 0; f < system.count; ++f) {
        state(f).coefficients[layout.column(k)] = static_cast<T>(sum / static_cast<double>(system.count));
      }
    }
    cost = evaluate(now);
  }

  double try_step() {
    for (int64_t f = 0; f < system.count; ++f) {
      const FitState<T>& from = state(f);
      FitState<T>& to = trial(f);
      const T* const step = system.faces[f].step;
      for (int64_t j = 0; j < layout.right(); ++j) to.coefficients[j] = from.coefficients[j] + step[j];
      for (int64_t j = 0; j < kFitPose; ++j) {
        to.pose[j] = from.pose[j] + static_cast<double>(step[layout.own() + j]);
        to.coefficients[layout.own() + j] = T(0);
      }
    }
    return evaluate(1 - now);
  }

  // What the quadratic model says that the step gains, g^T d + damping d^T D d; U^-T g is in the factor's last column.
  double expected_fall(double damping) const {
    double gain = 0.0, length = 0.0;
    const auto add = [&](const RowsOf<T>& rows, const T* diagonal, const T* step) {
      for (int64_t i = rows.first; i < rows.last; ++i) {
        const double y = static_cast<double>(rows.row(i)[layout.right()]), d = static_cast<double>(step[i]);
        gain += y * y;
        if (diagonal[i] > T(0)) length += d * d * static_cast<double>(diagonal[i]);
      }
    };
    for (int64_t f = 0; f < system.count; ++f) add(system.faces[f].rows, system.faces[f].diagonal, system.faces[f].step);
    if (layout.shared > 0) add(system.work.shared, system.work.diagonal, system.faces[0].step);
    return gain + damping * length;
  }

  // How many systems were solved; whether the cost no longer falls. Near the optimum a step gains less than the cost's own
  // rounding, which then does not judge it.
  int32_t minimize(bool& converged) {
    double damping = kFirstDamping;
    converged = false;
    begin();
    if (!finite(cost)) return 0;
    int32_t steps = 0;
    for (; steps < params.iterations && !converged; ++steps) {
      const bool good = factor_system(damping) && system.solve();
      const double next = good ? try_step() : __builtin_inf(), fall = good ? expected_fall(damping) : 0.0;
      const double noise = 256.0 * system.epsilon() * (1.0 + cost);
      const bool better = finite(next) && (next <= cost || (fall <= noise && next <= cost + noise));
      converged = good && damping <= kSettledDamping && fall <= params.tolerance * (1.0 + cost);
      damping = better ? damping / 10.0 : damping * 10.0;
      damping = damping < kLeastDamping ? kLeastDamping : damping > kMostDamping ? kMostDamping : damping;
      if (!better) continue;
      now = 1 - now;
      cost = next < cost ? next : cost;
    }
    return steps;
  }

  void write_result(int64_t f, int32_t steps, bool converged) {
    const FitProblem<T>& problem = params.problem;
    const FitFace<T>& face = system.faces[f];
    const FitState<T>& at = state(f);
    const int64_t b = face.index, modes = layout.modes, points = problem.points_count, d = problem.dimensions();
    T *parameters = params.parameters + b * (12 + modes), *unknowns = params.unknowns + b * (kFitPose + modes);
    for (int r = 0; r < 3; ++r) {
      double shift = at.place.origin[r];
      for (int c = 0; c < 3; ++c) {
        parameters[4 * r + c] = static_cast<T>(at.place.matrix[3 * r + c]);
        shift -= at.place.matrix[3 * r + c] * static_cast<double>(problem.center[c]);
      }
      parameters[4 * r + 3] = static_cast<T>(shift);
    }
    for (int j = 0; j < kFitPose; ++j) unknowns[j] = static_cast<T>(at.pose[j]);
    for (int64_t k = 0; k < modes; ++k) {
      parameters[12 + k] = unknowns[kFitPose + k] = at.coefficients[layout.column(k)];
    }
    for (int64_t i = 0; i < points; ++i) {
      for (int64_t c = 0; c < d; ++c) params.residuals[(b * points + i) * d + c] = at.error[c][i];
      params.chosen[b * points + i] = at.chosen[i];
    }
    params.cost[b] = static_cast<T>(layout.shared > 0 ? at.cost : cost);
    params.steps[b] = steps;
    params.converged[b] = converged;
  }

  // From the inverse of the undamped system, raised by what rounding may take from it.
  void write_deviations() {
    const bool good = factor_system(system.little());
    const int64_t modes = layout.modes;
    for (int64_t f = 0; f < system.count; ++f) {
      const FitFace<T>& face = system.faces[f];
      if (good) system.inverse_of(f);
      T* const out = params.deviations + face.index * (kFitPose + modes);
      const auto deviation = [&](int64_t i) {
        return good && system.known(f, i) ? root(face.step[i]) : static_cast<T>(__builtin_inff());
      };
      for (int j = 0; j < kFitPose; ++j) {
        out[j] = params.problem.held(face.index, j) ? T(0) : deviation(layout.own() + j);
      }
      for (int64_t k = 0; k < modes; ++k) out[kFitPose + k] = deviation(layout.column(k));
    }
  }
};

// Groups [begin, end), in scratch on a 64-byte boundary that holds the largest of them: see fit_scratch_bytes().
template <class T>
void fit_landmarks(const FitParams<T>& params, void* scratch, int64_t begin, int64_t end) {
  for (int64_t g = begin; g < end; ++g) {
    FitGroup<T> group(params, g, FitArena{static_cast<unsigned char*>(scratch)});
    if (group.system.count <= 0) continue;
    bool converged = false;
    const int32_t steps = group.minimize(converged);
    for (int64_t f = 0; f < group.system.count; ++f) group.write_result(f, steps, converged);
    group.write_deviations();
  }
}

}  // namespace twodasl::cpu::TWODASL_LEVEL
