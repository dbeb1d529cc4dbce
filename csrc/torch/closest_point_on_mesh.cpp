// closest_point_on_mesh: checks, allocation, parameters, and the launch on the device that this is compiled for.
#include <tuple>

#include "../common/mesh_params.h"
#include "device.h"
#include "tree.h"

#if defined(TWODASL_FOR_CUDA)
#include "closest_cuda.h"
#else
#include "closest_cpu.h"
#endif

namespace twodasl::ops {

namespace {

// (B, M, 3), (B, N, 3) and (F, 3) of one number type, on one device.
void check_mesh(const Tensor& points, const Tensor& vertices, const Tensor& triangles) {
  check_shape(points, "points", {-1, -1, 3});
  check_shape(vertices, "vertices", {points.size(0), -1, 3});
  check_shape(triangles, "triangles", {-1, 3});
  check_type(vertices, "vertices", points.scalar_type());
  check_type(triangles, "triangles", ScalarType::Long);
  check_same_device(vertices, "vertices", points);
  check_same_device(triangles, "triangles", points);
  check_count(points.size(1), "points");
  check_count(triangles.size(0), "triangles");
}

std::tuple<Tensor, Tensor, Tensor> closest_point_on_mesh(const Tensor& points_in, const Tensor& vertices_in,
                                                         const Tensor& triangles_in) {
  check_mesh(points_in, vertices_in, triangles_in);
  const OnDevice device(points_in);
  const Tensor points = dense(points_in), vertices = dense(vertices_in), triangles = dense(triangles_in);
  check_triangle_values(triangles, vertices.size(1));
  const int64_t batch = points.size(0), count = points.size(1);
  Tensor distance = empty_result({batch, count}, points);
  Tensor triangle = empty_result_of({batch, count}, ScalarType::Long, points);
  Tensor barycentrics = empty_result({batch, count, 3}, points);
  with_number(points, "points", [&](auto number) {
    using T = decltype(number);
    ClosestPointParams<T> params{in<T>(points),     in<T>(vertices),     in<int64_t>(triangles), {},
                                 nullptr,           nullptr,             out<T>(distance),       out<int64_t>(triangle),
                                 out<T>(barycentrics), batch,            count,                  vertices.size(1),
                                 triangles.size(0)};
    search(params, points, device);
  });
  return {distance, triangle, barycentrics};
}

std::tuple<Tensor, Tensor> closest_point_on_mesh_backward(const Tensor& grad_in, const Tensor& points_in,
                                                          const Tensor& vertices_in, const Tensor& triangles_in,
                                                          const Tensor& triangle_in, const Tensor& barycentrics_in,
                                                          bool need_points, bool need_vertices) {
  check_mesh(points_in, vertices_in, triangles_in);
  const int64_t batch = points_in.size(0), count = points_in.size(1), capacity = vertices_in.size(1);
  check_shape(grad_in, "grad", {batch, count});
  check_shape(triangle_in, "triangle", {batch, count});
  check_shape(barycentrics_in, "barycentrics", {batch, count, 3});
  check_type(grad_in, "grad", points_in.scalar_type());
  check_type(triangle_in, "triangle", ScalarType::Long);
  check_type(barycentrics_in, "barycentrics", points_in.scalar_type());
  check_same_device(grad_in, "grad", points_in);
  check_same_device(triangle_in, "triangle", points_in);
  check_same_device(barycentrics_in, "barycentrics", points_in);
  const OnDevice device(points_in);
  const Tensor grad = dense(grad_in), points = dense(points_in), vertices = dense(vertices_in);
  const Tensor triangles = dense(triangles_in), triangle = dense(triangle_in), barycentrics = dense(barycentrics_in);
  Tensor grad_points = empty_result({need_points ? batch : 0, count, 3}, points);
  Tensor grad_vertices = empty_result({need_vertices ? batch : 0, capacity, 3}, points);
  with_number(points, "points", [&](auto number) {
    using T = decltype(number);
    ClosestPointBackwardParams<T> params{in<T>(grad),
                                         in<T>(points),
                                         in<T>(vertices),
                                         in<int64_t>(triangles),
                                         in<int64_t>(triangle),
                                         in<T>(barycentrics),
                                         need_points ? out<T>(grad_points) : nullptr,
                                         need_vertices ? out<T>(grad_vertices) : nullptr,
                                         nullptr,
                                         batch,
                                         count,
                                         capacity,
                                         triangles.size(0)};
    differentiate(params, triangles, device);
  });
  return {grad_points, grad_vertices};
}

}  // namespace

TWODASL_OPERATORS(m) {
  impl_differentiable(m, "closest_point_on_mesh", TORCH_BOX(&closest_point_on_mesh));
  m.impl("closest_point_on_mesh_backward", TORCH_BOX(&closest_point_on_mesh_backward));
}

}  // namespace twodasl::ops
