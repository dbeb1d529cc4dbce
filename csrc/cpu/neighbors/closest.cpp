// The gradients of closest_point_on_mesh.
#include "closest.h"

#include "../../common/closest.h"

namespace twodasl::cpu {

template <class T>
void closest_backward_points(const ClosestPointBackwardParams<T>& params, int64_t element, int64_t begin,
                             int64_t end) {
  for (int64_t m = element * params.points_count + begin; m < element * params.points_count + end; ++m) {
    double away[3];
    const bool found = away_from_triangle(params, element, m, away);
    const double twice = 2.0 * static_cast<double>(params.grad[m]);
    for (int c = 0; c < 3; ++c) params.grad_points[3 * m + c] = found ? static_cast<T>(twice * away[c]) : T(0);
  }
}

template <class T>
void closest_backward_vertices(const ClosestPointBackwardParams<T>& params, int64_t element, int64_t begin,
                               int64_t end) {
  const int64_t first = element * params.vertices_count;
  double* sums = params.sums + 3 * first;
  for (int64_t i = 3 * begin; i < 3 * end; ++i) sums[i] = 0.0;
  for (int64_t m = element * params.points_count; m < (element + 1) * params.points_count; ++m) {
    if (params.triangle[m] < 0) continue;
    const int64_t* corner = params.triangles + 3 * params.triangle[m];
    const auto ours = [&](int i) { return corner[i] >= begin && corner[i] < end; };
    if (!ours(0) && !ours(1) && !ours(2)) continue;
    double away[3];
    away_from_triangle(params, element, m, away);
    for (int i = 0; i < 3; ++i) {
      if (!ours(i)) continue;
      const double factor = -2.0 * static_cast<double>(params.grad[m]) * static_cast<double>(params.barycentrics[3 * m + i]);
      for (int c = 0; c < 3; ++c) sums[3 * corner[i] + c] += factor * away[c];
    }
  }
  for (int64_t i = 3 * begin; i < 3 * end; ++i) params.grad_vertices[3 * first + i] = static_cast<T>(sums[i]);
}

#define TWODASL_INSTANTIATE(T)                                                                                   \
  template void closest_backward_points<T>(const ClosestPointBackwardParams<T>&, int64_t, int64_t, int64_t); \
  template void closest_backward_vertices<T>(const ClosestPointBackwardParams<T>&, int64_t, int64_t, int64_t);
TWODASL_INSTANTIATE(float)
TWODASL_INSTANTIATE(double)

}  // namespace twodasl::cpu
