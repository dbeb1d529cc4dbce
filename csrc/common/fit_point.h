// What CPU and GPU compute alike of a face and of a point: where a pose puts a face, rows of the Jacobian, curvature.
// `Where` is a type of the caller's own: it keeps the instruction-set levels' copies apart, which the linker would merge.
#pragma once

#include "fit_params.h"
#include "so3.h"

namespace twodasl {

// Levenberg's damping of a scaled diagonal: the first, its limits, and how small it must be for a fit to have converged.
inline constexpr double kFirstDamping = 1e-4, kLeastDamping = 1e-7, kMostDamping = 1e8, kSettledDamping = 1e-2;

// Where some unknowns of the pose put a face: M, the left Jacobian of its turn, q, and M M0^-1, the turn and scale alone.
struct FitPlace {
  double matrix[9], left[9], origin[3], factor[9];
};

template <class T>
TWODASL_HOST_DEVICE inline void place_face(const T* start, const T* center, const double* pose, FitPlace& place) {
  const double w[3] = {pose[0], pose[1], pose[2]}, scale = std::exp(pose[3]);
  double rotation[9];
  turn_by(w, rotation, place.left);
  TWODASL_UNROLL
  for (int r = 0; r < 3; ++r) {
    place.origin[r] = static_cast<double>(start[4 * r + 3]) + pose[4 + r];
    TWODASL_UNROLL
    for (int c = 0; c < 3; ++c) {
      double sum = 0.0;
      for (int k = 0; k < 3; ++k) sum += rotation[3 * r + k] * static_cast<double>(start[4 * k + c]);
      place.matrix[3 * r + c] = scale * sum;
      place.factor[3 * r + c] = scale * rotation[3 * r + c];
      place.origin[r] += static_cast<double>(start[4 * r + c]) * static_cast<double>(center[c]);
    }
  }
}

// The second derivatives by the turn of sum_i pull_i . X_i, from spread = sum_i pull_i arm_i^T. An arm is the turn of what
// it was before, v = R^T arm.
TWODASL_HOST_DEVICE inline void second_by_turn(const double* pose, const double (&spread)[9], double (&second)[9]) {
  const double w[3] = {pose[0], pose[1], pose[2]};
  double turned[9], rotation[9], left[9];
  turn_by(w, rotation, left);
  TWODASL_UNROLL
  for (int i = 0; i < 9; ++i) {
    turned[i] = 0.0;
    for (int k = 0; k < 3; ++k) turned[i] += spread[i / 3 * 3 + k] * rotation[3 * k + i % 3];
  }
  turn_second(w, turned, second);
}

// What turns the derivatives of a face's points into rows.
template <class Where, class T>
struct FitFrame {
  T matrix[9], left[9], origin[3], focal[2];
  bool held[kFitPose];

  template <class N>
  TWODASL_HOST_DEVICE void set(const FitProblem<N>& problem, int64_t face, const FitPlace& place) {
    for (int i = 0; i < 9; ++i) matrix[i] = static_cast<T>(place.matrix[i]), left[i] = static_cast<T>(place.left[i]);
    for (int i = 0; i < 3; ++i) origin[i] = static_cast<T>(place.origin[i]);
    for (int j = 0; j < kFitPose; ++j) held[j] = problem.held(face, j);
    for (int i = 0; i < 2; ++i) {
      focal[i] = problem.camera == FitCamera::perspective ? static_cast<T>(problem.intrinsics.of(face)[i]) : T(1);
    }
  }

  // Row d of the camera's derivative, times `scale`, at an arm.
  TWODASL_HOST_DEVICE void slope(FitCamera camera, int d, T scale, const T (&arm)[3], T (&row)[3]) const {
    TWODASL_UNROLL
    for (int c = 0; c < 3; ++c) row[c] = c == d ? scale : T(0);
    if (camera != FitCamera::perspective) return;
    const T inverse = T(1) / (arm[2] + origin[2]), across = d == 0 ? arm[0] + origin[0] : arm[1] + origin[1];
    const T along = scale * (d == 0 ? focal[0] : focal[1]) * inverse;
    row[0] = d == 0 ? along : T(0);
    row[1] = d == 0 ? T(0) : along;
    row[2] = -along * across * inverse;
  }

