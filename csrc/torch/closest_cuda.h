// CUDA's side of closest_point_on_mesh.cpp. Values stay on the device: see cuda/closest.h for what wrong ones give.
#pragma once

#include "../cuda/closest.h"
#include "../cuda/neighbors.h"
#include "scratch.h"

namespace twodasl::ops {

inline void check_triangle_values(const Tensor&, int64_t) {}

template <class T>
void search(ClosestPointParams<T>& params, const Tensor& like, const OnDevice& device) {
  const int64_t batch = params.batch, points = params.points_count, count = params.triangles_count;
  if (batch == 0 || points == 0) return;
  STD_TORCH_CHECK(count > 0, "twodasl: triangles: expected at least one for the points, got none");
  const int64_t leaves = tree_leaves(count), nodes = tree_nodes(count);
  const Tensor leaf_corners = empty_like_type({batch, leaves, 9, kBlock}, like);
  const Tensor ids = empty_of({batch, leaves, kBlock}, ScalarType::Int, like);
  const Tensor boxes = empty_like_type({batch, nodes, 6, kBlock}, like);
  const Tensor lowest = empty_of({batch, nodes, kBlock}, ScalarType::Int, like);
  const Tensor scale = empty_of({batch}, ScalarType::Double, like);
  {
    const cuda::MeshTreeParams<T> tree{params.vertices,      params.triangles, out<T>(leaf_corners),
                                       out<int32_t>(ids),    out<T>(boxes),    out<int32_t>(lowest),
                                       out<double>(scale),   batch,            params.vertices_count,
                                       params.triangles_count};
    const Scratch scratch(cuda::mesh_tree_scratch<T>(batch, count), like);
    check_launch(cuda::launch_mesh_tree(tree, scratch.data(), device.stream()));
  }
  params.tree = {in<T>(leaf_corners), in<int32_t>(ids), in<T>(boxes), in<int32_t>(lowest)};
  params.scale = in<double>(scale);
  std::optional<Tensor> order;
  if (points > kBlock) {
    order = empty_of({batch, points}, ScalarType::Int, like);
    const cuda::QueryOrderParams<T> sort{params.points, nullptr, out<int32_t>(*order), batch, points};
    const Scratch scratch(cuda::query_order_scratch<T>(batch, points), like);
    check_launch(cuda::launch_query_order(sort, scratch.data(), device.stream()));
    params.order = in<int32_t>(*order);
  }
  check_launch(cuda::launch_closest(params, device.stream()));
}

template <class T>
void differentiate(const ClosestPointBackwardParams<T>& params, const Tensor& like, const OnDevice& device) {
  const bool need_vertices = params.grad_vertices != nullptr;
  STD_TORCH_CHECK(params.points_count <= kNoPoint / 3, "twodasl: points: expected fewer than 2^31 / 3, got ",
                  params.points_count);
  const Scratch scratch(
      cuda::closest_backward_scratch<T>(params.batch, params.points_count, params.vertices_count, need_vertices), like);
  check_launch(cuda::launch_closest_backward(params, scratch.data(), device.stream()));
}

}  // namespace twodasl::ops
