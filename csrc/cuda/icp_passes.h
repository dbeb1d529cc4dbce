// The launches that iterations of iterative_closest_point are made of; see icp.h.
#pragma once

#include "grid.h"
#include "icp.h"

namespace twodasl::cuda {

// grid.y and grid.z go to 65535; a kernel goes on over the elements that are left.
inline unsigned rows(int64_t batch) { return static_cast<unsigned>(batch < 65535 ? batch : 65535); }

// `output`, up to every element's count.
template <class T>
Error launch_icp_move(const IcpMoveParams<T>& params, const int64_t* counts, void* stream);
// The squared distance that trimming leaves as the greatest; no launch where nothing is trimmed.
template <class T>
Error launch_icp_trim(const IcpUpdateParams<T>& params, void* stream);
// `partial`.
template <class T>
Error launch_icp_accumulate(const IcpUpdateParams<T>& params, void* stream);
// What iteration `iteration` makes of `state`, its next pose included.
template <class T>
Error launch_icp_solve(const IcpUpdateParams<T>& params, const IcpState& state, int64_t iteration, void* stream);
Error launch_icp_begin(const IcpState& state, void* stream);

}  // namespace twodasl::cuda
