#include "checked.h"

#include "../../csrc/cpu/kernels/reduce.h"
#include "../../csrc/common/positive.h"
#include "../../csrc/common/rotation.h"

namespace twodasl::test::checked {

template <class T>
bool invert(const T* pose, double (&inverse)[9]) {
  return cpu::invert(pose, inverse);
}
template bool invert(const float*, double (&)[9]);
template bool invert(const double*, double (&)[9]);

template <class T>
bool recoverable(const T* pose, const T* posed, int64_t vertices) {
  return cpu::recoverable(pose, posed, vertices);
}
template bool recoverable(const float*, const float*, int64_t);
template bool recoverable(const double*, const double*, int64_t);

template <class T, class S>
void apply(cpu::FaceOrder<T>& order, VerticesBackwardParams<T, S>& params, const T* posed) {
  order.apply(params, posed);
}

template <class T, class S>
void reduce_parts(const VerticesBackwardParams<T, S>& params, int64_t parts, T* grad_coefficients, T* grad_pose,
                  double* total, int64_t begin, int64_t end) {
  cpu::reduce_parts(params, parts, grad_coefficients, grad_pose, total, begin, end);
}

#define TWODASL_CHECKED(T, S)                                                          \
  template void apply(cpu::FaceOrder<T>&, VerticesBackwardParams<T, S>&, const T*);    \
  template void reduce_parts(const VerticesBackwardParams<T, S>&, int64_t, T*, T*, double*, int64_t, int64_t);
TWODASL_CHECKED(float, float)
TWODASL_CHECKED(double, double)
TWODASL_CHECKED(float, BFloat16)
TWODASL_CHECKED(float, Float16)

template <class T>
void nearest_rotations(const T* matrices, T* rotations, int64_t begin, int64_t end) {
  twodasl::nearest_rotations(matrices, rotations, begin, end);
}
template void nearest_rotations(const float*, float*, int64_t, int64_t);
template void nearest_rotations(const double*, double*, int64_t, int64_t);

template <int N>
void symmetric_eigen(double (&matrix)[N][N], double (&values)[N], double (&vectors)[N][N]) {
  twodasl::symmetric_eigen(matrix, values, vectors);
}
template void symmetric_eigen(double (&)[4][4], double (&)[4], double (&)[4][4]);
template void symmetric_eigen(double (&)[7][7], double (&)[7], double (&)[7][7]);

bool solve_positive(double (&matrix)[7][7], const double (&right)[7], double limit, double (&x)[7]) {
  return twodasl::solve_positive(matrix, right, limit, x);
}

}  // namespace twodasl::test::checked
