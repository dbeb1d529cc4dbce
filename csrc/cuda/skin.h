// skin on a GPU.
#pragma once

#include "../common/skin_params.h"

namespace twodasl::cuda {

template <class T>
const char* launch_skin(const SkinParams<T>& params, void* stream);

// The gradient of the transforms sums over parts of 256 vertices, whose sums are added in order in double precision: the
// same bits from run to run and in every batch.
inline constexpr int64_t kSkinPart = 256;
TWODASL_HOST_DEVICE inline int64_t skin_parts(int64_t count) { return (count + kSkinPart - 1) / kSkinPart; }
// Numbers of `params.partial`: (parts, B, J, 12).
inline int64_t skin_scratch(int64_t count, int64_t joints, int64_t batch) {
  return skin_parts(count) * batch * joints * 12;
}

// `params.used` is not read.
template <class T>
const char* launch_skin_backward(const SkinBackwardParams<T>& params, void* stream);

// Faces are added in the order of the batch.
template <class T>
const char* launch_skin_backward_weights(const SkinWeightsParams<T>& params, void* stream);

}  // namespace twodasl::cuda
