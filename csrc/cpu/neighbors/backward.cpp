#include "neighbors.h"

namespace twodasl::cpu {

template <class T>
void nearest_backward_query(const NearestBackwardParams<T>& params, int64_t element, int64_t begin, int64_t end) {
  const T* points = params.points + 3 * element * params.points_count;
  for (int64_t m = element * params.queries + begin; m < element * params.queries + end; ++m) {
    const int64_t n = params.index[m];
    const T twice = params.grad[m] + params.grad[m];
    for (int c = 0; c < 3; ++c) {
      params.grad_query[3 * m + c] = n < 0 ? T(0) : twice * (params.query[3 * m + c] - points[3 * n + c]);
    }
  }
}

template <class T>
void nearest_backward_points(const NearestBackwardParams<T>& params, int64_t element, int64_t begin, int64_t end) {
  const int64_t first = element * params.points_count;
  const T* points = params.points + 3 * first;
  double* sums = params.sums + 3 * first;  // in double precision: one point may be the nearest of them all
  for (int64_t i = 3 * begin; i < 3 * end; ++i) sums[i] = 0.0;
  for (int64_t m = element * params.queries; m < (element + 1) * params.queries; ++m) {
    const int64_t n = params.index[m];
    if (n < begin || n >= end) continue;
    const T twice = params.grad[m] + params.grad[m];
    for (int c = 0; c < 3; ++c) {
      sums[3 * n + c] -= static_cast<double>(twice * (params.query[3 * m + c] - points[3 * n + c]));
    }
  }
  for (int64_t i = 3 * begin; i < 3 * end; ++i) params.grad_points[3 * first + i] = static_cast<T>(sums[i]);
}

template void nearest_backward_query<float>(const NearestBackwardParams<float>&, int64_t, int64_t, int64_t);
template void nearest_backward_query<double>(const NearestBackwardParams<double>&, int64_t, int64_t, int64_t);
template void nearest_backward_points<float>(const NearestBackwardParams<float>&, int64_t, int64_t, int64_t);
template void nearest_backward_points<double>(const NearestBackwardParams<double>&, int64_t, int64_t, int64_t);

}  // namespace twodasl::cpu
