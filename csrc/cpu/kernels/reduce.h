// The last step of a gradient: the parts' sums, added in order. Compiled once, not per level, because it is small.
#pragma once

#include "recover.h"

namespace twodasl::cpu {

// partial (parts, B, 12 + K) -> grad_coefficients (B, K) and grad_pose (B, 3, 4) of rows [begin, end); a null
// output is not needed. `total` has room for 12 + K numbers.
template <class T, class S>
void reduce_parts(const VerticesBackwardParams<T, S>& params, int64_t parts, T* grad_coefficients, T* grad_pose,
                  double* total, int64_t begin, int64_t end) {
  const int64_t modes_count = params.basis.modes_count, width = 12 + modes_count;
  const int64_t first = params.need_pose ? 0 : 12, last = params.need_coefficients ? width : 12;
  for (int64_t row = begin; row < end; ++row) {
    const int64_t face = params.faces[row];
    // In double precision: a gradient may sum 50,000 vertices.
    for (int64_t i = first; i < last; ++i) total[i] = 0.0;
    for (int64_t part = 0; part < parts; ++part) {
      const T* partial = params.partial + (part * params.batch + row) * width;
      for (int64_t i = first; i < last; ++i) total[i] += static_cast<double>(partial[i]);
    }
    if (grad_coefficients) {
      for (int64_t k = 0; k < modes_count; ++k) grad_coefficients[face * modes_count + k] = static_cast<T>(total[12 + k]);
    }
    if (!grad_pose) continue;
    if (row < params.recovered) {
      // sum g shape^T = (sum g (V - t)^T) M^-T
      double inverse[9];
      invert(params.pose + 12 * row, inverse);
      for (int r = 0; r < 3; ++r) turn_sums(inverse, total + 4 * r);
    }
    for (int64_t i = 0; i < 12; ++i) grad_pose[face * 12 + i] = static_cast<T>(total[i]);
  }
}

}  // namespace twodasl::cpu
