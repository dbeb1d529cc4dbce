// iterative_closest_point between two searches: from pairs (source point, nearest target point) to the pose. All sums
// are in double precision about the clouds' centroids, so that clouds far from the origin lose no precision. They run
// over parts of fixed size, which are added in order.
//
// A pair counts unless trimming drops it: of n pairs the ceil((1 - trim) n) nearest count (and those that are as far as
// the last of them). A pair that counts and is farther apart than the maximum distance does not affect the motion
// and adds that distance to the error. So the error, a mean of min(d^2, max^2) over a fixed number of pairs, falls in
// every iteration of point-to-point, as it does without a maximum distance.
#pragma once

#include "../../common/icp_params.h"

namespace twodasl::cpu {

// Numbers that one part sums: of point-to-point, or of point-to-plane's normal equations in 7 unknowns.
inline constexpr int64_t kPointSums = 19;
inline constexpr int64_t kPlaneSums = 38;
template <class T>
inline int64_t icp_sums(const IcpUpdateParams<T>& params) { return params.normals ? kPlaneSums : kPointSums; }

// Sums of parts [begin, end) of batch * icp_parts(N), then of their squares about the centroid, then the frames: call
// with `pass` 0 for the parts, icp_frame_finish(0), 1 for the parts, icp_frame_finish(1).
template <class T>
void icp_frame(const IcpFrameParams<T>& params, int pass, int64_t begin, int64_t end);
template <class T>
void icp_frame_finish(const IcpFrameParams<T>& params, int pass);

// Points [begin, end) of batch * N, moved by their element's pose: double precision, rounded once.
template <class T>
void icp_move(const IcpMoveParams<T>& params, int64_t begin, int64_t end);

// The threshold of elements [begin, end); only where something is trimmed.
template <class T>
void icp_trim(const IcpUpdateParams<T>& params, int64_t begin, int64_t end);
// The sums of parts [begin, end) of batch * icp_parts(N) are a kernel of every level: see kernels.h.
// The next pose and the statistics of elements [begin, end).
template <class T>
void icp_solve(const IcpUpdateParams<T>& params, int64_t begin, int64_t end);

}  // namespace twodasl::cpu
