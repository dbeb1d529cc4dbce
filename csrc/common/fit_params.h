// What the kernels of fit_landmarks are given; the problem itself is stated in twodasl_ext/fit.py.
//
// A face's unknowns are x = (w, s, d, c): a turn w about the face's center (a rotation vector), the logarithm s of a
// scale, a shift d, and K coefficients c. With the start pose M0 | t0, a center o and q = M0 o + t0 + d,
//
//   X_i = M (S_i(c) - o) + q,   M = exp(s) exp([w]) M0,   S_i(c) = mean_i + sum_k c_k modes_ki,
//
// and a camera makes y_i of X_i. Kernels halve the cost: E / 2 = sum_i rho(|x_i - y_i| / sigma_i) / 2 + priors / 2.
#pragma once

#include <cstdint>

#include "host_device.h"
#include "params.h"

namespace twodasl {

inline constexpr int kFitPose = 7;  // w, s, d
enum class FitCamera : int { orthographic, space, perspective };

// Rows of a batch: element b begins at data + b * stride. A stride of zero is one row for all.
template <class T>
struct FaceRows {
  const T* data;
  int64_t stride;
  TWODASL_HOST_DEVICE const T* of(int64_t face) const { return data + face * stride; }
};

// Unknowns are eliminated in the order [own coefficients | pose | coefficients that the group shares | right side], so
// that eliminating the `local` ones of a face leaves the Schur complement of its group. Rows of a matrix are `width`
// numbers, the columns past the right side zero.
struct FitLayout {
  int64_t modes, shared;
  TWODASL_HOST_DEVICE int64_t own() const { return modes - shared; }
  TWODASL_HOST_DEVICE int64_t local() const { return own() + kFitPose; }
  TWODASL_HOST_DEVICE int64_t unknowns() const { return modes + kFitPose; }
  TWODASL_HOST_DEVICE int64_t right() const { return unknowns(); }
  TWODASL_HOST_DEVICE int64_t width() const { return block_count(unknowns() + 1) * kBlock; }
  // The column of a coefficient.
  TWODASL_HOST_DEVICE int64_t column(int64_t k) const { return k >= shared ? k - shared : local() + k; }
};

// What both directions read.
template <class T>
struct FitProblem {
  const T* mean;             // (R, 3): the rows that points may use
  const T* modes;            // (K, R, 3)
  const T* center;           // (3)
  FaceRows<T> points;        // (L, D); not finite: not seen
  FaceRows<T> sigma;         // (L); not in (0, inf): not seen
  FaceRows<T> start;         // (3, 4): M0 | t0
  FaceRows<T> pose_sigma;    // (7): what is not above 0 holds an unknown at 0, infinity is no prior
  FaceRows<T> prior_mean;    // (K)
  FaceRows<T> precision;     // (K), or (K, K) of which the symmetric part counts
  FaceRows<T> intrinsics;    // (4): fx, fy, cx, cy, of a perspective camera
  const int64_t* offsets;    // (G + 1): faces [offsets[g], offsets[g + 1]) are group g; null: every face is one
  int64_t batch, groups;
  int64_t points_count;      // L
  int64_t rows_count;        // R
  int64_t modes_count;       // K
  int64_t shared;            // leading coefficients that a group has in common
  FitCamera camera;
  bool full_precision;
  double robust;             // Huber's threshold in standard deviations

  TWODASL_HOST_DEVICE int64_t first_face(int64_t group) const { return offsets ? offsets[group] : group; }
  TWODASL_HOST_DEVICE int64_t last_face(int64_t group) const { return offsets ? offsets[group + 1] : group + 1; }
  // Whether an unknown of the pose stays at its start.
  TWODASL_HOST_DEVICE bool held(int64_t face, int unknown) const { return !(pose_sigma.of(face)[unknown] > T(0)); }
  TWODASL_HOST_DEVICE FitLayout layout() const { return {modes_count, shared}; }
  TWODASL_HOST_DEVICE int64_t dimensions() const { return camera == FitCamera::space ? 3 : 2; }
  TWODASL_HOST_DEVICE int64_t padded_points() const { return padded(points_count); }
};

template <class T>
struct FitParams {
  FitProblem<T> problem;
  const T* packed;            // of the CPU kernels: see fit_pack()
  const int64_t* candidates;  // (L, C) rows, -1 past a point's last
  const T* outward;           // (L, 2): which way is out for points of several candidates
  int64_t candidates_count;   // C
  int64_t iterations;
  double tolerance;
  T* parameters;              // (B, 12 + K)
  T* deviations;              // (B, 7 + K)
  T* unknowns;                // (B, 7 + K)
  T* cost;                    // (B): E
  T* residuals;               // (B, L, D): point - y, 0 where a point is not seen
  int32_t* chosen;            // (B, L): the row that a point uses
  int32_t* steps;             // (B): systems solved
  bool* converged;            // (B)
};

// Gradients by implicit differentiation at the optimum. Null results are not needed; `pull`, `twist` and `solved` go
// together.
template <class T>
struct FitBackwardParams {
  FitProblem<T> problem;
  const double* packed;        // of the CPU kernels: see fit_pack()
  const T* unknowns;           // (B, 7 + K)
  const int32_t* chosen;       // (B, L)
  const T* grad;               // (B, 12 + K), of the parameters
  T* grad_points;              // (B, L, D)
  T* grad_sigma;               // (B, L)
  T* grad_start;               // (B, 3, 4)
  T* grad_pose_sigma;          // (B, 7)
  T* grad_prior_mean;          // (B, K)
  T* grad_precision;           // (B, K) or (B, K, K), or null
  T* pull;                     // (B, L, 3): d / d S_i, or null
  T* twist;                    // (B, L, 3): with `solved`, the rest of d / d modes_ki
  T* solved;                   // (B, K)
};

}  // namespace twodasl
