// rasterize: checks, allocation, parameters, and the launch on the device that this is compiled for.
#include "device.h"

#if defined(TWODASL_FOR_CUDA)
#include <limits>

#include "../cuda/rasterize.h"
#else
#include "../cpu/kernels/rasterize.h"
#include "tasks.h"
#endif

namespace twodasl::ops {

namespace {

#if defined(TWODASL_FOR_CUDA)

// Checking values would make the host wait: see cuda/rasterize.h.
void check_values(const Tensor&, const Tensor& triangles, int64_t height, int64_t width) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  STD_TORCH_CHECK(height <= kMost && width <= kMost && triangles.size(0) <= kMost,
                  "twodasl: rasterize on CUDA takes at most 2^31 - 1 rows, columns and triangles");
}

template <class T>
void launch(const RasterizeParams<T>& params, const Tensor& like, const OnDevice& device) {
  const int64_t numbers = cuda::rasterize_scratch(params.batch, params.height, params.width);
  const Tensor scratch = empty_of({numbers}, ScalarType::Long, like);
  check_launch(cuda::launch_rasterize(params, out<int64_t>(scratch), device.stream()));
}

#else

void check_values(const Tensor& vertices, const Tensor& triangles, int64_t, int64_t) {
  STD_TORCH_CHECK(cpu::indices_inside(in<int64_t>(triangles), triangles.numel(), vertices.size(1)),
                  "twodasl: triangles refer to vertices that do not exist");
  with_number(vertices, "vertices", [&](auto number) {
    STD_TORCH_CHECK(cpu::all_finite(in<decltype(number)>(vertices), vertices.numel()),
                    "twodasl: vertices are not finite");
  });
}

template <class T>
void launch(const RasterizeParams<T>& params, const Tensor& like, const OnDevice&) {
  if (params.batch * params.height * params.width == 0) return;
  const Tensor nearest = empty_of({params.batch, params.height, params.width}, ScalarType::Double, like);
  // With fewer images than threads, each image is split into bands of rows, which does not change the result.
  const int64_t threads = torch::stable::get_num_threads();
  int64_t bands = params.batch >= threads ? 1 : (threads + params.batch - 1) / params.batch;
  if (bands > params.height) bands = params.height;
  const int64_t rows = (params.height + bands - 1) / bands;
  double* scratch = out<double>(nearest);
  Interruption interruption;
  each(params.batch * bands, [&](int64_t task) {
    const int64_t image = task / bands, first = (task % bands) * rows;
    const int64_t last = std::min(params.height, first + rows);
    if (first >= last) return;
    double* const depths = scratch + (image * params.height + first) * params.width;
    cpu::rasterize_begin(params, image, first, last, depths);
    for (int64_t n = 0; n < params.triangles_count;) {
      if (interruption.asked()) return;
      n = cpu::rasterize_triangles(params, image, first, last, n, depths);
    }
    cpu::rasterize_end<T>(params, image, first, last, depths);
  });
  interruption.check();
}

#endif

std::tuple<Tensor, Tensor, Tensor> rasterize(const Tensor& vertices_in, const Tensor& triangles_in, int64_t height,
                                             int64_t width) {
  check_shape(vertices_in, "vertices", {-1, -1, 3});
  check_shape(triangles_in, "triangles", {-1, 3});
  check_type(triangles_in, "triangles", ScalarType::Long);
  check_same_device(triangles_in, "triangles", vertices_in);
  STD_TORCH_CHECK(height >= 0 && width >= 0, "twodasl: size is negative");
  const OnDevice device(vertices_in);
  const Tensor vertices = dense(vertices_in), triangles = dense(triangles_in);
  check_values(vertices, triangles, height, width);
  const int64_t batch = vertices.size(0);
  Tensor index = empty_of({batch, height, width}, ScalarType::Long, vertices);
  Tensor barycentrics = empty_like_type({batch, height, width, 3}, vertices);
  Tensor depth = empty_like_type({batch, height, width}, vertices);
  with_number(vertices, "vertices", [&](auto number) {
    using T = decltype(number);
    const RasterizeParams<T> params{in<T>(vertices),      in<int64_t>(triangles), out<int64_t>(index),
                                    out<T>(barycentrics), out<T>(depth),          batch,
                                    vertices.size(1),     triangles.size(0),      height,
                                    width};
    launch(params, vertices, device);
  });
  return {index, barycentrics, depth};
}

}  // namespace

TWODASL_OPERATORS(m) { m.impl("rasterize", TORCH_BOX(&rasterize)); }

}  // namespace twodasl::ops
