// vertices, backward to the basis itself, in the packed layout. With q[n] = M^T g[n]:
//   grad mean[n] = sum_b q_b[n]               grad modes_k[n] = sum_b c_bk q_b[n]
#pragma once

#include "gradient-inl.h"

namespace twodasl::cpu::TWODASL_LEVEL {

// Modes [mode, mode + Modes). Without faces the coefficients' pointer may be null, to which only zero can be added.
template <int Modes, class T>
inline __attribute__((always_inline)) void modes_tile(const T* turned, const T* coefficients, int64_t modes_count,
                                                      int64_t mode, int64_t faces, bool first, T* output) {
  for (int64_t i = 0; i < kBlockRow; i += Vec<T>::lanes) {
    Vec<T> sums[Modes];
#pragma GCC unroll 8
    for (int k = 0; k < Modes; ++k) sums[k] = first ? broadcast(T(0)) : load(output + k * kBlockRow + i);
    for (int64_t f = 0; f < faces; ++f) {
      const Vec<T> q = load(turned + f * kBlockRow + i);
#pragma GCC unroll 8
      for (int k = 0; k < Modes; ++k) sums[k] = fma(broadcast(coefficients[f * modes_count + mode + k]), q, sums[k]);
    }
#pragma GCC unroll 8
    for (int k = 0; k < Modes; ++k) store(output + k * kBlockRow + i, sums[k]);
  }
}

// Gradients of the packed mean and modes: every block is one task's own, faces are added in order.
template <class T>
void vertices_backward_basis(const BasisBackwardParams<T>& params, int64_t begin, int64_t end) {
  constexpr int64_t group = 64;
  constexpr int tile = 8;
  const int64_t modes_count = params.modes_count;
  alignas(64) T turned[group * kBlockRow];
  for (int64_t block = begin; block < end; ++block) {
    T* grad_mean = params.grad_mean ? params.grad_mean + block * kBlockRow : nullptr;
    T* grad_modes = params.grad_modes ? params.grad_modes + block * modes_count * kBlockRow : nullptr;
    int64_t face = 0;
    do {  // once at least: a batch of no faces still writes its zeros
      const int64_t faces = params.batch - face < group ? params.batch - face : group;
      for (int64_t f = 0; f < faces; ++f) {
        for (int lane = 0; lane < kBlock; lane += Vec<T>::lanes) {
          Vec<T> g[3];
          load_grad(params.grad, face + f, block * kBlock + lane, params.vertices, g);
          for (int c = 0; c < 3; ++c) {
            store(turned + f * kBlockRow + c * kBlock + lane, turn_back(params.pose + 12 * (face + f), c, g));
          }
        }
      }
      const bool first = face == 0;
      if (grad_mean) {
        for (int64_t i = 0; i < kBlockRow; i += Vec<T>::lanes) {
          Vec<T> total = first ? broadcast(T(0)) : load(grad_mean + i);
          for (int64_t f = 0; f < faces; ++f) total = add(total, load(turned + f * kBlockRow + i));
          store(grad_mean + i, total);
        }
      }
      if (grad_modes) {
        const T* c = params.coefficients + face * modes_count;
        int64_t k = 0;
        for (; k + tile <= modes_count; k += tile) {
          modes_tile<tile>(turned, c, modes_count, k, faces, first, grad_modes + k * kBlockRow);
        }
        for (; k < modes_count; ++k) modes_tile<1>(turned, c, modes_count, k, faces, first, grad_modes + k * kBlockRow);
      }
      face += faces;
    } while (face < params.batch);
  }
}

}  // namespace twodasl::cpu::TWODASL_LEVEL
