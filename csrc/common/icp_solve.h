// From the sums over the pairs of one iteration of iterative_closest_point to the next pose.
#pragma once

#include <cmath>

#include "eigen.h"
#include "icp_params.h"
#include "positive.h"
#include "rotation.h"

namespace twodasl::icp {

// c = a b for row-major 3x3; `transposed` takes b^T.
TWODASL_HOST_DEVICE inline void multiply(const double* a, const double* b, bool transposed, double* c) {
  TWODASL_UNROLL
  for (int i = 0; i < 3; ++i) {
    TWODASL_UNROLL
    for (int j = 0; j < 3; ++j) {
      double sum = 0.0;
      TWODASL_UNROLL
      for (int k = 0; k < 3; ++k) sum += a[3 * i + k] * (transposed ? b[3 * j + k] : b[3 * k + j]);
      c[3 * i + j] = sum;
    }
  }
}

TWODASL_HOST_DEVICE inline void apply(const double* matrix, const double* x, double* y) {
  TWODASL_UNROLL
  for (int r = 0; r < 3; ++r) y[r] = matrix[3 * r] * x[0] + matrix[3 * r + 1] * x[1] + matrix[3 * r + 2] * x[2];
}

// Least squares of |s R p + t - q| in closed form. `sums`: p, q, q p^T, |p|^2, all about the clouds' centroids.
TWODASL_HOST_DEVICE inline void point_to_point(double pairs, const double* sums, const double* pc, const double* qc,
                                               bool scale, bool recenter, const double* pose, double* next) {
  double p[3] = {0.0, 0.0, 0.0}, q[3] = {0.0, 0.0, 0.0};
  TWODASL_UNROLL
  for (int r = 0; r < 3; ++r) {
    p[r] = recenter ? 0.0 : sums[r] / pairs;
    q[r] = recenter ? 0.0 : sums[3 + r] / pairs;
  }
  double covariance[9], turned[9], turn[9];
  TWODASL_UNROLL
  for (int r = 0; r < 3; ++r) {
    TWODASL_UNROLL
    for (int c = 0; c < 3; ++c) covariance[3 * r + c] = sums[6 + 3 * r + c] - pairs * q[r] * p[c];
  }
  // Solve for the remaining rotation, so that what the pairs leave undetermined does not change.
  multiply(covariance, pose, true, turned);
  nearest_rotation(turned, turn);
  multiply(turn, pose, false, next);
  next[12] = pose[12];
  if (scale) {
    double agreement = 0.0;
    TWODASL_UNROLL
    for (int i = 0; i < 9; ++i) agreement += next[i] * covariance[i];
    const double spread = sums[15] - pairs * (p[0] * p[0] + p[1] * p[1] + p[2] * p[2]);
    // Points that all coincide, or that no rotation aligns, do not determine the scale.
    if (spread > 1e-24 * sums[15]) {
      const double s = agreement / spread;
      if (s > 0.0 && std::isfinite(s)) next[12] = s;
    }
  }
  const double center[3] = {pc[0] + p[0], pc[1] + p[1], pc[2] + p[2]};
  double moved[3];
  apply(next, center, moved);
  TWODASL_UNROLL
  for (int r = 0; r < 3; ++r) next[9 + r] = qc[r] + q[r] - next[12] * moved[r];
}

// exp of a rotation vector.
TWODASL_HOST_DEVICE inline void rotation_of(const double* w, double* rotation) {
  const double angle = std::sqrt(w[0] * w[0] + w[1] * w[1] + w[2] * w[2]);
  const double half = angle < 1e-4 ? 0.5 - angle * angle / 48.0 : std::sin(0.5 * angle) / angle;
  const double c = std::cos(0.5 * angle), x = half * w[0], y = half * w[1], z = half * w[2];
  const double two = 2.0 / (c * c + x * x + y * y + z * z);
  const double r[9] = {1.0 - two * (y * y + z * z), two * (x * y - c * z),       two * (x * z + c * y),
                       two * (x * y + c * z),       1.0 - two * (x * x + z * z), two * (y * z - c * x),
                       two * (x * z - c * y),       two * (y * z + c * x),       1.0 - two * (x * x + y * y)};
  TWODASL_UNROLL
  for (int i = 0; i < 9; ++i) rotation[i] = r[i];
}

inline constexpr int kPlaneUnknowns = 7;  // turn, shift, log scale

// The pose after a step of point-to-plane: turn, shift and growth, all as lengths at the target's size.
TWODASL_HOST_DEVICE inline void take_plane_step(const double* step, const double* qc, const double* pose,
                                                double* next) {
  const double size = qc[3] > 0.0 ? 1.0 / qc[3] : 1.0;
  double w[3] = {step[0] * size, step[1] * size, step[2] * size}, growth = step[6] * size;
  // The equations are linearized in rotation and scale: a larger step is not reliable.
  constexpr double kFurthest = 0.5;
  const double reach = std::fmax(std::sqrt(w[0] * w[0] + w[1] * w[1] + w[2] * w[2]), std::fabs(growth));
  const double share = reach > kFurthest ? kFurthest / reach : 1.0;
  for (double& x : w) x *= share;
  growth = std::exp(share * growth);
  double turn[9], moved[3];
  rotation_of(w, turn);
  multiply(turn, pose, false, next);
  next[12] = pose[12] * growth;
  const double offset[3] = {pose[9] - qc[0], pose[10] - qc[1], pose[11] - qc[2]};
  apply(turn, offset, moved);
  TWODASL_UNROLL
  for (int r = 0; r < 3; ++r) next[9 + r] = qc[r] + growth * moved[r] + share * step[3 + r];
}

// The normal equations of point-to-plane. `sums`: upper triangle of the 7x7 matrix, then the right-hand side. A scale that
// is not sought has `held` on the diagonal and zeros elsewhere.
TWODASL_HOST_DEVICE inline void plane_equations(const double* sums, bool scale, double held,
                                                double (&matrix)[kPlaneUnknowns][kPlaneUnknowns],
                                                double (&right)[kPlaneUnknowns]) {
  constexpr int kLast = kPlaneUnknowns - 1;
  int k = 0;
  TWODASL_UNROLL
  for (int r = 0; r < kPlaneUnknowns; ++r) {
    TWODASL_UNROLL
    for (int c = r; c < kPlaneUnknowns; ++c, ++k) matrix[r][c] = c == kLast && !scale ? 0.0 : sums[k];
  }
  TWODASL_UNROLL
  for (int r = 0; r < kPlaneUnknowns; ++r) right[r] = r == kLast && !scale ? 0.0 : sums[k + r];
  if (!scale) matrix[kLast][kLast] = held;
}

// Along a plane, or about the axis of a surface of revolution, nothing holds the source: it does not move where an
// eigenvalue is not above this share of the largest.
inline constexpr double kHeld = 1e-9;

// A function that is seldom called: on a GPU its registers would count for its caller too.
#if defined(__CUDACC__)
#define TWODASL_SELDOM __noinline__
#else
#define TWODASL_SELDOM
#endif

// The least-squares step that leaves out what is not held.
TWODASL_HOST_DEVICE TWODASL_SELDOM inline void held_plane_step(const double* sums, bool scale,
                                                                double (&step)[kPlaneUnknowns]) {
  constexpr int kUnknowns = kPlaneUnknowns;
  double matrix[kUnknowns][kUnknowns], right[kUnknowns], values[kUnknowns], vectors[kUnknowns][kUnknowns];
  plane_equations(sums, scale, 0.0, matrix, right);
  symmetric_eigen(matrix, values, vectors);
  double largest = values[0];
  TWODASL_UNROLL
  for (int i = 1; i < kUnknowns; ++i) largest = std::fmax(largest, values[i]);
  TWODASL_UNROLL
  for (int r = 0; r < kUnknowns; ++r) step[r] = 0.0;
  TWODASL_UNROLL
  for (int i = 0; i < kUnknowns; ++i) {
    if (!(values[i] > kHeld * largest)) continue;
    double along = 0.0;
    TWODASL_UNROLL
    for (int r = 0; r < kUnknowns; ++r) along += vectors[r][i] * right[r];
    TWODASL_UNROLL
    for (int r = 0; r < kUnknowns; ++r) step[r] -= vectors[r][i] * along / values[i];
  }
}

// One Gauss-Newton step on the distances along the normals; `sums` as plane_equations() takes them. Surfaces hold the
// source in all directions but for exceptions, and then no eigenvalue is needed.
TWODASL_HOST_DEVICE inline void point_to_plane(const double* sums, const double* qc, bool scale, const double* pose,
                                               double* next) {
  double matrix[kPlaneUnknowns][kPlaneUnknowns], right[kPlaneUnknowns], step[kPlaneUnknowns];
  plane_equations(sums, scale, sums[0], matrix, right);
  if (solve_positive(matrix, right, 1.0 / kHeld, step)) {
    TWODASL_UNROLL
    for (int r = 0; r < kPlaneUnknowns; ++r) step[r] = -step[r];
  } else {
    held_plane_step(sums, scale, step);
  }
  take_plane_step(step, qc, pose, next);
}

}  // namespace twodasl::icp
