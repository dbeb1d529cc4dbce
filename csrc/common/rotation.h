// The rotation nearest to a 3x3 matrix: the one that maximizes tr(R^T M), in closed form by Horn's quaternion (Horn
// 1987, "Closed-form solution of absolute orientation using unit quaternions"). No SVD: a unit quaternion is a proper
// rotation whatever the matrix is, so reflections and rank-deficient matrices are no special case.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "eigen.h"
#include "host_device.h"

namespace twodasl {

// Row-major. Where several rotations are equally near (rank 0 and 1, some reflections) the one that turns least, if
// it is one of them; the zero matrix gives the identity. A matrix that is not finite gives NaN.
TWODASL_HOST_DEVICE inline void nearest_rotation(const double (&m)[9], double (&rotation)[9]) {
  double largest = 0.0;
  for (const double x : m) {
    if (!(std::fabs(x) <= std::numeric_limits<double>::max())) {
      for (double& r : rotation) r = std::numeric_limits<double>::quiet_NaN();
      return;
    }
    if (std::fabs(x) > largest) largest = std::fabs(x);
  }
  // To entries of size one, so that no square overflows or vanishes. A division: 1 / largest may itself overflow.
  double a[9];
  for (int i = 0; i < 9; ++i) a[i] = largest > 0.0 ? m[i] / largest : 0.0;
  // q^T K q = tr(R(q)^T M) for a unit quaternion q = (w, x, y, z).
  double k[4][4] = {{a[0] + a[4] + a[8], a[7] - a[5], a[2] - a[6], a[3] - a[1]},
                    {0.0, a[0] - a[4] - a[8], a[1] + a[3], a[2] + a[6]},
                    {0.0, 0.0, a[4] - a[0] - a[8], a[5] + a[7]},
                    {0.0, 0.0, 0.0, a[8] - a[0] - a[4]}};
  double values[4], vectors[4][4];
  symmetric_eigen(k, values, vectors);
  double greatest = values[0];
  int best = 0;
  TWODASL_UNROLL
  for (int i = 1; i < 4; ++i) {
    if (!(values[i] > greatest)) continue;
    greatest = values[i];
    best = i;
  }
  // For a repeated largest eigenvalue, any unit vector of its eigenspace is a solution: take the nearest to (1, 0, 0,
  // 0).
  constexpr double kSame = 1e-13;
  double q[4] = {0.0, 0.0, 0.0, 0.0}, length = 0.0;
  TWODASL_UNROLL
  for (int i = 0; i < 4; ++i) {
    if (values[i] < greatest - kSame) continue;
    for (int row = 0; row < 4; ++row) q[row] += vectors[0][i] * vectors[row][i];
  }
  for (const double x : q) length += x * x;
  if (length < 1e-8) {  // all half turns
    length = 0.0;
    TWODASL_UNROLL
    for (int i = 0; i < 4; ++i) {
      if (i != best) continue;
      for (int row = 0; row < 4; ++row) q[row] = vectors[row][i];
    }
    for (const double x : q) length += x * x;
  }
  const double two = 2.0 / length, w = q[0], x = q[1], y = q[2], z = q[3];
  rotation[0] = 1.0 - two * (y * y + z * z);
  rotation[1] = two * (x * y - w * z);
  rotation[2] = two * (x * z + w * y);
  rotation[3] = two * (x * y + w * z);
  rotation[4] = 1.0 - two * (x * x + z * z);
  rotation[5] = two * (y * z - w * x);
  rotation[6] = two * (x * z - w * y);
  rotation[7] = two * (y * z + w * x);
  rotation[8] = 1.0 - two * (x * x + y * y);
}

// Matrices [begin, end) of (B, 3, 3).
template <class T>
TWODASL_HOST_DEVICE inline void nearest_rotations(const T* matrices, T* rotations, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    double m[9], r[9];
    for (int j = 0; j < 9; ++j) m[j] = static_cast<double>(matrices[9 * i + j]);
    nearest_rotation(m, r);
    for (int j = 0; j < 9; ++j) rotations[9 * i + j] = static_cast<T>(r[j]);
  }
}

}  // namespace twodasl
