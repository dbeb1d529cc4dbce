// fit_landmarks: checks, allocation, parameters, and the launch on the device that this is compiled for.
#include <algorithm>
#include <tuple>

#include "device.h"
#include "fit_tensors.h"

#if defined(TWODASL_FOR_CUDA)
#include "../cuda/fit_landmarks.h"
#include "scratch.h"
#else
#include "../cpu/kernels/fit_landmarks.h"
#include "tasks.h"
#endif

namespace twodasl::ops {

namespace {

#if defined(TWODASL_FOR_CUDA)

// Values that only the device knows are not checked: a candidate that is no row counts as the first row, and offsets are
// whoever's that calls.
template <class T>
void launch(FitParams<T>& params, const FitTensors& given, const OnDevice& device) {
  const Scratch scratch(cuda::fit_scratch(params), given.mean);
  check_launch(cuda::launch_fit_landmarks(params, scratch.data(), device.stream()));
}

template <class T>
void launch_backward(FitBackwardParams<T>& params, const FitTensors& given, const OnDevice& device) {
  const Scratch scratch(cuda::fit_backward_scratch(params), given.mean);
  check_launch(cuda::launch_fit_landmarks_backward(params, scratch.data(), device.stream()));
}

#else

// Rows that would make a kernel read past the mean.
template <class Index>
void check_rows(const char* name, const Index* row, int64_t count, int64_t choices, int64_t rows) {
  for (int64_t i = 0; i < count; ++i) {
    const int64_t least = i % choices == 0 ? 0 : -1;
    STD_TORCH_CHECK(row[i] >= least && row[i] < rows, "twodasl: ", name, ": expected rows in [", least, ", ", rows,
                    "), got ", row[i]);
  }
}

// The most faces of a group; offsets that do not cut the batch up are an error.
int64_t check_offsets(const FitTensors& given) {
  if (!given.grouped()) return 1;
  const int64_t* offsets = in<int64_t>(given.offsets);
  int64_t most = 0;
  bool good = offsets[0] == 0 && offsets[given.groups()] == given.batch();
  for (int64_t g = 0; good && g < given.groups(); ++g) {
    good = offsets[g] <= offsets[g + 1];
    most = std::max(most, offsets[g + 1] - offsets[g]);
  }
  STD_TORCH_CHECK(good, "twodasl: offsets: expected numbers that ascend from 0 to the batch");
  return most;
}

// Bytes on a boundary of cache lines, for the time of a task.
class AlignedScratch {
 public:
  explicit AlignedScratch(int64_t bytes) : scratch_(static_cast<size_t>(bytes) + 64) {}
  void* data() {
    const uintptr_t address = reinterpret_cast<uintptr_t>(scratch_.keys());
    return reinterpret_cast<void*>((address + 63) / 64 * 64);
  }

