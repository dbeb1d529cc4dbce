// Small symmetric matrices: eigenvalues and eigenvectors by Jacobi's rotations, in double precision.
#pragma once

#include <cmath>

#include "host_device.h"

namespace twodasl {

// matrix = vectors diag(values) vectors^T; column k of `vectors` belongs to values[k], in no order. Orthonormal to
// rounding whatever the matrix is: repeated and zero eigenvalues are no special case. Reads the upper triangle of the
// matrix and overwrites it. Cyclic sweeps converge quadratically: matrices of these sizes take five or six.
template <int N>
TWODASL_HOST_DEVICE inline void symmetric_eigen(double (&matrix)[N][N], double (&values)[N],
                                                double (&vectors)[N][N]) {
  constexpr int kSweeps = 16;
  TWODASL_UNROLL
  for (int i = 0; i < N; ++i) {
    TWODASL_UNROLL
    for (int j = 0; j < N; ++j) vectors[i][j] = i == j ? 1.0 : 0.0;
  }
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    double outside = 0.0;
    TWODASL_UNROLL
    for (int i = 0; i < N; ++i) {
      TWODASL_UNROLL
      for (int j = i + 1; j < N; ++j) outside += std::fabs(matrix[i][j]);
    }
    if (!(outside > 0.0)) break;
    TWODASL_UNROLL
    for (int p = 0; p < N; ++p) {
      TWODASL_UNROLL
      for (int q = p + 1; q < N; ++q) {
        const double off = matrix[p][q];
        // An entry that changes neither diagonal entry is rounding.
        if (std::fabs(matrix[p][p]) + std::fabs(off) == std::fabs(matrix[p][p]) &&
            std::fabs(matrix[q][q]) + std::fabs(off) == std::fabs(matrix[q][q])) {
          matrix[p][q] = 0.0;
          continue;
        }
        // tan of the smaller of the two angles that make the entry zero.
        const double theta = (matrix[q][q] - matrix[p][p]) / (2.0 * off);
        const double t = (theta >= 0.0 ? 1.0 : -1.0) / (std::fabs(theta) + std::sqrt(theta * theta + 1.0));
        const double c = 1.0 / std::sqrt(t * t + 1.0), s = t * c;
        matrix[p][p] -= t * off;
        matrix[q][q] += t * off;
        matrix[p][q] = 0.0;
        const auto turn = [&](double& a, double& b) {
          const double x = a, y = b;
          a = c * x - s * y;
          b = s * x + c * y;
        };
        TWODASL_UNROLL
        for (int i = 0; i < p; ++i) turn(matrix[i][p], matrix[i][q]);
        TWODASL_UNROLL
        for (int i = p + 1; i < q; ++i) turn(matrix[p][i], matrix[i][q]);
        TWODASL_UNROLL
        for (int i = q + 1; i < N; ++i) turn(matrix[p][i], matrix[q][i]);
        TWODASL_UNROLL
        for (int i = 0; i < N; ++i) turn(vectors[i][p], vectors[i][q]);
      }
    }
  }
  TWODASL_UNROLL
  for (int i = 0; i < N; ++i) values[i] = matrix[i][i];
}

}  // namespace twodasl
