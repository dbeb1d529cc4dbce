// The launches that make up an iteration of iterative_closest_point; see icp.h.
#pragma once

#include "grid.h"
#include "icp.h"

namespace twodasl::cuda {

// grid.y and grid.z go to 65535; a kernel goes on over the elements that are left.
inline unsigned rows(int64_t batch) { return static_cast<unsigned>(batch < 65535 ? batch : 65535); }

// The largest squared distance that trimming keeps; no launch if nothing is trimmed.
template <class T>
Error launch_icp_trim(const IcpUpdateParams<T>& params, void* stream);
// `partial`, and from it `state` after iteration `iteration`, including its next pose.
template <class T>
Error launch_icp_accumulate(const IcpUpdateParams<T>& params, const IcpState& state, int64_t iteration, void* stream);
Error launch_icp_begin(const IcpState& state, void* stream);

}  // namespace twodasl::cuda
