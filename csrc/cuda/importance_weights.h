// importance_weights on a GPU.
#pragma once

#include "../common/params.h"

namespace twodasl::cuda {

// One launch; no scratch: params.factor is not used.
template <class T>
const char* launch_importance_weights(const ImportanceWeightsParams<T>& params, void* stream);

}  // namespace twodasl::cuda
