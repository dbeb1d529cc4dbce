// Tensors of any type on a tensor's device: results of another type than the inputs', and bytes for the time of a call.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "stable.h"

namespace twodasl::ops {

// Dense and uninitialised, at most eight axes.
inline Tensor empty_of(std::initializer_list<int64_t> sizes, ScalarType type, const Tensor& device_of) {
  int64_t strides[8], stride = 1;
  for (size_t axis = sizes.size(); axis-- > 0;) {
    strides[axis] = stride;
    stride *= sizes.begin()[axis] > 1 ? sizes.begin()[axis] : 1;
  }
  int32_t device = 0, index = 0;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type(device_of.get(), &device));
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_index(device_of.get(), &index));
  AtenTensorHandle handle = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(
      static_cast<int64_t>(sizes.size()), sizes.begin(), strides,
      torch::stable::detail::to<int32_t>(torch::stable::detail::from(type)), device, index, &handle));
  return Tensor(handle);
}

// Dense, and where loads of sixteen bytes can read it: a view may begin anywhere.
inline Tensor dense_aligned(const Tensor& tensor) {
  const Tensor result = dense(tensor);
  return reinterpret_cast<uintptr_t>(result.const_data_ptr()) % 16 == 0 ? result : torch::stable::clone(result);
}

// Memory of torch's allocator, which may be given back as soon as the work that uses it is on the current stream.
class Scratch {
 public:
  Scratch(size_t bytes, const Tensor& device_of)
      : tensor_(empty_of({static_cast<int64_t>(bytes)}, ScalarType::Byte, device_of)) {}
  void* data() const { return tensor_.mutable_data_ptr(); }

 private:
  Tensor tensor_;
};

}  // namespace twodasl::ops
