// The CPU's side of closest_point_on_mesh.cpp. Values are checked here: a kernel trusts them.
#pragma once

#include "../cpu/kernels/rasterize.h"
#include "../cpu/neighbors/closest.h"
#include "../common/closest.h"
#include "neighbors.h"

namespace twodasl::ops {

inline void check_triangle_values(const Tensor& triangles, int64_t vertices) {
  STD_TORCH_CHECK(cpu::indices_inside(in<int64_t>(triangles), triangles.numel(), vertices),
                  "twodasl: triangles refer to vertices that do not exist");
}

// Memory of one element's tree.
template <class T>
struct MeshTree {
  T* leaves;
  int32_t* ids;
  T* boxes;
  int32_t* lowest;
};

// False when a coordinate is not finite. The tree is a tight one: a triangle takes longer to measure than a point.
template <class T>
bool grow_mesh_tree(const T* vertices, const int64_t* triangles, int64_t count, const MeshTree<T>& tree, double& scale) {
  constexpr int64_t kStep = 4 * cpu::kTightRun / kBlock;  // leaves
  Scratch centers_bytes(static_cast<size_t>(3 * count) * sizeof(T));
  T* const centers = reinterpret_cast<T*>(centers_bytes.keys());
  const int64_t parts = chunks(count, kChunk), leaves = tree_leaves(count);
  std::vector<cpu::TriangleSpan<T>> spans(static_cast<size_t>(parts));
  each(parts, [&](int64_t part) {
    spans[static_cast<size_t>(part)] =
        cpu::triangle_centers(vertices, triangles, centers, part * kChunk, std::min(count, (part + 1) * kChunk));
  });
  cpu::TriangleSpan<T> all = spans[0];
  for (const cpu::TriangleSpan<T>& span : spans) {
    all.finite = all.finite && span.finite;
    all.greatest = std::max(all.greatest, span.greatest);
    for (int c = 0; c < 3; ++c) {
      all.box[c] = std::min(all.box[c], span.box[c]);
      all.box[3 + c] = std::max(all.box[3 + c], span.box[3 + c]);
    }
  }
  if (!all.finite) return false;
  scale = mesh_scale<T>(static_cast<double>(all.greatest));
  Scratch scratch(static_cast<size_t>(2 * count) * sizeof(uint64_t));
  uint64_t* const keys = sorted(centers, count, all.box, scratch.keys());
  each(chunks(leaves, kStep), [&](int64_t part) {
    const int64_t begin = part * kStep, end = std::min(leaves, begin + kStep);
    cpu::tighten_keys(centers, keys, begin * kBlock, std::min(count, end * kBlock));
    cpu::fill_triangle_leaves(vertices, triangles, scale, keys, count, tree.leaves, tree.ids, tree.boxes, tree.lowest,
                              begin, end);
  });
  cpu::fill_levels(tree.boxes, tree.lowest, count);
  return true;
}

template <class T>
void search(ClosestPointParams<T>& params, const Tensor&, const OnDevice&) {
  constexpr int64_t kTasksWorthAThread = 4;
  const int64_t batch = params.batch, points = params.points_count, count = params.triangles_count;
  if (batch == 0 || points == 0) return;
  STD_TORCH_CHECK(count > 0, "twodasl: triangles: expected at least one for the points, got none");
  const size_t leaves = static_cast<size_t>(tree_leaves(count)), nodes = static_cast<size_t>(tree_nodes(count));
  const size_t all = static_cast<size_t>(batch);
  Scratch leaf_bytes(all * leaves * kTriangleRow * sizeof(T)), id_bytes(all * leaves * kBlock * sizeof(int32_t));
  Scratch box_bytes(all * nodes * 6 * kBlock * sizeof(T)), lowest_bytes(all * nodes * kBlock * sizeof(int32_t));
  const MeshTree<T> trees{reinterpret_cast<T*>(leaf_bytes.keys()), reinterpret_cast<int32_t*>(id_bytes.keys()),
                          reinterpret_cast<T*>(box_bytes.keys()), reinterpret_cast<int32_t*>(lowest_bytes.keys())};
  std::vector<double> scales(all, 1.0);
  const bool sort = points > kBlock;
  Scratch order_bytes(sort ? static_cast<size_t>(batch * points) * sizeof(int32_t) : 0);
  int32_t* const order = reinterpret_cast<int32_t*>(order_bytes.keys());
  FirstWrong wrong_mesh(batch), wrong_points(batch);
  each(batch, [&](int64_t element) {
    const size_t e = static_cast<size_t>(element);
    const MeshTree<T> tree{trees.leaves + e * leaves * kTriangleRow, trees.ids + e * leaves * kBlock,
                           trees.boxes + e * nodes * 6 * kBlock, trees.lowest + e * nodes * kBlock};
    const T* vertices = params.vertices + 3 * element * params.vertices_count;
    if (!grow_mesh_tree(vertices, params.triangles, count, tree, scales[e])) return wrong_mesh.add(element);
    const T* p = params.points + 3 * element * points;
    T box[6];
    if (!bounds(p, points, box)) return wrong_points.add(element);
    if (!sort) return;
    Scratch scratch(static_cast<size_t>(2 * points) * sizeof(uint64_t));
    const uint64_t* const keys = sorted(p, points, box, scratch.keys());
    for (int64_t i = 0; i < points; ++i) order[element * points + i] = static_cast<int32_t>(keys[i]);
  });
  STD_TORCH_CHECK(wrong_mesh.none(), "twodasl: vertices: expected finite numbers, got others in element ",
                  wrong_mesh.get());
  STD_TORCH_CHECK(wrong_points.none(), "twodasl: points: expected finite numbers, got others in element ",
                  wrong_points.get());
  params.tree = {trees.leaves, trees.ids, trees.boxes, trees.lowest};
  params.scale = scales.data();
  params.order = sort ? order : nullptr;
  // Shorter than those of nearest_neighbors: where all triangles are as near, a point measures each of them, and a call
  // can be interrupted only between tasks.
  constexpr int64_t kTask = cpu::kQueryTask / 4;
  const int64_t tasks = chunks(points, kTask);
  const auto part = [&](int64_t task) {
    const int64_t begin = task % tasks * kTask;
    neighbors_of(T{}).closest(params, task / tasks, begin, std::min(points, begin + kTask));
  };
  each(batch * tasks, part, kTasksWorthAThread);
}

template <class T>
void differentiate(ClosestPointBackwardParams<T>& params, const Tensor& triangles, const OnDevice&) {
  const int64_t batch = params.batch, points = params.points_count, capacity = params.vertices_count;
  check_triangle_values(triangles, capacity);
  for (int64_t i = 0; i < batch * points; ++i) {
    const int64_t n = params.triangle[i];
    STD_TORCH_CHECK(n >= -1 && n < params.triangles_count, "twodasl: triangle: expected indices in [-1, ",
                    params.triangles_count, "), got ", n);
  }
  const bool need_vertices = params.grad_vertices != nullptr;
  Scratch sums(need_vertices ? static_cast<size_t>(3 * batch * capacity) * sizeof(double) : 0);
  params.sums = reinterpret_cast<double*>(sums.keys());
  if (params.grad_points != nullptr) {
    const int64_t parts = chunks(points, kChunk);
    each(batch * parts, [&](int64_t task) {
      const int64_t begin = task % parts * kChunk;
      cpu::closest_backward_points(params, task / parts, begin, std::min(points, begin + kChunk));
    });
  }
  if (need_vertices && capacity > 0) {
    // Every part reads all points of its element: no more parts than threads.
    const int64_t threads = torch::stable::get_num_threads();
    const int64_t parts = std::min(batch >= threads ? 1 : chunks(threads, batch > 0 ? batch : 1), capacity);
    each(batch * parts, [&](int64_t task) {
      const int64_t part = task % parts;
      cpu::closest_backward_vertices(params, task / parts, capacity * part / parts, capacity * (part + 1) / parts);
    });
  }
}

}  // namespace twodasl::ops
