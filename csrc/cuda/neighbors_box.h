// What the kernels of nearest_neighbors share: lengths whose values are unchecked, and boxes made by atomics.
#pragma once

#include "grid.h"
#include "ordered.h"

namespace twodasl::cuda {

// Whether an element's length is valid.
__device__ __forceinline__ bool is_length(const int64_t* lengths, int64_t element, int64_t most) {
  return lengths == nullptr || (lengths[element] >= 0 && lengths[element] <= most);
}
// The length; 0 if it is not valid.
__device__ __forceinline__ int64_t length_of(const int64_t* lengths, int64_t element, int64_t all) {
  if (lengths == nullptr) return all;
  return is_length(lengths, element, all) ? lengths[element] : 0;
}

// A box is six ordered numbers: the complements of the least x, y, z, and the greatest. Zeros are those of no point.
template <class T>
__device__ __forceinline__ bool box_is_finite(const typename Ordered<T>::Bits* box) {
  using Bits = typename Ordered<T>::Bits;
  const Bits most = Ordered<T>::kSign | Ordered<T>::kInfinity;  // of infinity; a NaN of this sign is above it
  const Bits low = Ordered<T>::kSign - 1 - Ordered<T>::kInfinity;  // of minus infinity
  bool finite = true;
#pragma unroll
  for (int c = 0; c < 3; ++c) finite = finite && box[c] < static_cast<Bits>(~low) && box[3 + c] < most;
  return finite;
}

template <class T>
__device__ __forceinline__ void read_box(const typename Ordered<T>::Bits* box, T* bounds) {
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    bounds[c] = from_ordered<T>(~box[c]);
    bounds[3 + c] = from_ordered<T>(box[3 + c]);
  }
}

}  // namespace twodasl::cuda
