// Gradients of a fit by the implicit function theorem. At the optimum half the cost's gradient G(u, x) is zero whatever an
// input x is, so du / dx = -H^-1 dG / dx, and a gradient v of the unknowns becomes -(H^-1 v)^T dG / dx. In double precision
// whatever the type: H^-1 v ("the dual") is the one solution that all of it hangs on.
#pragma once

#include "fit_curvature-inl.h"

namespace twodasl::cpu::TWODASL_LEVEL {

// What a face is given, in double precision.
struct FitInputs {
  FitParams<double> params;  // of this face alone: every stride is zero
  double* grad;              // (12 + K)
  double* unknowns;          // (7 + K)
};

template <class T>
double* widened(const T* data, int64_t count, FitArena& arena) {
  double* const copy = arena.take<double>(count);
  for (int64_t i = 0; i < count; ++i) copy[i] = static_cast<double>(data[i]);
  return copy;
}

template <class T>
FitInputs widened_inputs(const FitBackwardParams<T>& params, int64_t face, FitArena& arena) {
  const FitProblem<T>& given = params.problem;
  const int64_t k = given.modes_count, d = given.dimensions(), points = given.points_count;
  FitInputs inputs{};
  FitProblem<double>& problem = inputs.params.problem;
  problem.center = widened(given.center, 3, arena);
  problem.points.data = widened(given.points.of(face), points * d, arena);
  problem.sigma.data = widened(given.sigma.of(face), points, arena);
  problem.start.data = widened(given.start.of(face), 12, arena);
  problem.pose_sigma.data = widened(given.pose_sigma.of(face), kFitPose, arena);
  problem.prior_mean.data = widened(given.prior_mean.of(face), k, arena);
  problem.precision.data = widened(given.precision.of(face), given.full_precision ? k * k : k, arena);
  if (given.camera == FitCamera::perspective) problem.intrinsics.data = widened(given.intrinsics.of(face), 4, arena);
  problem.batch = problem.groups = 1;
  problem.points_count = points;
  problem.rows_count = given.rows_count;
  problem.modes_count = k;
  problem.shared = given.shared;
  problem.camera = given.camera;
  problem.full_precision = given.full_precision;
  problem.robust = given.robust;
  inputs.params.packed = params.packed;
  inputs.params.candidates_count = 1;
  inputs.grad = widened(params.grad + face * (12 + k), 12 + k, arena);
  inputs.unknowns = widened(params.unknowns + face * (kFitPose + k), kFitPose + k, arena);
  return inputs;
}

template <class T>
class FitBackward {
 public:
  FitBackward(const FitBackwardParams<T>& params, int64_t group, FitArena arena)
      : params_(params), layout_(params.problem.layout()),
        system_(layout_, params.problem.points_count, params.problem.first_face(group), params.problem.last_face(group),
                arena),
        inputs_(arena.take<FitInputs>(system_.count)), twist_(arena.take<double>(4 * layout_.width())),
        moved_(arena.take<double>(3 * params.problem.padded_points())) {
    static_assert(sizeof(FitInputs) <= 512, "fit_backward_bytes() counts on it");
    for (int64_t f = 0; f < system_.count; ++f) {
      FitFace<double>& face = system_.faces[f];
      inputs_[f] = widened_inputs(params, face.index, arena);
      read_face(inputs_[f].params.problem, face);
      place_face(f);
    }
  }

  void run() {
    find_dual();
    for (int64_t f = 0; f < system_.count; ++f) write(f);
  }

 private:
  FitState<double>& state(int64_t f) { return system_.faces[f].states[0]; }

  void place_face(int64_t f) {
    FitFace<double>& face = system_.faces[f];
    const int32_t* chosen = params_.chosen + face.index * params_.problem.points_count;
    for (FitState<double>& s : face.states) {
      for (int64_t i = 0; i < params_.problem.points_count; ++i) s.chosen[i] = chosen[i];
      for (int64_t j = 0; j < layout_.width(); ++j) s.coefficients[j] = 0.0;
    }
    FitState<double>& s = state(f);
    for (int j = 0; j < kFitPose; ++j) s.pose[j] = inputs_[f].unknowns[j];
    for (int64_t k = 0; k < layout_.modes; ++k) s.coefficients[layout_.column(k)] = inputs_[f].unknowns[kFitPose + k];
    s.coefficients[layout_.right()] = 1.0;
    evaluate_face(inputs_[f].params, face, system_.work, s);
  }

