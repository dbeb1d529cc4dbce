// The parameters of linear blend skinning, v'[b, n] = sum_j w[n, j] (R[b, j] v[b, n] + t[b, j]).
#pragma once

#include "params.h"

namespace twodasl {

template <class T>
struct SkinParams {
  const T* vertices;    // (B, N, 3)
  const T* weights;     // (N, J), shared by the batch
  const T* transforms;  // (B, J, 3, 4): R | t
  T* output;            // (B, N, 3)
  int64_t batch;
  int64_t count;   // N
  int64_t joints;  // J
};

// Gradients of the vertices and of the transforms. The latter is a sum over the vertices, which is split into parts that
// depend on N alone; part p writes its sums to partial[p], and another pass adds the parts in order.
template <class T>
struct SkinBackwardParams {
  GradView<T> grad;     // (B, N, 3)
  const T* vertices;    // (B, N, 3), or null: the gradient of the transforms is not needed
  const T* weights;     // (N, J)
  const T* transforms;  // (B, J, 3, 4), or null: that of the vertices is not needed
  T* grad_vertices;     // (B, N, 3), or null with `transforms`
  T* grad_transforms;   // (B, J, 3, 4), or null with `vertices`
  T* partial;           // (parts, B, J, 12)
  unsigned char* used;  // (parts, J), of the CPU kernels: whether a joint has any weight in a part; partial is unset if not
  int64_t batch;
  int64_t count;
  int64_t joints;
};

// The gradient of the weights, for every joint: also those whose weight is zero.
template <class T>
struct SkinWeightsParams {
  GradView<T> grad;     // (B, N, 3)
  const T* vertices;    // (B, N, 3)
  const T* transforms;  // (B, J, 3, 4)
  T* grad_weights;      // (N, J)
  int64_t batch;
  int64_t count;
  int64_t joints;
};

}  // namespace twodasl
