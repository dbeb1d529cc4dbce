// iterative_closest_point on a GPU: all iterations are enqueued at once, and the device decides which pose is next and
// which elements have stopped. So nothing waits for the host, and a CUDA graph can capture it.
//
// An iteration is a search, which moves its queries itself, the threshold (where something is trimmed), and sums over the
// pairs, whose last block solves: two launches or three. An element that has stopped has no more points (`active` is 0), and its blocks return at once.
//
// Sums are in double precision about the clouds' centroids, over parts of fixed size that are added in a fixed order:
// the same bits in every run, and for an element whatever the rest of its batch is.
//
// Wrong values are not errors here. An element whose count is outside of [1, N], whose start is not finite, or whose
// clouds' centroids are not (as after any coordinate that is not), and one of which no pair counts at the start, is
// refused: it gets NaN for its pose, error, matched fraction and history.
#pragma once

#include "../common/icp_params.h"
#include "neighbors.h"

namespace twodasl::cuda {

// Points that one block sums, of a cloud and of the pairs.
inline constexpr int64_t kFramePart = 2048;
inline constexpr int64_t kPairsPart = 512;
inline constexpr int64_t frame_parts(int64_t points) { return (points + kFramePart - 1) / kFramePart; }
inline constexpr int64_t pairs_parts(int64_t points) { return (points + kPairsPart - 1) / kPairsPart; }
// Numbers that a part sums; see common/icp_solve.h.
inline constexpr int64_t pairs_sums(bool plane) { return plane ? 38 : 19; }

// The state after an iteration, (B, ...).
struct IcpState {
  const int64_t* counts;      // (B): points of each source, as given
  const double* start;        // (B, 13)
  const double* source_frame; // (B, 4)
  const double* target_frame; // (B, 4)
  int64_t* active;            // (B): points that are still searched, 0 after an element has stopped
  double* pose;               // (B, 13): the one whose pairs are judged next
  double* last;               // (B): the error before
  double* best;               // (B, 13)
  double* least;              // (B): the error of the best
  double* matched;            // (B)
  bool* converged;            // (B)
  int64_t* iterations;        // (B)
  int32_t* arrived;           // (B) scratch: blocks that have written their sums in this iteration
  double* history;            // (B, max_iterations + 1)
  int64_t batch;
  int64_t source_count;       // N
  int64_t max_iterations;
  double rounding;            // of the coordinates: the dtype's epsilon
  double tolerance;           // negative: none
  double mse_tolerance;       // negative: none
};

// `update` has `state.active` for its counts, `state.pose` for its pose and a `partial` of (B, pairs_parts(N),
// pairs_sums); its indices, candidates, next and statistics are not read.
template <class T>
struct IcpRunParams {
  int32_t* order;            // (B, N) scratch: the sources along a curve
  T* squared;                // (B, N) scratch
  int64_t* indices[2];       // (B, N) scratch: this iteration's neighbors, and the last one's
  NeighborTree<T> tree;      // of the targets
  IcpUpdateParams<T> update;
  IcpState state;
};

// centroid and size of every cloud; `partial` is (B, frame_parts(N), 3).
template <class T>
const char* launch_icp_frame(const IcpFrameParams<T>& params, void* stream);
// All iterations. `scratch` is query_order_scratch(B, N) bytes.
template <class T>
const char* launch_icp_run(const IcpRunParams<T>& params, void* scratch, void* stream);

}  // namespace twodasl::cuda
