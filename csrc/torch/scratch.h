// Scratch memory on a GPU for the duration of a call.
#pragma once

#include <cstddef>
#include <cstdint>

#include "stable.h"

namespace twodasl::ops {

// Memory of torch's allocator, which may be released as soon as the work that uses it is enqueued on the current
// stream.
class Scratch {
 public:
  Scratch(size_t bytes, const Tensor& device_of)
      : tensor_(empty_of({static_cast<int64_t>(bytes)}, ScalarType::Byte, device_of)) {}
  void* data() const { return tensor_.mutable_data_ptr(); }

 private:
  Tensor tensor_;
};

}  // namespace twodasl::ops
