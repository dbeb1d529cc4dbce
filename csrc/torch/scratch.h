// Tensors where wide loads can read them, and bytes for the time of a call.
#pragma once

#include <cstdint>

#include "stable.h"

namespace twodasl::ops {

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
