// The state before the first iteration of iterative_closest_point; see icp.h.
#include <cmath>
#include <limits>

#include "icp_passes.h"

namespace twodasl::cuda {

namespace {

constexpr int kBeginThreads = 64;

// The state of a refused element; an accepted one continues from here.
__global__ void __launch_bounds__(kBeginThreads) begin_kernel(IcpState state) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const int64_t element = blockIdx.x;
  for (int64_t i = threadIdx.x; i <= state.max_iterations; i += kBeginThreads) {
    state.history[element * (state.max_iterations + 1) + i] = nan;
  }
  if (threadIdx.x < kPoseNumbers) {
    const int64_t i = kPoseNumbers * element + threadIdx.x;
    state.pose[i] = state.start[i];
    state.best[i] = nan;
  }
  if (threadIdx.x != 0) return;
  const int64_t count = state.counts[element];
  bool good = count >= 1 && count <= state.source_count;
  for (int i = 0; i < kPoseNumbers; ++i) good = good && std::isfinite(state.start[kPoseNumbers * element + i]);
  for (int i = 0; i < 3; ++i) {
    good = good && std::isfinite(state.source_frame[kFrameNumbers * element + i]) &&
           std::isfinite(state.target_frame[kFrameNumbers * element + i]);
  }
  state.active[element] = good ? count : 0;
  state.last[element] = std::numeric_limits<double>::infinity();
  state.least[element] = nan;
  state.matched[element] = nan;
  state.converged[element] = false;
  state.iterations[element] = 0;
  state.arrived[element] = 0;
}

}  // namespace

Error launch_icp_begin(const IcpState& state, void* stream) {
  return launch(&begin_kernel, static_cast<unsigned>(state.batch), kBeginThreads, 0, stream, state);
}

}  // namespace twodasl::cuda