  // The parameters' gradient brought to the unknowns, on the right side of a face's system.
  void set_right(int64_t f) {
    const FitFace<double>& face = system_.faces[f];
    const FitPlace& place = state(f).place;
    const double *grad = inputs_[f].grad, *center = inputs_[f].params.problem.center;
    double matrix[9], axis[3] = {0.0, 0.0, 0.0}, right[kFitPose] = {};
    for (int i = 0; i < 9; ++i) matrix[i] = grad[i / 3 * 4 + i % 3] - grad[i / 3 * 4 + 3] * center[i % 3];
    for (int r = 0; r < 3; ++r) {
      const int a = (r + 1) % 3, b = (r + 2) % 3;
      for (int c = 0; c < 3; ++c) {
        axis[r] += place.matrix[3 * a + c] * matrix[3 * b + c] - place.matrix[3 * b + c] * matrix[3 * a + c];
      }
      right[4 + r] = grad[4 * r + 3];
    }
    for (int j = 0; j < 3; ++j) {
      for (int r = 0; r < 3; ++r) right[j] += place.left[3 * r + j] * axis[r];
    }
    for (int i = 0; i < 9; ++i) right[3] += place.matrix[i] * matrix[i];
    const auto row = [&](int64_t i) {
      return i < layout_.local() ? face.rows.row(i) : system_.work.face_shared.row(i);
    };
    for (int j = 0; j < kFitPose; ++j) {
      const bool held = inputs_[f].params.problem.held(face.index, j);
      row(layout_.own() + j)[layout_.right()] = held ? 0.0 : right[j];
    }
    for (int64_t k = 0; k < layout_.modes; ++k) row(layout_.column(k))[layout_.right()] = grad[12 + k];
  }

  // Into every face's step. Where the whole Hessian is not positive definite, which happens where the fit had not
  // arrived, the Gauss-Newton approximation stands for it; where that fails too the dual is zero.
  void find_dual() {
    const bool whole = system_.factor_system(system_.little(), [&](int64_t f) {
      full_hessian(inputs_[f].params, system_.faces[f], state(f), system_.work, twist_);
      set_right(f);
    });
    if (whole && system_.solve()) return;
    const bool instead = system_.factor_system(system_.little(), [&](int64_t f) {
      normal_equations(inputs_[f].params, system_.faces[f], state(f), system_.work);
      set_right(f);
    });
    if (instead && system_.solve()) return;
    for (int64_t f = 0; f < system_.count; ++f) {
      for (int64_t j = 0; j < layout_.width(); ++j) system_.faces[f].step[j] = 0.0;
    }
  }

  // What the dual does to a face: Omega = [axis]x + scale, and a shift.
  struct Motion {
    double axis[3], scale, shift[3];
  };
  Motion motion_of(const Frame<double>& frame, const double* step) const {
    const double* const pose = step + layout_.own();
    Motion motion{};
    for (int r = 0; r < 3; ++r) {
      for (int c = 0; c < 3; ++c) motion.axis[r] += frame.left[3 * r + c] * pose[c];
      motion.shift[r] = pose[4 + r];
    }
    motion.scale = pose[3];
    return motion;
  }

  void write(int64_t f) {
    FitFace<double>& face = system_.faces[f];
    const FitParams<double>& own = inputs_[f].params;
    FitState<double>& along = face.states[1];
    const double* const step = face.step;
    for (int64_t k = 0; k < layout_.modes; ++k) along.coefficients[layout_.column(k)] = step[layout_.column(k)];
    synthesize_points(own, state(f), system_.work.points);
    synthesize_points(own, along, moved_);
    Frame<double> frame;
    frame.set(own.problem, face.index, state(f).place);
    double pulled[9] = {}, shift[3] = {};
    write_points(f, frame, motion_of(frame, step), pulled, shift);
    write_start(f, pulled, shift);
    write_priors(f);
  }

  // The gradients of points and sigma; the sums that the start's is made of.
  void write_points(int64_t f, const Frame<double>& frame, const Motion& motion, double (&pulled)[9],
                    double (&shift)[3]) {
    const FitFace<double>& face = system_.faces[f];
    const FitProblem<double>& problem = inputs_[f].params.problem;
    const FitState<double>& s = state(f);
    const int64_t count = problem.points_count, b = face.index, d = problem.dimensions();
    for (int64_t i = 0; i < count; ++i) {
      T* const to = params_.grad_points + (b * count + i) * d;
      T* const pull = params_.pull ? params_.pull + (b * count + i) * 3 : nullptr;
      T* const twist = params_.pull ? params_.twist + (b * count + i) * 3 : nullptr;
      if (face.weight[i] == 0.0) {
        for (int64_t c = 0; c < d; ++c) to[c] = T(0);
        for (int c = 0; pull && c < 3; ++c) pull[c] = twist[c] = T(0);
        params_.grad_sigma[b * count + i] = T(0);
        continue;
      }
      const Curvature at = curvature_at(problem, face, frame, s, i);
      const double arm[3] = {s.arm[0][i], s.arm[1][i], s.arm[2][i]};
      const double *p = system_.work.points + 3 * i, *q = moved_ + 3 * i;
      double place[3], bent[3], both[3], image[3];  // what the dual moves, and how the cost's slope along it changes
      for (int r = 0; r < 3; ++r) {
        const int a = (r + 1) % 3, c = (r + 2) % 3;
        place[r] = frame.matrix[3 * r] * q[0] + frame.matrix[3 * r + 1] * q[1] + frame.matrix[3 * r + 2] * q[2] +
                   motion.axis[a] * arm[c] - motion.axis[c] * arm[a] + motion.scale * arm[r] + motion.shift[r];
      }
      for (int r = 0; r < 3; ++r) {
        const int a = (r + 1) % 3, c = (r + 2) % 3;
        bent[r] = at.bend[r][0] * place[0] + at.bend[r][1] * place[1] + at.bend[r][2] * place[2];
        both[r] = bent[r] + at.pull[a] * motion.axis[c] - at.pull[c] * motion.axis[a] + motion.scale * at.pull[r];
        shift[r] += bent[r];
        for (int k = 0; k < 3; ++k) pulled[3 * r + k] += both[r] * p[k] + at.pull[r] * q[k];
        image[r] = at.slope[r][0] * place[0] + at.slope[r][1] * place[1] + at.slope[r][2] * place[2];
      }
      double sigma = 0.0;
      for (int64_t c = 0; c < d; ++c) {
        double sum = 0.0;
        for (int64_t k = 0; k < d; ++k) sum += at.image_bend[c][k] * image[k];
        to[c] = static_cast<T>(sum);
        sigma += at.image_pull[c] * image[c];
      }
      params_.grad_sigma[b * count + i] = static_cast<T>((at.inside ? 2.0 : 1.0) * face.weight[i] * sigma);
      for (int k = 0; pull && k < 3; ++k) {
        const double* const m = frame.matrix + k;
        pull[k] = static_cast<T>(-(m[0] * both[0] + m[3] * both[1] + m[6] * both[2]));
        twist[k] = static_cast<T>(-(m[0] * at.pull[0] + m[3] * at.pull[1] + m[6] * at.pull[2]));
      }
    }
  }

