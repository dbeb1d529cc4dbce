// Linear algebra of a block on a small matrix of `width` numbers a row: products, a Cholesky factorization by rows with the
// right side as one column more, and solutions. All threads of the block call; a call ends with a barrier.
#pragma once

#include "reduce.h"

namespace twodasl::cuda {

inline constexpr int kFitThreads = 128;
inline constexpr int kFitWarps = kFitThreads / kWarp;

__device__ __forceinline__ float fit_root(float x) { return sqrtf(x); }
__device__ __forceinline__ double fit_root(double x) { return sqrt(x); }

// A sum over the block's threads, in a fixed order; `shared` has a number a warp.
template <class N>
__device__ __forceinline__ N sum_block(N value, N* shared) {
  __syncthreads();
  return combine_block<kFitThreads>(value, shared, [](N a, N b) { return a + b; });
}

// output[i, j] += sum_r left[r, i] right[r, j] for j >= i, over `count` rows; a thread keeps squares of four.
template <class P>
__device__ __forceinline__ void add_products(const P* left, const P* right, int count, int unknowns, int width, P* output) {
  constexpr int kTile = 4;
  const int across = width / kTile, down = (unknowns + kTile - 1) / kTile;
  for (int tile = int(threadIdx.x); tile < across * down; tile += kFitThreads) {
    const int i = tile / across * kTile, j = tile % across * kTile;
    if (j < i || j > unknowns) continue;
    P sums[kTile][kTile] = {};
    for (int r = 0; r < count; ++r) {
#pragma unroll
      for (int a = 0; a < kTile; ++a) {
#pragma unroll
        for (int b = 0; b < kTile; ++b) sums[a][b] += left[r * width + i + a] * right[r * width + j + b];
      }
    }
    for (int a = 0; a < kTile && i + a < unknowns; ++a) {
#pragma unroll
      for (int b = 0; b < kTile; ++b) output[(i + a) * width + j + b] += sums[a][b];
    }
  }
  __syncthreads();
}

// Factors rows [first, last), `u` at the first of them, in the columns up to the right side. False, for every thread,
// where a pivot is not positive.
template <class P>
__device__ __forceinline__ bool factor_rows(P* u, int first, int last, int right, int width, P* inverse) {
  const int thread = int(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp;
  for (int k = first; k < last; ++k) {
    P* const row = u + (k - first) * width;
    const P pivot = row[k];
    __syncthreads();
    if (!(pivot > P(0))) return false;
    const P scale = P(1) / fit_root(pivot);
    for (int j = k + thread; j <= right; j += kFitThreads) row[j] *= scale;
    if (thread == 0) inverse[k] = scale;
    __syncthreads();
    for (int i = k + 1 + warp; i < last; i += kFitWarps) {
      const P by = row[i];
      for (int j = i + lane; j <= right; j += kWarp) u[(i - first) * width + j] -= by * row[j];
    }
    __syncthreads();
  }
  return true;
}

// What eliminating the `local` rows takes from the rows [local, unknowns), `output` at the first of them.
template <class P>
__device__ __forceinline__ void subtract_eliminated(const P* u, int local, int unknowns, int width, P* output) {
  const int thread = int(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp;
  for (int i = local + warp; i < unknowns; i += kFitWarps) {
    for (int j = i + lane; j <= unknowns; j += kWarp) {
      P sum = P(0);
      for (int r = 0; r < local; ++r) sum += u[r * width + i] * u[r * width + j];
      output[(i - local) * width + j] -= sum;
    }
  }
  __syncthreads();
}

// U x = y for rows [first, last) by one warp; x of later columns is known.
template <class P>
__device__ __forceinline__ void solve_rows(const P* u, int first, int last, int right, int width, const P* inverse, P* x) {
  if (threadIdx.x < kWarp) {
    const int lane = int(threadIdx.x);
    for (int i = last; i-- > first;) {
      const P* const row = u + (i - first) * width;
      P sum = P(0);
      for (int j = i + 1 + lane; j < right; j += kWarp) sum += row[j] * x[j];
      sum = sum_lanes<kWarp>(sum);
      if (lane == 0) x[i] = (row[right] - sum) * inverse[i];
      __syncwarp();
    }
  }
  __syncthreads();
}

// The diagonal of (U^T U)^-1: a thread takes columns of U^-T, which has room in `scratch` (unknowns, width). Rows from
// `local` on are at `shared`.
template <class P>
__device__ __forceinline__ void inverse_diagonal(const P* u, const P* shared, int local, int unknowns, int width,
                                                 const P* inverse, const P* shared_inverse, P* scratch, P* diagonal) {
  for (int c = int(threadIdx.x); c < unknowns; c += kFitThreads) {
    P total = P(0);
    for (int k = c; k < unknowns; ++k) {
      P sum = k == c ? P(1) : P(0);
      for (int r = c; r < k; ++r) {
        const P* const row = r < local ? u + r * width : shared + (r - local) * width;
        sum -= row[k] * scratch[r * width + c];
      }
      sum *= k < local ? inverse[k] : shared_inverse[k];
      scratch[k * width + c] = sum;
      total += sum * sum;
    }
    diagonal[c] = total;
  }
  __syncthreads();
}

}  // namespace twodasl::cuda
