// iterative_closest_point on a GPU: guard, checks, allocation, parameters, launches.
#include <limits>
#include <optional>
#include <tuple>

#include "../cuda/icp.h"
#include "../cuda/neighbors.h"
#include "icp.h"
#include "scratch.h"
#include "tree.h"

namespace twodasl::ops {

namespace {

// Memory for the sums over the pairs of `source`.
Tensor empty_partial(const Tensor& source, bool plane) {
  return empty_doubles({source.size(0), cuda::pairs_parts(source.size(1)), cuda::pairs_sums(plane)}, source);
}

Tensor icp_frame(const Tensor& points_in, const Tensor& counts_in) {
  check_shape(points_in, "points", {-1, -1, 3});
  check_count_shape(counts_in, points_in);
  const OnDevice device(points_in);
  const Tensor points = dense(points_in), counts = dense(counts_in);
  const int64_t batch = points.size(0), count = points.size(1);
  const Tensor frame = empty_doubles({batch, kFrameNumbers}, points);
  const Tensor partial = empty_doubles({batch, cuda::frame_parts(count), 3}, points);
  with_number(points, "points", [&](auto number) {
    using T = decltype(number);
    const IcpFrameParams<T> params{in<T>(points),      in<int64_t>(counts), out<double>(partial),
                                   out<double>(frame), batch,               count};
    check_launch(cuda::launch_icp_frame(params, device.stream()));
  });
  return frame;
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> icp_run(
    const Tensor& source_in, const Tensor& target_in, const std::optional<Tensor>& normals_in, const Tensor& leaves_in,
    const Tensor& ids_in, const Tensor& boxes_in, const Tensor& lowest_in, const Tensor& counts_in,
    const Tensor& start_in, const Tensor& source_frame_in, const Tensor& target_frame_in, double trim,
    double max_squared, bool scale, bool recenter, int64_t max_iterations, std::optional<double> tolerance,
    std::optional<double> mse_tolerance) {
  check_clouds(source_in, target_in, normals_in, trim);
  const int64_t batch = source_in.size(0), source_count = source_in.size(1), target_count = target_in.size(1);
  check_count(source_count, "source");
  check_count(target_count, "target");
  check_count_shape(counts_in, source_in);
  check_doubles(start_in, "start", kPoseNumbers, source_in);
  check_doubles(source_frame_in, "source_frame", kFrameNumbers, source_in);
  check_doubles(target_frame_in, "target_frame", kFrameNumbers, source_in);
  STD_TORCH_CHECK(max_iterations >= 0, "twodasl: max_iterations is negative");
  const OnDevice device(source_in);
  const Tensor source = dense(source_in), target = dense(target_in), counts = dense(counts_in);
  const TreeTensors tree(target, leaves_in, ids_in, boxes_in, lowest_in);
  const Tensor start = dense(start_in);
  const Tensor source_frame = dense(source_frame_in), target_frame = dense(target_frame_in);
  const std::optional<Tensor> normals = dense(normals_in);
  // Results.
  const Tensor best = empty_doubles({batch, kPoseNumbers}, source), least = empty_doubles({batch}, source);
  const Tensor matched = empty_doubles({batch}, source), converged = empty_of({batch}, ScalarType::Bool, source);
  const Tensor iterations = empty_of({batch}, ScalarType::Long, source);
  const Tensor history = empty_doubles({batch, max_iterations + 1}, source);
  // State that is passed from iteration to iteration.
  const Tensor arrived = empty_of({batch}, ScalarType::Int, source);
  const Tensor active = empty_of({batch}, ScalarType::Long, source), last = empty_doubles({batch}, source);
  const Tensor pose = empty_doubles({batch, kPoseNumbers}, source);
  const Tensor order = empty_of({batch, source_count}, ScalarType::Int, source);
  const Tensor squared = empty_like_type({batch, source_count}, source);
  const Tensor indices = empty_of({2, batch, source_count}, ScalarType::Long, source);
  const Tensor threshold = empty_like_type({batch}, source), partial = empty_partial(source, normals.has_value());
  with_number(source, "source", [&](auto number) {
    using T = decltype(number);
    const cuda::IcpState state{in<int64_t>(counts),
                               in<double>(start),
                               in<double>(source_frame),
                               in<double>(target_frame),
                               out<int64_t>(active),
                               out<double>(pose),
                               out<double>(last),
                               out<double>(best),
                               out<double>(least),
                               out<double>(matched),
                               out<bool>(converged),
                               out<int64_t>(iterations),
                               out<int32_t>(arrived),
                               out<double>(history),
                               batch,
                               source_count,
                               max_iterations,
                               static_cast<double>(std::numeric_limits<T>::epsilon()),
                               tolerance ? *tolerance : -1.0,
                               mse_tolerance ? *mse_tolerance : -1.0};
    const IcpUpdateParams<T> update{in<T>(source),
                                    in<T>(target),
                                    normals ? in<T>(*normals) : nullptr,
                                    nullptr,  // the iterations' own
                                    in<T>(squared),
                                    in<int64_t>(active),
                                    in<double>(pose),
                                    in<double>(source_frame),
                                    in<double>(target_frame),
                                    out<T>(threshold),
                                    nullptr,
                                    out<double>(partial),
                                    nullptr,
                                    nullptr,
                                    batch,
                                    source_count,
                                    target_count,
                                    trim,
                                    max_squared,
                                    scale,
                                    recenter};
    const cuda::IcpRunParams<T> params{out<int32_t>(order),
                                       out<T>(squared),
                                       {out<int64_t>(indices), out<int64_t>(indices) + batch * source_count},
                                       tree.get<T>(),
                                       update,
                                       state};
    const Scratch scratch(cuda::query_order_scratch<T>(batch, source_count), source);
    check_launch(cuda::launch_icp_run(params, scratch.data(), device.stream()));
  });
  return {best, least, matched, converged, iterations, history};
}

}  // namespace

TWODASL_OPERATORS(m) {
  m.impl("icp_frame", TORCH_BOX(&icp_frame));
  m.impl("icp_run", TORCH_BOX(&icp_run));
}

}  // namespace twodasl::ops
