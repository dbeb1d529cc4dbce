// rasterize on a GPU: the rules are those of cpu/kernels/rasterize.h, to the bit. Values are not checked before the
// launch: an image with a vertex that is not finite gets index -1 and NaN everywhere, as do all images where a triangle
// refers to a vertex that does not exist.
#pragma once

#include "../common/params.h"

namespace twodasl::cuda {

// 64-bit numbers of scratch: one a pixel, one an image, one for all.
inline int64_t rasterize_scratch(int64_t batch, int64_t height, int64_t width) {
  return batch * height * width + batch + 1;
}

// Height and width are below 2^31, the number of triangles below 2^32.
template <class T>
const char* launch_rasterize(const RasterizeParams<T>& params, int64_t* scratch, void* stream);

}  // namespace twodasl::cuda