 private:
  Scratch scratch_;
};

// Groups of a task: memory is asked for once a task, and a thread waits for none much longer than for another.
constexpr int64_t kTaskFaces = 8;
// Tasks worth waking a thread for: some half a millisecond.
constexpr int64_t kTasksWorthAThread = 2;

// Runs every group, of `most` faces at most and several together where they are small, each task with so many bytes.
template <class Run>
void each_group(const FitTensors& given, int64_t most, int64_t bytes, const Run& run) {
  const int64_t groups = given.groups(), together = std::max<int64_t>(1, kTaskFaces / std::max<int64_t>(most, 1));
  each(
      chunks(groups, together),
      [&](int64_t task) {
        AlignedScratch scratch(bytes);
        run(scratch.data(), task * together, std::min(groups, (task + 1) * together));
      },
      most < kTaskFaces ? kTasksWorthAThread : 1);
}

template <class T>
void launch(FitParams<T>& params, const FitTensors& given, const OnDevice&) {
  const FitProblem<T>& problem = params.problem;
  const int64_t choices = params.candidates_count;
  check_rows("candidates", params.candidates, problem.points_count * choices, choices, problem.rows_count);
  const int64_t most = check_offsets(given);
  AlignedScratch packed(3 * problem.rows_count * problem.layout().width() * int64_t(sizeof(T)));
  cpu::fit_pack(problem, static_cast<T*>(packed.data()));
  params.packed = static_cast<const T*>(packed.data());
  const cpu::FitMemory<T> memory(problem.layout(), problem.points_count);
  each_group(given, most, cpu::fit_scratch_bytes(memory, most), [&](void* scratch, int64_t begin, int64_t end) {
    kernels<T>().fit_landmarks(params, scratch, begin, end);
  });
}

template <class T>
void launch_backward(FitBackwardParams<T>& params, const FitTensors& given, const OnDevice&) {
  const FitProblem<T>& problem = params.problem;
  check_rows("chosen", params.chosen, problem.batch * problem.points_count, 1, problem.rows_count);
  const int64_t most = check_offsets(given);
  AlignedScratch packed(3 * problem.rows_count * problem.layout().width() * int64_t(sizeof(double)));
  cpu::fit_pack(problem, static_cast<double*>(packed.data()));
  params.packed = static_cast<const double*>(packed.data());
  const cpu::FitMemory<double> memory(problem.layout(), problem.points_count);
  const int64_t bytes = cpu::fit_backward_bytes(memory, most, problem.full_precision);
  each_group(given, most, bytes, [&](void* scratch, int64_t begin, int64_t end) {
    kernels<T>().fit_landmarks_backward(params, scratch, begin, end);
  });
}

#endif

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> fit_landmarks(
    const Tensor& mean, const Tensor& modes, const Tensor& candidates_in, const Tensor& outward_in,
    const Tensor& center, const Tensor& points, const Tensor& sigma, const Tensor& start, const Tensor& pose_sigma,
    const Tensor& prior_mean, const Tensor& precision, const Tensor& intrinsics, const Tensor& offsets, int64_t shared,
    double robust, int64_t iterations, double tolerance) {
  const OnDevice device(mean);
  const FitTensors given(mean, modes, center, points, sigma, start, pose_sigma, prior_mean, precision, intrinsics,
                         offsets, shared, robust);
  check_candidates(candidates_in, outward_in, given);
  const Tensor candidates = dense(candidates_in), outward = dense(outward_in);
  const FitResults to(given);
  with_number(given.mean, "mean", [&](auto number) {
    using T = decltype(number);
    FitParams<T> params = to.params<T>(given, candidates, outward, iterations, tolerance);
    launch(params, given, device);
  });
  return to.all();
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> fit_landmarks_backward(
    const Tensor& grad_in, const Tensor& mean, const Tensor& modes, const Tensor& center, const Tensor& points,
    const Tensor& sigma, const Tensor& start, const Tensor& pose_sigma, const Tensor& prior_mean,
    const Tensor& precision, const Tensor& intrinsics, const Tensor& offsets, int64_t shared, double robust,
    const Tensor& unknowns_in, const Tensor& chosen_in, bool need_precision, bool need_basis) {
  const OnDevice device(mean);
  const FitTensors given(mean, modes, center, points, sigma, start, pose_sigma, prior_mean, precision, intrinsics,
                         offsets, shared, robust);
  check_found(grad_in, unknowns_in, chosen_in, given);
  const Tensor grad = dense(grad_in), unknowns = dense(unknowns_in), chosen = dense(chosen_in);
  const FitGradients to(given, need_precision, need_basis);
  with_number(given.mean, "mean", [&](auto number) {
    using T = decltype(number);
    FitBackwardParams<T> params = to.params<T>(given, grad, unknowns, chosen);
    launch_backward(params, given, device);
  });
  return to.all();
}

}  // namespace

TWODASL_OPERATORS(m) {
  impl_differentiable(m, "fit_landmarks", TORCH_BOX(&fit_landmarks));
  m.impl("fit_landmarks_backward", TORCH_BOX(&fit_landmarks_backward));
}

}  // namespace twodasl::ops
