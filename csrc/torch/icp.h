// What the operators of iterative_closest_point check and allocate, on either device.
#pragma once

#include <optional>

#include "../common/icp_params.h"
#include "device.h"

namespace twodasl::ops {

inline Tensor empty_doubles(std::initializer_list<int64_t> sizes, const Tensor& like) {
  return empty_of(sizes, ScalarType::Double, like);
}

// (B) of the points' batch and device.
inline void check_count_shape(const Tensor& counts, const Tensor& points) {
  check_shape(counts, "counts", {points.size(0)});
  check_type(counts, "counts", ScalarType::Long);
  check_same_device(counts, "counts", points);
}

// (B, numbers) in float64: poses and frames.
inline void check_doubles(const Tensor& tensor, const char* name, int64_t numbers, const Tensor& points) {
  check_shape(tensor, name, {points.size(0), numbers});
  check_type(tensor, name, ScalarType::Double);
  check_same_device(tensor, name, points);
}

// (B, P, 3) of the source's batch, type and device.
inline void check_cloud(const Tensor& cloud, const char* name, int64_t points, const Tensor& source) {
  check_shape(cloud, name, {source.size(0), points, 3});
  check_type(cloud, name, source.scalar_type());
  check_same_device(cloud, name, source);
}

// The two clouds, the target's normals where there are some, and the fraction to trim.
inline void check_clouds(const Tensor& source, const Tensor& target, const std::optional<Tensor>& normals,
                         double trim) {
  check_shape(source, "source", {-1, -1, 3});
  check_shape(target, "target", {-1, -1, 3});
  check_cloud(target, "target", target.size(1), source);
  if (normals) check_cloud(*normals, "normals", target.size(1), source);
  STD_TORCH_CHECK(trim >= 0.0 && trim < 1.0, "twodasl: trim is not in [0, 1)");
}

}  // namespace twodasl::ops
