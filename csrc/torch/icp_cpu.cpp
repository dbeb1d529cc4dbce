// The steps of iterative_closest_point on the CPU: checks, allocation, parameters, launch.
#include "../common/rotation.h"
#include "../cpu/icp.h"
#include "stable.h"

#include <limits>
#include <optional>
#include <tuple>

namespace twodasl::ops {

namespace {

template <class Run>
void with_type(const Tensor& tensor, const char* name, const Run& run) {
  if (tensor.scalar_type() == ScalarType::Float) {
    run(float{});
  } else {
    check_type(tensor, name, ScalarType::Double);
    run(double{});
  }
}

Tensor empty_doubles(std::initializer_list<int64_t> sizes, const Tensor& like) {
  return torch::stable::empty(sizes, ScalarType::Double, std::nullopt, like.device());
}

void check_numbers(const Tensor& tensor, const char* name, int64_t batch, int64_t numbers) {
  check_shape(tensor, name, {batch, numbers});
  check_type(tensor, name, ScalarType::Double);
}

// Counts that would make a kernel read past the points.
void check_counts(const Tensor& counts, int64_t batch, int64_t points) {
  check_shape(counts, "counts", {batch});
  check_type(counts, "counts", ScalarType::Long);
  const int64_t* values = in<int64_t>(counts);
  for (int64_t i = 0; i < batch; ++i) {
    STD_TORCH_CHECK(values[i] >= 0 && values[i] <= points, "twodasl: counts are not within the points");
  }
}

// Parts of kIcpPart points that one thread takes at least.
constexpr int64_t kPartsPerThread = 4;

Tensor nearest_rotation(const Tensor& matrices_in) {
  check_shape(matrices_in, "matrices", {-1, 3, 3});
  const Tensor matrices = dense(matrices_in);
  const int64_t batch = matrices.size(0);
  Tensor rotations = empty_like_type({batch, 3, 3}, matrices);
  with_type(matrices, "matrices", [&](auto number) {
    using T = decltype(number);
    torch::stable::parallel_for(0, batch, grain(1000), [&](int64_t begin, int64_t end) {
      nearest_rotations(in<T>(matrices), out<T>(rotations), begin, end);
    });
  });
  return rotations;
}

Tensor icp_frame(const Tensor& points_in, const Tensor& counts_in) {
  check_shape(points_in, "points", {-1, -1, 3});
  const Tensor points = dense(points_in), counts = dense(counts_in);
  const int64_t batch = points.size(0), count = points.size(1), tasks = batch * icp_parts(count);
  check_counts(counts, batch, count);
  Tensor frame = empty_doubles({batch, kFrameNumbers}, points);
  const Tensor partial = empty_doubles({tasks, 3}, points);
  with_type(points, "points", [&](auto number) {
    using T = decltype(number);
    const IcpFrameParams<T> params{in<T>(points), in<int64_t>(counts), out<double>(partial), out<double>(frame), batch,
                                   count};
    for (int pass = 0; pass < 2; ++pass) {
      torch::stable::parallel_for(0, tasks, kPartsPerThread, [&](int64_t begin, int64_t end) {
        cpu::icp_frame(params, pass, begin, end);
      });
      cpu::icp_frame_finish(params, pass);
    }
  });
  return frame;
}

Tensor icp_move(const Tensor& points_in, const Tensor& pose_in) {
  check_shape(points_in, "points", {-1, -1, 3});
  const Tensor points = dense(points_in), pose = dense(pose_in);
  const int64_t batch = points.size(0), count = points.size(1);
  check_numbers(pose, "pose", batch, kPoseNumbers);
  Tensor output = empty_like_type({batch, count, 3}, points);
  with_type(points, "points", [&](auto number) {
    using T = decltype(number);
    const IcpMoveParams<T> params{in<T>(points), in<double>(pose), out<T>(output), batch, count};
    torch::stable::parallel_for(0, batch * count, kPartsPerThread * kIcpPart,
                                [&](int64_t begin, int64_t end) { cpu::icp_move(params, begin, end); });
  });
  return output;
}

std::tuple<Tensor, Tensor> icp_update(const Tensor& source_in, const Tensor& target_in,
                                      const std::optional<Tensor>& normals_in, const Tensor& indices_in,
                                      const Tensor& squared_in, const Tensor& counts_in, const Tensor& pose_in,
                                      const Tensor& source_frame_in, const Tensor& target_frame_in, double trim,
                                      double max_squared, bool scale, bool recentre) {
  check_shape(source_in, "source", {-1, -1, 3});
  const int64_t batch = source_in.size(0), source_count = source_in.size(1);
  check_shape(target_in, "target", {batch, -1, 3});
  const int64_t target_count = target_in.size(1);
  check_shape(indices_in, "indices", {batch, source_count});
  check_shape(squared_in, "squared", {batch, source_count});
  check_type(indices_in, "indices", ScalarType::Long);
  check_type(target_in, "target", source_in.scalar_type());
  check_type(squared_in, "squared", source_in.scalar_type());
  if (normals_in) {
    check_shape(*normals_in, "normals", {batch, target_count, 3});
    check_type(*normals_in, "normals", source_in.scalar_type());
  }
  STD_TORCH_CHECK(trim >= 0.0 && trim < 1.0, "twodasl: trim is not in [0, 1)");
  const Tensor source = dense(source_in), target = dense(target_in), indices = dense(indices_in),
               squared = dense(squared_in), counts = dense(counts_in), pose = dense(pose_in),
               source_frame = dense(source_frame_in), target_frame = dense(target_frame_in);
  const std::optional<Tensor> normals = normals_in ? std::optional<Tensor>(dense(*normals_in)) : std::nullopt;
  check_counts(counts, batch, source_count);
  check_numbers(pose, "pose", batch, kPoseNumbers);
  check_numbers(source_frame, "source_frame", batch, kFrameNumbers);
  check_numbers(target_frame, "target_frame", batch, kFrameNumbers);
  const int64_t tasks = batch * icp_parts(source_count);
  Tensor next = empty_doubles({batch, kPoseNumbers}, source);
  Tensor statistics = empty_doubles({batch, kIcpStatistics}, source);
  const Tensor partial = empty_doubles({tasks, cpu::kPlaneSums}, source);
  const Tensor threshold = empty_like_type({batch}, source);
  const Tensor candidates = empty_like_type({trim > 0.0 ? batch : 0, source_count}, source);
  with_type(source, "source", [&](auto number) {
    using T = decltype(number);
    const IcpUpdateParams<T> params{in<T>(source),
                                    in<T>(target),
                                    normals ? in<T>(*normals) : nullptr,
                                    in<int64_t>(indices),
                                    in<T>(squared),
                                    in<int64_t>(counts),
                                    in<double>(pose),
                                    in<double>(source_frame),
                                    in<double>(target_frame),
                                    out<T>(threshold),
                                    out<T>(candidates),
                                    out<double>(partial),
                                    out<double>(next),
                                    out<double>(statistics),
                                    batch,
                                    source_count,
                                    target_count,
                                    trim,
                                    max_squared,
                                    scale,
                                    recentre};
    torch::stable::parallel_for(0, batch, 1,
                                [&](int64_t begin, int64_t end) { cpu::icp_trim(params, begin, end); });
    torch::stable::parallel_for(0, tasks, kPartsPerThread,
                                [&](int64_t begin, int64_t end) { cpu::icp_accumulate(params, begin, end); });
    torch::stable::parallel_for(0, batch, 16,
                                [&](int64_t begin, int64_t end) { cpu::icp_solve(params, begin, end); });
  });
  return {next, statistics};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(twodasl, CPU, m) {
  m.impl("nearest_rotation", TORCH_BOX(&nearest_rotation));
  m.impl("icp_frame", TORCH_BOX(&icp_frame));
  m.impl("icp_move", TORCH_BOX(&icp_move));
  m.impl("icp_update", TORCH_BOX(&icp_update));
}

}  // namespace twodasl::ops