  // Through the optimum, and as a factor of the pose.
  void write_start(int64_t f, const double (&pulled)[9], const double (&shift)[3]) {
    const FitPlace& place = state(f).place;
    const double *grad = inputs_[f].grad, *center = inputs_[f].params.problem.center;
    T* const to = params_.grad_start + 12 * system_.faces[f].index;
    double inner[9];
    for (int i = 0; i < 9; ++i) {
      inner[i] = grad[i / 3 * 4 + i % 3] - grad[i / 3 * 4 + 3] * center[i % 3] - pulled[i];
    }
    for (int r = 0; r < 3; ++r) {
      const double straight = grad[4 * r + 3] - shift[r];
      for (int c = 0; c < 3; ++c) {
        double sum = straight * center[c];
        for (int k = 0; k < 3; ++k) sum += place.factor[3 * k + r] * inner[3 * k + c];
        to[4 * r + c] = static_cast<T>(sum);
      }
      to[4 * r + 3] = static_cast<T>(straight);
    }
  }

  void write_priors(int64_t f) {
    const FitFace<double>& face = system_.faces[f];
    const FitProblem<double>& problem = inputs_[f].params.problem;
    const double *unknowns = inputs_[f].unknowns, *step = face.step;
    const double *mean = problem.prior_mean.data, *precision = problem.precision.data;
    const int64_t k = layout_.modes, b = face.index;
    for (int j = 0; j < kFitPose; ++j) {
      const double sigma = problem.pose_sigma.data[j], by = pose_precision(sigma);
      const double value = by > 0.0 ? 2.0 * step[layout_.own() + j] * unknowns[j] * by / sigma : 0.0;
      params_.grad_pose_sigma[b * kFitPose + j] = static_cast<T>(value);
    }
    const auto dual = [&](int64_t i) { return step[layout_.column(i)]; };
    const auto apart = [&](int64_t i) { return unknowns[kFitPose + i] - mean[i]; };
    for (int64_t i = 0; i < k; ++i) {
      double sum = 0.0;
      for (int64_t j = 0; problem.full_precision && j < k; ++j) {
        sum += precision[i * k + j] * dual(j);
        if (params_.grad_precision == nullptr) continue;
        params_.grad_precision[(b * k + i) * k + j] = static_cast<T>(-0.5 * (dual(i) * apart(j) + apart(i) * dual(j)));
      }
      if (!problem.full_precision) {
        sum = precision[i] * dual(i);
        if (params_.grad_precision) params_.grad_precision[b * k + i] = static_cast<T>(-dual(i) * apart(i));
      }
      params_.grad_prior_mean[b * k + i] = static_cast<T>(sum);
      if (params_.solved) params_.solved[b * k + i] = static_cast<T>(dual(i));
    }
  }

  const FitBackwardParams<T>& params_;
  const FitLayout layout_;
  FitSystem<double> system_;
  FitInputs* inputs_;
  double *twist_, *moved_;
};

// Groups [begin, end), in scratch of fit_backward_bytes() on a 64-byte boundary.
template <class T>
void fit_landmarks_backward(const FitBackwardParams<T>& params, void* scratch, int64_t begin, int64_t end) {
  for (int64_t g = begin; g < end; ++g) {
    if (params.problem.first_face(g) == params.problem.last_face(g)) continue;
    FitBackward<T>(params, g, FitArena{static_cast<unsigned char*>(scratch)}).run();
  }
}

}  // namespace twodasl::cpu::TWODASL_LEVEL
