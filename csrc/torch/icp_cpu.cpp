// The steps of iterative_closest_point on the CPU: checks, allocation, parameters, launch.
#include <optional>
#include <tuple>

#include "../cpu/kernels/icp.h"
#include "icp.h"
#include "neighbors.h"
#include "tree.h"

namespace twodasl::ops {

namespace {

// So many parts of a step take about half a millisecond.
constexpr int64_t kPartsWorthAThread = 12;

// Rejects counts that would make a kernel read past the points.
void check_counts(const Tensor& counts, const Tensor& points) {
  check_count_shape(counts, points);
  const int64_t* values = in<int64_t>(counts);
  for (int64_t i = 0; i < points.size(0); ++i) {
    STD_TORCH_CHECK(values[i] >= 0 && values[i] <= points.size(1), "twodasl: counts are not within the points");
  }
}

Tensor icp_frame(const Tensor& points_in, const Tensor& counts_in) {
  check_shape(points_in, "points", {-1, -1, 3});
  const Tensor points = dense(points_in), counts = dense(counts_in);
  const int64_t batch = points.size(0), count = points.size(1), tasks = batch * icp_parts(count);
  check_counts(counts, points);
  Tensor frame = empty_doubles({batch, kFrameNumbers}, points);
  const Tensor partial = empty_doubles({tasks, 3}, points);
  with_number(points, "points", [&](auto number) {
    using T = decltype(number);
    const IcpFrameParams<T> params{in<T>(points), in<int64_t>(counts), out<double>(partial), out<double>(frame), batch,
                                   count};
    for (int pass = 0; pass < 2; ++pass) {
      // Below about 60,000 points it is not worth waking a thread.
      torch::stable::parallel_for(0, tasks, kChunk / kIcpPart * 4, [&](int64_t begin, int64_t end) {
        cpu::icp_frame(params, pass, begin, end);
      });
      cpu::icp_frame_finish(params, pass);
    }
  });
  return frame;
}

Tensor icp_sorted(const Tensor& points_in, const Tensor& counts_in) {
  check_shape(points_in, "points", {-1, -1, 3});
  const Tensor points = dense(points_in), counts = dense(counts_in);
  const int64_t batch = points.size(0), capacity = points.size(1);
  check_counts(counts, points);
  STD_TORCH_CHECK(capacity < kNoPoint, "twodasl: points: expected fewer than 2^31 - 1, got ", capacity);
  Tensor result = empty_result({batch, capacity, 3}, points);
  FirstWrong wrong(batch);
  with_number(points, "points", [&](auto number) {
    using T = decltype(number);
    each(batch, [&](int64_t element) {
      const T* from = in<T>(points) + 3 * element * capacity;
      T* const to = out<T>(result) + 3 * element * capacity;
      const int64_t count = in<int64_t>(counts)[element], step = 4 * cpu::kTightRun;
      T box[6];
      if (!bounds(from, count, box)) return wrong.add(element);
      Scratch scratch(static_cast<size_t>(2 * count) * sizeof(uint64_t));
      uint64_t* const keys = sorted(from, count, box, scratch.keys());
      each(chunks(count, step), [&](int64_t part) {
        const int64_t begin = part * step, end = std::min(count, begin + step);
        cpu::tighten_keys(from, keys, begin, end);
        for (int64_t i = begin; i < end; ++i) {
          const T* p = from + 3 * static_cast<int64_t>(keys[i] & 0xffffffffu);
          for (int64_t c = 0; c < 3; ++c) to[3 * i + c] = p[c];
        }
      });
      std::copy(from + 3 * count, from + 3 * capacity, to + 3 * count);
    });
  });
  STD_TORCH_CHECK(wrong.none(), "twodasl: points: expected finite numbers, got others in element ", wrong.get());
  return result;
}

std::tuple<Tensor, Tensor, Tensor, Tensor> icp_step(
    const Tensor& source_in, const Tensor& target_in, const std::optional<Tensor>& normals_in, const Tensor& leaves,
    const Tensor& ids, const Tensor& boxes, const Tensor& lowest, const std::optional<Tensor>& hint_in,
    const Tensor& counts_in, const Tensor& pose_in, const Tensor& source_frame_in, const Tensor& target_frame_in,
    double trim, double max_squared, bool scale, bool recenter) {
  check_clouds(source_in, target_in, normals_in, trim);
  const int64_t batch = source_in.size(0), source_count = source_in.size(1), target_count = target_in.size(1);
  if (hint_in) {
    check_shape(*hint_in, "hint", {batch, source_count});
    check_type(*hint_in, "hint", ScalarType::Long);
  }
  STD_TORCH_CHECK(target_count > 0 || source_count == 0, "twodasl: target: expected at least one point");
  const Tensor source = dense(source_in), target = dense(target_in), counts = dense(counts_in), pose = dense(pose_in),
               source_frame = dense(source_frame_in), target_frame = dense(target_frame_in);
  const TreeTensors tree(target, leaves, ids, boxes, lowest);
  const std::optional<Tensor> normals = dense(normals_in), hint = dense(hint_in);
  check_counts(counts, source);
  check_doubles(pose, "pose", kPoseNumbers, source);
  check_doubles(source_frame, "source_frame", kFrameNumbers, source);
  check_doubles(target_frame, "target_frame", kFrameNumbers, source);
  const int64_t parts = icp_parts(source_count), tasks = batch * parts;
  Tensor next = empty_doubles({batch, kPoseNumbers}, source);
  Tensor statistics = empty_doubles({batch, kIcpStatistics}, source);
  Tensor squared = empty_result({batch, source_count}, source);
  Tensor indices = empty_result_of({batch, source_count}, ScalarType::Long, source);
  const Tensor moved = empty_result({batch, source_count, 3}, source);
  const Tensor partial = empty_doubles({tasks, cpu::kPlaneSums}, source);
  const Tensor threshold = empty_like_type({batch}, source);
  const Tensor candidates = empty_like_type({trim > 0.0 ? batch : 0, source_count}, source);
  FirstWrong wrong(tasks), far(tasks);
  with_number(source, "source", [&](auto number) {
    using T = decltype(number);
    const auto& kernel = kernels<T>();
    const IcpMoveParams<T> moves{in<T>(source), in<double>(pose), out<T>(moved), batch, source_count};
    const NearestParams<T> search{in<T>(moved),
                                  in<T>(target),
                                  tree.get<T>(),
                                  in<int64_t>(counts),
                                  hint ? in<int64_t>(*hint) : nullptr,
                                  nullptr,
                                  out<T>(squared),
                                  out<int64_t>(indices),
                                  batch,
                                  source_count,
                                  target_count};
    const IcpUpdateParams<T> update{in<T>(source),
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
                                    recenter};
    const auto found = [&](int64_t task) {
      const IcpPart part = icp_part(task, source_count, update.counts);
      const int64_t start = part.element * source_count, begin = task % parts * kIcpPart;
      for (int64_t i = start + part.first; hint && i < start + part.last; ++i) {
        if (search.hint[i] < 0 || search.hint[i] >= target_count) {
          wrong.add(task);
          return false;
        }
      }
      cpu::icp_move(moves, start + part.first, start + part.last);
      T box[6];
      if (part.first < part.last && !cpu::bounding_box(search.query + 3 * start, part.first, part.last, box)) {
        far.add(task);
        return false;
      }
      neighbors_of(number).nearest(search, part.element, begin, std::min(source_count, begin + kIcpPart));
      return true;
    };
    // Elements that have stopped have no pairs, so their parts are not counted.
    int64_t busy = 0;
    for (int64_t element = 0; element < batch; ++element) busy += icp_parts(update.counts[element]);
    const int64_t worth = busy > 0 ? chunks(kPartsWorthAThread * tasks, busy) : 1;
    if (trim > 0.0) {
      each(tasks, found, worth);
      if (!wrong.none() || !far.none()) return;
      each(batch, [&](int64_t element) { cpu::icp_trim(update, element, element + 1); });
      each(tasks, [&](int64_t task) { kernel.icp_accumulate(update, task, task + 1); }, 4 * worth);
    } else {
      // One pass over the points wakes the threads once.
      cpu::icp_trim(update, 0, batch);
      const auto both = [&](int64_t task) {
        if (found(task)) kernel.icp_accumulate(update, task, task + 1);
      };
      each(tasks, both, worth);
      if (!wrong.none() || !far.none()) return;
    }
    torch::stable::parallel_for(0, batch, 16, [&](int64_t begin, int64_t end) { cpu::icp_solve(update, begin, end); });
  });
  STD_TORCH_CHECK(wrong.none(), "twodasl: hint: expected indices in [0, ", target_count, ")");
  STD_TORCH_CHECK(far.none(), "twodasl: source: moved out of its dtype's range in element ", far.get() / parts);
  return {next, statistics, squared, indices};
}

}  // namespace

TWODASL_OPERATORS(m) {
  m.impl("icp_frame", TORCH_BOX(&icp_frame));
  m.impl("icp_sorted", TORCH_BOX(&icp_sorted));
  m.impl("icp_step", TORCH_BOX(&icp_step));
}

}  // namespace twodasl::ops
