// The order of the launches of iterative_closest_point; see icp.h.
#include "icp_passes.h"

namespace twodasl::cuda {

template <class T>
Error launch_icp_run(const IcpRunParams<T>& params, void* scratch, void* stream) {
  const IcpState& state = params.state;
  if (state.batch == 0) return nullptr;
  Error error = launch_icp_begin(state, stream);
  // A rigid motion keeps neighbors together: one order serves every search. The source itself stays as it is, because
  // how fine the curve is depends on the batch, and sums in its order would.
  const QueryOrderParams<T> curve{params.update.source, state.active, params.order, state.batch, state.source_count};
  if (error == nullptr) error = launch_query_order(curve, scratch, stream);
  for (int64_t iteration = 0; iteration <= state.max_iterations && error == nullptr; ++iteration) {
    int64_t* const found = params.indices[iteration % 2];
    const NearestParams<T> search{params.update.source,
                                  params.update.target,
                                  params.tree,
                                  state.active,
                                  iteration > 0 ? params.indices[(iteration + 1) % 2] : nullptr,
                                  params.order,
                                  params.squared,
                                  found,
                                  state.batch,
                                  state.source_count,
                                  params.update.target_count,
                                  nullptr};
    IcpUpdateParams<T> update = params.update;
    update.indices = found;
    error = launch_nearest_moved(search, state.pose, stream);
    if (error == nullptr) error = launch_icp_trim(update, stream);
    if (error == nullptr) error = launch_icp_accumulate(update, state, iteration, stream);
  }
  return error;
}

template Error launch_icp_run(const IcpRunParams<float>&, void*, void*);
template Error launch_icp_run(const IcpRunParams<double>&, void*, void*);

}  // namespace twodasl::cuda
