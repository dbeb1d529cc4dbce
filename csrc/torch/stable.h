// The names of torch's stable ABI that the operators use, and the checks they share. Nothing else of torch is
// used by any C++ here, so that one build runs on every torch from 2.10 on.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <stdexcept>
#include <string>

#include "../common/params.h"

// In torch 2.13 and newer. Declared weak, so that the library still loads into older ones.
extern "C" __attribute__((weak)) const char* torch_exception_get_what_without_backtrace();

namespace twodasl::ops {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// The Python functions explain to the user what is wrong. These checks only keep a direct call through torch.ops from
// reading outside a tensor; -1 stands for any size.
inline void check_shape(const Tensor& tensor, const char* name, std::initializer_list<int64_t> sizes) {
  bool same = tensor.dim() == static_cast<int64_t>(sizes.size());
  int64_t axis = 0;
  for (const int64_t size : sizes) {
    same = same && (size < 0 || tensor.size(axis) == size);
    ++axis;
  }
  STD_TORCH_CHECK(same, "twodasl: ", name, " has the wrong shape");
}

inline void check_type(const Tensor& tensor, const char* name, ScalarType type) {
  STD_TORCH_CHECK(tensor.scalar_type() == type, "twodasl: ", name, " has the wrong dtype");
}

// Calls run(T{}) with the arithmetic's number type.
template <class Run>
void with_number(const Tensor& tensor, const char* name, const Run& run) {
  if (tensor.scalar_type() == ScalarType::Float) {
    run(float{});
  } else {
    check_type(tensor, name, ScalarType::Double);
    run(double{});
  }
}

inline Tensor dense(const Tensor& tensor) {
  return tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor);
}

inline std::optional<Tensor> dense(const std::optional<Tensor>& tensor) {
  return tensor ? std::optional<Tensor>(dense(*tensor)) : std::nullopt;
}

// Dense and aligned to sixteen bytes for wide loads: a view may begin anywhere.
inline Tensor dense_aligned(const Tensor& tensor) {
  const Tensor result = dense(tensor);
  return reinterpret_cast<uintptr_t>(result.const_data_ptr()) % 16 == 0 ? result : torch::stable::clone(result);
}

// Checks a call through torch's C interface, which only reports that it failed; torch 2.13 and newer also say why.
inline void check_call(AOTITorchError code, const char* call) {
  if (code == 0) return;
  const char* why = torch_exception_get_what_without_backtrace == nullptr ? nullptr
                                                                         : torch_exception_get_what_without_backtrace();
  throw std::runtime_error(std::string("twodasl: ") + call + " failed" + (why == nullptr ? "" : ": ") +
                           (why == nullptr ? "" : why));
}

// Dense and uninitialized, on `like`'s device. `torch::stable::empty` looks its operator up by name and boxes six
// arguments, which takes longer than the landmarks of a face; this is the call underneath.
inline Tensor allocate(std::initializer_list<int64_t> sizes, int32_t type, const Tensor& like) {
  constexpr size_t kAxes = 8;
  STD_TORCH_CHECK(sizes.size() <= kAxes, "twodasl: too many axes");
  int64_t strides[kAxes], stride = 1;
  for (size_t axis = sizes.size(); axis-- > 0;) {
    strides[axis] = stride;
    stride *= sizes.begin()[axis] > 1 ? sizes.begin()[axis] : 1;
  }
  int32_t device = 0, index = 0;
  check_call(aoti_torch_get_device_type(like.get(), &device), "reading a tensor's device");
  check_call(aoti_torch_get_device_index(like.get(), &index), "reading a tensor's device");
  AtenTensorHandle handle = nullptr;
  const AOTITorchError code = aoti_torch_empty_strided(static_cast<int64_t>(sizes.size()), sizes.begin(), strides, type,
                                                       device, index, &handle);
  if (code != 0) {
    // twodasl_ext/_dispatch.py raises the class that torch has for it.
    const std::string what = std::string(like.is_cpu() ? "" : "CUDA ") + "out of memory: allocating " +
                             std::to_string(stride) + " elements of " +
                             std::to_string(aoti_torch_dtype_element_size(type)) + " bytes";
    check_call(code, what.c_str());
  }
  return Tensor(handle);
}

// Of `like`'s type.
inline Tensor empty_like_type(std::initializer_list<int64_t> sizes, const Tensor& like) {
  int32_t type = 0;
  check_call(aoti_torch_get_dtype(like.get(), &type), "reading a tensor's dtype");
  return allocate(sizes, type, like);
}

// Of any type, on a tensor's device.
inline Tensor empty_of(std::initializer_list<int64_t> sizes, ScalarType type, const Tensor& device_of) {
  return allocate(sizes, torch::stable::detail::to<int32_t>(torch::stable::detail::from(type)), device_of);
}

template <class T>
inline const T* in(const Tensor& tensor) {
  return static_cast<const T*>(tensor.const_data_ptr());
}
template <class T>
inline T* out(const Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_data_ptr());
}

// The fewest tasks per thread: less work is not worth waking a thread for.
inline int64_t grain(int64_t operations_per_task) {
  constexpr int64_t kWorth = 200000;
  const int64_t tasks = kWorth / (operations_per_task > 0 ? operations_per_task : 1);
  return tasks > 1 ? tasks : 1;
}

}  // namespace twodasl::ops
