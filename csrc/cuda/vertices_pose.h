// What both forward kernels of vertices do with a finished shape.
#pragma once

#include "pack.h"

namespace twodasl::cuda {

// Row m of M | t on a vertex of the shape. Both kernels call this after the same sum over the modes in the same order,
// so a face has the same bits whichever kernel and tile it fell to.
template <class T>
__device__ __forceinline__ T pose_row(const Pack4<T>& m, T x, T y, T z) {
  return fma(m.value[0], x, fma(m.value[1], y, fma(m.value[2], z, m.value[3])));
}

}  // namespace twodasl::cuda
