// rasterize on the CPU: checks, allocation, parameters, launch.
#include "../cpu/kernels/rasterize.h"

#include "tasks.h"

namespace twodasl::ops {

namespace {

template <class T>
void launch(const RasterizeParams<T>& params, const Tensor& nearest) {
  // With fewer images than threads each image is cut into bands of rows. A pixel's value does not depend on it.
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

std::tuple<Tensor, Tensor, Tensor> rasterize(const Tensor& vertices_in, const Tensor& triangles_in, int64_t height,
                                             int64_t width) {
  check_shape(vertices_in, "vertices", {-1, -1, 3});
  check_shape(triangles_in, "triangles", {-1, 3});
  check_type(triangles_in, "triangles", ScalarType::Long);
  STD_TORCH_CHECK(height >= 0 && width >= 0, "twodasl: size is negative");
  const Tensor vertices = dense(vertices_in), triangles = dense(triangles_in);
  const int64_t batch = vertices.size(0), count = vertices.size(1), triangles_count = triangles.size(0);
  const int64_t* corner = in<int64_t>(triangles);
  STD_TORCH_CHECK(cpu::indices_inside(corner, 3 * triangles_count, count),
                  "twodasl: triangles refer to vertices that do not exist");
  Tensor index = empty_of({batch, height, width}, ScalarType::Long, vertices);
  Tensor barycentrics = empty_like_type({batch, height, width, 3}, vertices);
  Tensor depth = empty_like_type({batch, height, width}, vertices);
  if (batch * height * width == 0) return {index, barycentrics, depth};
  const Tensor nearest = empty_of({batch, height, width}, ScalarType::Double, vertices);
  const auto run = [&](auto number) {
    using T = decltype(number);
    STD_TORCH_CHECK(cpu::all_finite(in<T>(vertices), 3 * batch * count), "twodasl: vertices are not finite");
    launch(RasterizeParams<T>{in<T>(vertices), corner, out<int64_t>(index), out<T>(barycentrics), out<T>(depth), batch,
                              count, triangles_count, height, width},
           nearest);
  };
  if (vertices.scalar_type() == ScalarType::Float) {
    run(float{});
  } else {
    check_type(vertices, "vertices", ScalarType::Double);
    run(double{});
  }
  return {index, barycentrics, depth};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(twodasl, CPU, m) { m.impl("rasterize", TORCH_BOX(&rasterize)); }

}  // namespace twodasl::ops
