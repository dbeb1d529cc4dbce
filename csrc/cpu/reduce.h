// The last step of a gradient: the parts' sums, added in order. No level of its own: it is memory-bound and small.
#pragma once

#include "../common/params.h"

namespace twodasl::cpu {

// partial (parts, B, 12 + K) -> grad_coefficients (B, K) and grad_pose (B, 3, 4); a null output is not needed.
template <class T, class S>
void reduce_parts(const VerticesBackwardParams<T, S>& params, int64_t parts, T* grad_coefficients, T* grad_pose) {
  const int64_t modes_count = params.basis.modes_count, width = 12 + modes_count;
  for (int64_t face = 0; face < params.batch; ++face) {
    for (int64_t i = 0; i < width; ++i) {
      T* target = i < 12 ? (grad_pose ? grad_pose + face * 12 + i : nullptr)
                         : (grad_coefficients ? grad_coefficients + face * modes_count + (i - 12) : nullptr);
      if (target == nullptr) continue;
      double total = 0.0;  // a gradient may sum 50,000 vertices: single precision would show
      for (int64_t part = 0; part < parts; ++part) {
        total += static_cast<double>(params.partial[(part * params.batch + face) * width + i]);
      }
      *target = static_cast<T>(total);
    }
  }
}

}  // namespace twodasl::cpu
