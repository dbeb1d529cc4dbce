// Whether a face's shape before the pose can be taken from the forward's result V = M shape + t, and what the sums over
// V - t then become. The CPU and the CUDA kernels follow the same rule.
#pragma once

#include <cstdint>

#include "host_device.h"

namespace twodasl {

// The inverse of the pose's M in double precision. False where M is too close to singular: an error in
// V - t grows by the condition number, which is 3 (in this norm) for a scaled rotation.
template <class T>
TWODASL_HOST_DEVICE inline bool invert(const T* pose, double (&inverse)[9]) {
  constexpr double kCondition = 64.0;
  double m[9], squares = 0.0, inverse_squares = 0.0;
  for (int r = 0; r < 3; ++r) {
    for (int c = 0; c < 3; ++c) {
      m[3 * r + c] = static_cast<double>(pose[4 * r + c]);
      squares += m[3 * r + c] * m[3 * r + c];
    }
  }
  for (int r = 0; r < 3; ++r) {
    for (int c = 0; c < 3; ++c) {
      const int r1 = (r + 1) % 3, r2 = (r + 2) % 3, c1 = (c + 1) % 3, c2 = (c + 2) % 3;
      inverse[3 * c + r] = m[3 * r1 + c1] * m[3 * r2 + c2] - m[3 * r1 + c2] * m[3 * r2 + c1];  // the adjugate
    }
  }
  const double determinant = m[0] * inverse[0] + m[1] * inverse[3] + m[2] * inverse[6];
  // A condition number of k leaves a determinant of at least |M|^3 / (3 sqrt(3) k^2), in this norm |M|. Below, what
  // remains of a determinant may be rounding, as may the adjugate, and their quotient looks harmless. NaN too.
  constexpr double kSquare = 27.0 * kCondition * kCondition * kCondition * kCondition;
  if (!(determinant * determinant * kSquare >= squares * squares * squares) || determinant == 0.0) return false;
  for (double& x : inverse) {
    x /= determinant;
    inverse_squares += x * x;
  }
  return squares * inverse_squares <= kCondition * kCondition;
}

// V - t must also keep its precision: a shape that is small relative to its translation has lost it. A sample of the
  // vertices tells.
template <class T>
TWODASL_HOST_DEVICE inline bool recoverable(const T* pose, const T* posed, int64_t vertices) {
  constexpr int64_t kSample = 8;
  constexpr double kLargest = 16.0;  // |t| over the shape's extent
  double inverse[9];
  if (!invert(pose, inverse)) return false;
  double extent = 0.0, offset = 0.0;
  for (int c = 0; c < 3; ++c) {
    const double t = static_cast<double>(pose[4 * c + 3]);
    offset = t > offset ? t : (-t > offset ? -t : offset);
    for (int64_t i = 0; i < kSample; ++i) {
      const double x = static_cast<double>(posed[3 * (i * vertices / kSample) + c]) - t;
      extent = x > extent ? x : (-x > extent ? -x : extent);
    }
  }
  return extent > 0.0 && offset <= kLargest * extent;
}

// A row r of sum g shape^T = (sum g (V - t)^T) M^-T, in place.
TWODASL_HOST_DEVICE inline void turn_sums(const double (&inverse)[9], double* sums) {
  const double x = sums[0], y = sums[1], z = sums[2];
  for (int c = 0; c < 3; ++c) sums[c] = inverse[3 * c] * x + inverse[3 * c + 1] * y + inverse[3 * c + 2] * z;
}

}  // namespace twodasl
