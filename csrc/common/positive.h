// Small symmetric positive definite systems by L D L^T, in double precision, and whether they are far from singular.
#pragma once

#include "host_device.h"

namespace twodasl {

// x of matrix x = right, and true, where the largest eigenvalue is less than `limit` times the smallest. Elsewhere false:
// also for some matrices within a factor N^2 of the limit, and for numbers that are not finite. Reads the upper triangle of
// the matrix and overwrites it.
//
// What is compared with the limit is trace(A) trace(A^-1): the trace of a positive matrix is not less than its largest
// eigenvalue. It needs the inverse of L but no eigenvalue, and few operations wait for one another.
template <int N>
TWODASL_HOST_DEVICE inline bool solve_positive(double (&matrix)[N][N], const double (&right)[N], double limit,
                                               double (&x)[N]) {
  double inverse[N], trace = 0.0, trace_of_inverse = 0.0;
  TWODASL_UNROLL
  for (int i = 0; i < N; ++i) trace += matrix[i][i];
  TWODASL_UNROLL
  for (int k = 0; k < N; ++k) {
    if (!(matrix[k][k] > 0.0)) return false;
    inverse[k] = 1.0 / matrix[k][k];
    TWODASL_UNROLL
    for (int i = k + 1; i < N; ++i) {
      const double factor = matrix[k][i] * inverse[k];
      TWODASL_UNROLL
      for (int j = i; j < N; ++j) matrix[i][j] -= factor * matrix[k][j];
      matrix[k][i] = factor;  // of L, transposed
    }
  }
  // A^-1 = L^-T D^-1 L^-1: the squares of every column of L^-1, divided by the pivots.
  TWODASL_UNROLL
  for (int c = 0; c < N; ++c) {
    double column[N];
    column[c] = 1.0;
    trace_of_inverse += inverse[c];
    TWODASL_UNROLL
    for (int i = c + 1; i < N; ++i) {
      double sum = 0.0;
      TWODASL_UNROLL
      for (int k = c; k < i; ++k) sum -= matrix[k][i] * column[k];
      column[i] = sum;
      trace_of_inverse += sum * sum * inverse[i];
    }
  }
  if (!(trace * trace_of_inverse < limit)) return false;
  TWODASL_UNROLL
  for (int i = 0; i < N; ++i) {
    x[i] = right[i];
    TWODASL_UNROLL
    for (int k = 0; k < i; ++k) x[i] -= matrix[k][i] * x[k];
  }
  TWODASL_UNROLL
  for (int i = N - 1; i >= 0; --i) {
    x[i] *= inverse[i];
    TWODASL_UNROLL
    for (int k = i + 1; k < N; ++k) x[i] -= matrix[i][k] * x[k];
  }
  return true;
}

}  // namespace twodasl
