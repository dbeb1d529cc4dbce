// vertex_distance_cost on a GPU: the formulas are in cpu/kernels/distance-inl.h.
#pragma once

#include "../common/params.h"

namespace twodasl::cuda {

template <class T>
const char* launch_vertex_distance_cost(const VertexDistanceParams<T>& params, void* stream);

// No scratch: params.scratch is not used.
template <class T>
const char* launch_vertex_distance_cost_backward(const VertexDistanceBackwardParams<T>& params, void* stream);

}  // namespace twodasl::cuda
