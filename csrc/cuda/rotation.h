// nearest_rotation on a GPU.
#pragma once

#include <cstdint>

namespace twodasl::cuda {

// (B, 3, 3) -> (B, 3, 3), both contiguous; see common/rotation.h.
template <class T>
const char* launch_nearest_rotations(const T* matrices, T* rotations, int64_t batch, void* stream);

}  // namespace twodasl::cuda