  // The derivatives of `scale` X_d by the pose.
  TWODASL_HOST_DEVICE void axis_columns(int d, T scale, const T (&arm)[3], T* columns) const {
    const int p = (d + 1) % 3, q = (d + 2) % 3;
    const T up = scale * arm[q], down = scale * arm[p];
    TWODASL_UNROLL
    for (int j = 0; j < 3; ++j) {
      columns[j] = held[j] ? T(0) : up * left[3 * p + j] - down * left[3 * q + j];
      columns[4 + j] = j == d && !held[4 + j] ? scale : T(0);
    }
    columns[3] = held[3] ? T(0) : scale * arm[d];
  }

  // The derivatives of row . X by the pose.
  TWODASL_HOST_DEVICE void pose_columns(const T (&row)[3], const T (&arm)[3], T* columns) const {
    const T turned[3] = {arm[1] * row[2] - arm[2] * row[1], arm[2] * row[0] - arm[0] * row[2],
                         arm[0] * row[1] - arm[1] * row[0]};
    TWODASL_UNROLL
    for (int j = 0; j < 3; ++j) {
      columns[j] = held[j] ? T(0) : turned[0] * left[j] + turned[1] * left[3 + j] + turned[2] * left[6 + j];
      columns[4 + j] = held[4 + j] ? T(0) : row[j];
    }
    columns[3] = held[3] ? T(0) : row[0] * arm[0] + row[1] * arm[1] + row[2] * arm[2];
  }
};

// Half the data's first and second derivatives at a point: in the image, and by its place X.
template <class Where>
struct PointCurvature {
  double slope[3][3];       // dy / dX
  double image_pull[3];     // by y
  double image_bend[3][3];
  double pull[3];           // by X
  double bend[3][3];
  bool inside;              // of Huber's threshold

  // Of a point that is seen, with its weight 1 / sigma, its error and its size in sigmas.
  TWODASL_HOST_DEVICE void set(const FitFrame<Where, double>& frame, FitCamera camera, double robust, double weight,
                               const double (&arm)[3], const double (&error)[3], double size) {
    const int dimensions = camera == FitCamera::space ? 3 : 2;
    inside = !(size > robust);
    const double share = inside ? 1.0 : robust / size, square = share * weight * weight;
    const double way = inside ? 0.0 : weight / size;  // 1 / |error|
    for (int a = 0; a < 3; ++a) {
      image_pull[a] = a < dimensions ? -square * error[a] : 0.0;
      pull[a] = 0.0;
      for (int b = 0; b < 3; ++b) {
        const double kept = (a == b ? 1.0 : 0.0) - error[a] * way * (error[b] * way);
        image_bend[a][b] = a < dimensions && b < dimensions ? square * kept : 0.0;
        slope[a][b] = bend[a][b] = 0.0;
      }
      if (a < dimensions) frame.slope(camera, a, 1.0, arm, slope[a]);
    }
    for (int a = 0; a < dimensions; ++a) {
      for (int r = 0; r < 3; ++r) {
        pull[r] += slope[a][r] * image_pull[a];
        for (int b = 0; b < dimensions; ++b) {
          for (int c = 0; c < 3; ++c) bend[r][c] += slope[a][r] * image_bend[a][b] * slope[b][c];
        }
      }
    }
    if (camera == FitCamera::perspective) bend_division(frame, arm);
  }

  // The division by the depth adds its own second derivatives, along the image's gradient.
  TWODASL_HOST_DEVICE void bend_division(const FitFrame<Where, double>& frame, const double (&arm)[3]) {
    const double inverse = 1.0 / (arm[2] + frame.origin[2]);
    double deep = 0.0;
    for (int a = 0; a < 2; ++a) {
      const double drawn = image_pull[a] * frame.focal[a] * inverse * inverse;
      bend[a][2] -= drawn;
      bend[2][a] -= drawn;
      deep += 2.0 * drawn * (arm[a] + frame.origin[a]) * inverse;
    }
    bend[2][2] += deep;
  }
};

}  // namespace twodasl
