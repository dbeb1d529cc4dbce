// Tested code from headers, compiled like the kernels with the sanitizers, which the tests themselves do without.
#pragma once

#include "../../csrc/cpu/kernels/recover.h"

namespace twodasl::test::checked {

template <class T>
bool invert(const T* pose, double (&inverse)[9]);

template <class T>
bool recoverable(const T* pose, const T* posed, int64_t vertices);

template <class T, class S>
void apply(cpu::FaceOrder<T>& order, VerticesBackwardParams<T, S>& params, const T* posed);

template <class T, class S>
void reduce_parts(const VerticesBackwardParams<T, S>& params, int64_t parts, T* grad_coefficients, T* grad_pose,
                  double* total, int64_t begin, int64_t end);

template <class T>
void nearest_rotations(const T* matrices, T* rotations, int64_t begin, int64_t end);

template <int N>
void symmetric_eigen(double (&matrix)[N][N], double (&values)[N], double (&vectors)[N][N]);

bool solve_positive(double (&matrix)[7][7], const double (&right)[7], double limit, double (&x)[7]);

}  // namespace twodasl::test::checked
