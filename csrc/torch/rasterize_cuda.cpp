// rasterize on a GPU: guard, checks, allocation, parameters, launch.
#include "../cuda/rasterize.h"
#include "basis.h"
#include "cuda.h"

#include <limits>

namespace twodasl::ops {

namespace {

std::tuple<Tensor, Tensor, Tensor> rasterize(const Tensor& vertices_in, const Tensor& triangles_in, int64_t height,
                                             int64_t width) {
  check_shape(vertices_in, "vertices", {-1, -1, 3});
  check_shape(triangles_in, "triangles", {-1, 3});
  check_type(triangles_in, "triangles", ScalarType::Long);
  check_same_device(triangles_in, "triangles", vertices_in);
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  STD_TORCH_CHECK(height >= 0 && width >= 0, "twodasl: size is negative");
  STD_TORCH_CHECK(height <= kMost && width <= kMost && triangles_in.size(0) <= kMost,
                  "twodasl: rasterize on CUDA takes at most 2^31 - 1 rows, columns and triangles");
  const OnDevice device(vertices_in);
  const Tensor vertices = dense(vertices_in), triangles = dense(triangles_in);
  const int64_t batch = vertices.size(0);
  // The triangles' type is that of the indices, and of the scratch numbers.
  Tensor index = empty_like_type({batch, height, width}, triangles);
  Tensor barycentrics = empty_like_type({batch, height, width, 3}, vertices);
  Tensor depth = empty_like_type({batch, height, width}, vertices);
  const Tensor scratch = empty_like_type({cuda::rasterize_scratch(batch, height, width)}, triangles);
  with_number(vertices, "vertices", [&](auto number) {
    using T = decltype(number);
    const RasterizeParams<T> params{in<T>(vertices),      in<int64_t>(triangles), out<int64_t>(index),
                                    out<T>(barycentrics), out<T>(depth),          batch,
                                    vertices.size(1),     triangles.size(0),      height,
                                    width};
    check_launch(cuda::launch_rasterize(params, out<int64_t>(scratch), device.stream()));
  });
  return {index, barycentrics, depth};
}

}  // namespace

TWODASL_CUDA_LIBRARY(m) { m.impl("rasterize", TORCH_BOX(&rasterize)); }

}  // namespace twodasl::ops
