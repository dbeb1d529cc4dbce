// The block-arrow system of a group: a block eliminates what a face has to itself; another adds up the Schur complements of
// the group's faces and solves for what they share.
#pragma once

#include "fit_face.h"

namespace twodasl::cuda {

template <class P>
__device__ __forceinline__ double fit_epsilon() {
  return static_cast<double>(std::numeric_limits<P>::epsilon());
}
// What rounding may take from a diagonal of 1.
template <class P>
__device__ __forceinline__ double fit_little() { return 64.0 * fit_epsilon<P>(); }

// From a face's normal equations in `matrix` to the factor of its local unknowns and its part of what the group shares,
// which go to global memory where there is a group.
template <class P>
__device__ __forceinline__ void eliminate_face(const FitStore<P>& store, int64_t face, double damping, P* matrix) {
  const FitLayout& layout = store.layout;
  const int64_t width = layout.width(), local = layout.local(), unknowns = layout.unknowns();
  P *diagonal = store.diagonal + face * width, *inverse = store.inverse + face * width;
  for (int64_t i = threadIdx.x; i < unknowns; i += kFitThreads) {
    const P at = matrix[i * width + i];
    diagonal[i] = at;
    if (i < local) matrix[i * width + i] = at == P(0) ? P(1) : static_cast<P>(1.0 + damping) * at;
  }
  __syncthreads();
  const bool good = factor_rows<P>(matrix, 0, static_cast<int>(local), static_cast<int>(layout.right()),
                                   static_cast<int>(width), inverse);
  if (threadIdx.x == 0) store.good[face] = good;
  if (good && layout.shared > 0) {
    subtract_eliminated<P>(matrix, static_cast<int>(local), static_cast<int>(unknowns), static_cast<int>(width),
                           matrix + local * width);
    P* const kept = store.matrix + face * unknowns * width;
    for (int64_t i = threadIdx.x; kept != matrix && i < unknowns * width; i += kFitThreads) kept[i] = matrix[i];
  }
  __syncthreads();
}

// The system of what a group shares: its factor, whether every factor succeeded, and the step of what is shared, which
// stays in the first face's.
template <class T, class P>
__device__ __forceinline__ void solve_shared(const FitProblem<T>& problem, const FitStore<P>& store, int64_t group,
                                             double damping) {
  const FitLayout& layout = store.layout;
  const int64_t width = layout.width(), local = layout.local(), unknowns = layout.unknowns();
  const int64_t begin = problem.first_face(group), end = problem.last_face(group), size = unknowns * width;
  P* const shared = store.shared + group * layout.shared * width;
  P *diagonal = store.shared_diagonal + group * width, *inverse = store.shared_inverse + group * width;
  bool good = true;
  for (int64_t f = begin; f < end; ++f) good = good && store.good[f] != 0;
  for (int64_t at = threadIdx.x; at < layout.shared * width; at += kFitThreads) {
    P sum = P(0);
    for (int64_t f = begin; good && f < end; ++f) sum += store.matrix[f * size + local * width + at];
    shared[at] = sum;
  }
  for (int64_t i = local + threadIdx.x; i < unknowns; i += kFitThreads) {
    P sum = P(0);
    for (int64_t f = begin; f < end; ++f) sum += store.diagonal[f * width + i];
    diagonal[i] = sum;
  }
  __syncthreads();
  for (int64_t i = local + threadIdx.x; i < unknowns; i += kFitThreads) {
    P& pivot = shared[(i - local) * width + i];
    pivot = diagonal[i] == P(0) ? P(1) : pivot + static_cast<P>(damping) * diagonal[i];
  }
  __syncthreads();
  good = good && factor_rows<P>(shared, static_cast<int>(local), static_cast<int>(unknowns),
                                static_cast<int>(layout.right()), static_cast<int>(width), inverse);
  P* const step = store.step + begin * width;
  if (good) {
    solve_rows<P>(shared, static_cast<int>(local), static_cast<int>(unknowns), static_cast<int>(layout.right()),
                  static_cast<int>(width), inverse, step);
  }
  if (threadIdx.x == 0) {
    double gain = 0.0, length = 0.0;
    for (int64_t i = local; good && i < unknowns; ++i) {
      const double y = static_cast<double>(shared[(i - local) * width + layout.right()]);
      const double d = static_cast<double>(step[i]);
      gain += y * y;
      if (diagonal[i] > P(0)) length += d * d * static_cast<double>(diagonal[i]);
    }
    store.shared_gains[2 * group] = gain;
    store.shared_gains[2 * group + 1] = length;
    store.solved[group] = good;
  }
  __syncthreads();
}

// The step of a face's local unknowns, beside the shared one of its group's `first` face. A step that is not finite is none.
template <class P>
__device__ __forceinline__ void solve_face(const FitStore<P>& store, int64_t face, int64_t first, const P* matrix,
                                           double* sums) {
  const FitLayout& layout = store.layout;
  const int64_t width = layout.width(), local = layout.local();
  P *step = store.step + face * width, *inverse = store.inverse + face * width;
  for (int64_t j = local + threadIdx.x; face != first && j < layout.unknowns(); j += kFitThreads) {
    step[j] = store.step[first * width + j];
  }
  __syncthreads();
  solve_rows<P>(matrix, 0, static_cast<int>(local), static_cast<int>(layout.right()), static_cast<int>(width), inverse,
                step);
  double gain = 0.0, length = 0.0, bad = 0.0;
  for (int64_t i = threadIdx.x; i < layout.unknowns(); i += kFitThreads) {
    const double d = static_cast<double>(step[i]);
    bad += fit_finite(d) ? 0.0 : 1.0;
    if (i >= local) continue;
    const double y = static_cast<double>(matrix[i * width + layout.right()]);
    const P diagonal = store.diagonal[face * width + i];
    gain += y * y;
    if (diagonal > P(0)) length += d * d * static_cast<double>(diagonal);
  }
  gain = sum_block(gain, sums);
  length = sum_block(length, sums);
  bad = sum_block(bad, sums);
  if (threadIdx.x == 0) {
    store.gains[2 * face] = gain;
    store.gains[2 * face + 1] = length;
    if (bad > 0.0) store.good[face] = 0;
  }
  __syncthreads();
}

}  // namespace twodasl::cuda
