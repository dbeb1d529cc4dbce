// The parameters of iterative_closest_point's kernels; see cpu/kernels/icp.h.
#pragma once

#include <cstdint>

#include "host_device.h"

namespace twodasl {

// A pose is 13 doubles, x -> s R x + t: R row by row, t, s.
inline constexpr int64_t kPoseNumbers = 13;
// A cloud's frame is 4 doubles: centroid, root mean square distance from it.
inline constexpr int64_t kFrameNumbers = 4;
// The statistics of an iteration: mean squared error, pairs that count, pairs within the maximum distance.
inline constexpr int64_t kIcpStatistics = 3;

// Points that one part sums. It is a constant, so the sums have the same bits for any number of threads.
inline constexpr int64_t kIcpPart = 512;
TWODASL_HOST_DEVICE inline int64_t icp_parts(int64_t points) { return points > 0 ? (points + kIcpPart - 1) / kIcpPart : 0; }

// What part `task` of batch * icp_parts(N) is: points [first, last) of its element, none past the element's count.
struct IcpPart {
  int64_t element, first, last;
};
inline IcpPart icp_part(int64_t task, int64_t points, const int64_t* counts) {
  const int64_t parts = icp_parts(points), element = task / parts, first = task % parts * kIcpPart;
  const int64_t whole = first + kIcpPart < counts[element] ? first + kIcpPart : counts[element];
  return {element, first, whole > first ? whole : first};
}

template <class T>
struct IcpFrameParams {
  const T* points;        // (B, N, 3)
  const int64_t* counts;  // (B): points of each element
  double* partial;        // (B, parts, 3) scratch
  double* frame;          // (B, 4)
  int64_t batch;
  int64_t points_count;   // N
};

template <class T>
struct IcpMoveParams {
  const T* points;     // (B, N, 3)
  const double* pose;  // (B, 13)
  T* output;           // (B, N, 3)
  int64_t batch;
  int64_t points_count;
};

template <class T>
struct IcpUpdateParams {
  const T* source;              // (B, N, 3), as it was given
  const T* target;              // (B, P, 3)
  const T* normals;             // (B, P, 3) unit or zero: point-to-plane; null: point-to-point
  const int64_t* indices;       // (B, N): the target of every source point at `pose`
  const T* squared;             // (B, N): its squared distance
  const int64_t* counts;        // (B): source points; 0 for an element that is finished, whose pose stays
  const double* pose;           // (B, 13)
  const double* source_frame;   // (B, 4)
  const double* target_frame;   // (B, 4)
  T* threshold;                 // (B) scratch: the largest squared distance that trimming leaves
  T* candidates;                // (B, N) scratch of the selection, or null when trim is 0
  double* partial;              // (B, parts, icp_sums) scratch
  double* next;                 // (B, 13)
  double* statistics;           // (B, 3)
  int64_t batch;
  int64_t source_count;         // N
  int64_t target_count;         // P
  double trim;                  // worst fraction of the pairs that is dropped
  double max_squared;           // pairs farther apart do not affect the motion and count as this; or infinity
  bool scale;
  bool recenter;                // align the whole clouds' centroids rather than the pairs'
};

}  // namespace twodasl
