// vertices and landmarks on a GPU.
#pragma once

#include "../common/params.h"

namespace twodasl::cuda {

template <class T, class S>
const char* launch_vertices(const VerticesParams<T, S>& params, void* stream);

}  // namespace twodasl::cuda
