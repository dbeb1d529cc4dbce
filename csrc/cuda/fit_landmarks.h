// fit_landmarks on a GPU. Faces without a group take one launch, a block each; faces of groups a fixed number of launches,
// with a block a face for the normal equations and a block a group for what its faces share. The host waits for nothing.
#pragma once

#include <cstddef>

#include "../common/fit_params.h"

namespace twodasl::cuda {

// params.packed is not used. `scratch` has fit_scratch() bytes on a 16-byte boundary.
template <class T>
size_t fit_scratch(const FitParams<T>& params);
template <class T>
const char* launch_fit_landmarks(const FitParams<T>& params, void* scratch, void* stream);

template <class T>
size_t fit_backward_scratch(const FitBackwardParams<T>& params);
template <class T>
const char* launch_fit_landmarks_backward(const FitBackwardParams<T>& params, void* scratch, void* stream);

}  // namespace twodasl::cuda
