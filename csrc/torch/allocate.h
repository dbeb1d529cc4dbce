// Memory for results: reused blocks for large ones (cpu/memory.h), torch's allocator for small ones.
#pragma once

#include "../cpu/memory.h"
#include "stable.h"

// torch 2.11 and newer can return a tensor's memory to us. Declared weak, so that the library still loads into
// 2.10, where every result comes from torch's own allocator.
extern "C" __attribute__((weak)) AOTITorchError torch_from_blob(
    void* data, int64_t ndim, const int64_t* sizes, const int64_t* strides, int64_t storage_offset, int32_t dtype,
    int32_t device_type, int32_t device_index, AtenTensorHandle* result, int32_t layout, const uint8_t* opaque,
    int64_t opaque_size, void (*deleter)(void* data, void* context), void* context);

namespace twodasl::ops {

inline Tensor empty_result(std::initializer_list<int64_t> sizes, const Tensor& like) {
  size_t bytes = like.element_size();
  int64_t strides[8], stride = 1;
  for (size_t axis = sizes.size(); axis-- > 0;) {
    strides[axis] = stride;
    stride *= sizes.begin()[axis];
  }
  bytes *= static_cast<size_t>(stride);
  if (bytes >= cpu::kSmallestBlock && torch_from_blob != nullptr) {
    void* const data = cpu::acquire(bytes);
    if (data != nullptr) {
      AtenTensorHandle handle = nullptr;
      const auto give_back = [](void* block, void* size) { cpu::release(block, reinterpret_cast<size_t>(size)); };
      const AOTITorchError code = torch_from_blob(
          data, static_cast<int64_t>(sizes.size()), sizes.begin(), strides, 0,
          torch::stable::detail::to<int32_t>(torch::stable::detail::from(like.scalar_type())),
          aoti_torch_device_type_cpu(), -1, &handle, aoti_torch_layout_strided(), nullptr, 0, give_back,
          reinterpret_cast<void*>(bytes));
      check_call(code, "wrapping memory in a tensor");
      return Tensor(handle);
    }
  }
  const Tensor result = empty_like_type(sizes, like);
  if (bytes >= cpu::kSmallestBlock) cpu::prefer_huge_pages(result.mutable_data_ptr(), bytes);
  return result;
}

// Of any type, on the CPU.
inline Tensor empty_result_of(std::initializer_list<int64_t> sizes, ScalarType type, const Tensor& like) {
  return empty_result(sizes, empty_of({0}, type, like));
}

}  // namespace twodasl::ops
