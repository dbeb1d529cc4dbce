// The names of torch's stable ABI that the operators use, and the checks they share. Nothing else of torch is
// seen by any C++ here, so that one build runs on every torch from 2.10 on.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include <initializer_list>

#include "../common/params.h"

namespace twodasl::ops {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// The Python facade has told the user what is wrong in words. These checks only keep a direct call through
// torch.ops from reading outside a tensor; -1 stands for any size.
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

inline Tensor dense(const Tensor& tensor) {
  return tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor);
}

// A dense tensor, uninitialised. `torch::stable::empty` looks its operator up by name and boxes six arguments, which
// takes longer than the landmarks of a face; this is the call underneath.
inline Tensor empty_like_type(std::initializer_list<int64_t> sizes, const Tensor& like) {
  constexpr size_t kAxes = 8;
  STD_TORCH_CHECK(sizes.size() <= kAxes, "twodasl: too many axes");
  int64_t strides[kAxes], stride = 1;
  for (size_t axis = sizes.size(); axis-- > 0;) {
    strides[axis] = stride;
    stride *= sizes.begin()[axis] > 1 ? sizes.begin()[axis] : 1;
  }
  int32_t type = 0, device = 0, index = 0;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_dtype(like.get(), &type));
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type(like.get(), &device));
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_index(like.get(), &index));
  AtenTensorHandle handle = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(static_cast<int64_t>(sizes.size()), sizes.begin(), strides, type,
                                                         device, index, &handle));
  return Tensor(handle);
}

template <class T>
inline const T* in(const Tensor& tensor) {
  return static_cast<const T*>(tensor.const_data_ptr());
}
template <class T>
inline T* out(const Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_data_ptr());
}

// One thread takes at least this many multiply-adds; less is not worth waking it for.
inline int64_t grain(int64_t operations_per_task) {
  constexpr int64_t kWorth = 200000;
  const int64_t tasks = kWorth / (operations_per_task > 0 ? operations_per_task : 1);
  return tasks > 1 ? tasks : 1;
}

}  // namespace twodasl::ops
