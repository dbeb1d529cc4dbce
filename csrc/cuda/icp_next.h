// From the parts' sums to the next pose, the best pose so far, and whether an element stops; see icp.h. Only a block's
// first thread does the latter two: the eigenvalue problem of a rotation is a chain of divisions and roots, and no more
// threads could take part in it.
#pragma once

#include "../common/icp_solve.h"

#include <cmath>
#include <limits>

#include "icp_passes.h"

namespace twodasl::cuda {

namespace {

// sums[k] over the parts, each by the same lane of every warp, then over the warps. All threads call. Other blocks have
// just written the parts, so they are read from where all blocks share memory.
template <int Sums, int Warps>
__device__ __forceinline__ void sum_parts(const double* partial, int64_t parts, double* warps, double* sums) {
  const int thread = int(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp;
  for (int k = lane; k < Sums; k += kWarp) {
    double sum = 0.0;
#pragma unroll 8
    for (int64_t part = warp; part < parts; part += Warps) sum += __ldcg(partial + part * Sums + k);
    warps[warp * Sums + k] = sum;
  }
  __syncthreads();
  if (thread < Sums) {
    double sum = 0.0;
#pragma unroll
    for (int w = 0; w < Warps; ++w) sum += warps[w * Sums + thread];
    sums[thread] = sum;
  }
  __syncthreads();
}

// Whether an element goes on after a pose with this error, of `used` pairs that move something. See the function's
// docstring for the two rules.
__device__ __forceinline__ bool judge(const IcpState& state, int64_t element, int64_t iteration, double error,
                                      double used, const double* pose) {
  const bool paired = used > 0.0;
  // How much the rounding of the coordinates may change an error.
  const double* frame = state.target_frame + kFrameNumbers * element;
  const double noise =
      state.rounding * (std::sqrt(frame[0] * frame[0] + frame[1] * frame[1] + frame[2] * frame[2]) + frame[3]);
  state.history[element * (state.max_iterations + 1) + iteration] = error;
  if (iteration == 0 && (!paired || error != error)) {  // refused
    state.history[element * (state.max_iterations + 1)] = std::numeric_limits<double>::quiet_NaN();
    return false;
  }
  if (paired && (iteration == 0 || error < state.least[element])) {
    state.least[element] = error;
    state.matched[element] = used / static_cast<double>(state.counts[element]);
    double* best = state.best + kPoseNumbers * element;
    for (int i = 0; i < kPoseNumbers; ++i) best[i] = pose[i];
  }
  const double last = state.last[element], fall = last - error;  // infinite at first
  const bool not_risen = fall >= -noise;
  bool settled = state.tolerance >= 0.0 && not_risen && (fall <= state.tolerance * last || error <= noise) &&
                 last < std::numeric_limits<double>::infinity();
  const bool still = state.mse_tolerance >= 0.0 && std::fabs(last * last - error * error) <= state.mse_tolerance;
  settled = settled || (still && not_risen);
  if (settled && paired) state.converged[element] = true;
  if (settled || still || !paired || iteration == state.max_iterations) return false;
  state.last[element] = error;
  ++state.iterations[element];
  return true;
}

// The state after an iteration, from its sums. One thread calls.
template <class T, bool Plane>
__device__ __forceinline__ void go_on(const IcpUpdateParams<T>& params, const IcpState& state, int64_t iteration,
                                      int64_t element, const double* sums) {
  const double counted = sums[0], used = sums[1], mean = counted > 0.0 ? sums[2] / counted : 0.0;
  double pose[kPoseNumbers], next[kPoseNumbers];
#pragma unroll
  for (int i = 0; i < kPoseNumbers; ++i) pose[i] = params.pose[kPoseNumbers * element + i];
  if (!judge(state, element, iteration, std::sqrt(mean), used, pose)) {
    state.active[element] = 0;
    return;
  }
  const double* qc = params.target_frame + kFrameNumbers * element;
  if constexpr (Plane) {
    icp::point_to_plane(sums + 3, qc, params.scale, pose, next);
  } else {
    const double* pc = params.source_frame + kFrameNumbers * element;
    icp::point_to_point(used, sums + 3, pc, qc, params.scale, params.recenter, pose, next);
  }
  // The numbers overflowed for clouds of such a size: no step is better than an invalid pose.
  bool finite = true;
#pragma unroll
  for (int i = 0; i < kPoseNumbers; ++i) finite = finite && std::isfinite(next[i]);
#pragma unroll
  for (int i = 0; i < kPoseNumbers; ++i) {
    if (finite) state.pose[kPoseNumbers * element + i] = next[i];
  }
}

}  // namespace

}  // namespace twodasl::cuda
