// CUDA's side of device.h: the tensors' device, torch's stream on it, and the error of a failed launch.
//
// With TWODASL_EMULATED the same operators serve tensors on the CPU, with kernels that run in the emulator of
// tests/cuda: loaded after the CPU library, they replace its kernels.
#pragma once

#include "stable.h"

#if !defined(TWODASL_EMULATED)
#include <torch/csrc/stable/accelerator.h>

// Defined in libtorch_cuda; torch's header declares it for builds against a CUDA torch only.
extern "C" AOTITorchError aoti_torch_get_current_cuda_stream(int32_t device_index, void** ret_stream);
#endif

namespace twodasl::ops {

inline void check_same_device(const Tensor& tensor, const char* name, const Tensor& like) {
  STD_TORCH_CHECK(tensor.get_device_index() == like.get_device_index() && tensor.is_cpu() == like.is_cpu(),
                  "twodasl: ", name, " is on another device than the rest");
}

// Makes the tensor's device current while it lives, and knows torch's current stream there.
class OnDevice {
 public:
#if defined(TWODASL_EMULATED)
  explicit OnDevice(const Tensor&) {}
#else
  explicit OnDevice(const Tensor& like) : guard_(like.get_device_index()) {
    check_call(aoti_torch_get_current_cuda_stream(like.get_device_index(), &stream_), "asking for torch's stream");
  }
#endif
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;
  void* stream() const { return stream_; }

 private:
#if !defined(TWODASL_EMULATED)
  torch::stable::accelerator::DeviceGuard guard_;
#endif
  void* stream_ = nullptr;
};

inline Tensor empty_result(std::initializer_list<int64_t> sizes, const Tensor& like) {
  return empty_like_type(sizes, like);
}

inline Tensor empty_result_of(std::initializer_list<int64_t> sizes, ScalarType type, const Tensor& device_of) {
  return empty_of(sizes, type, device_of);
}

// What kernels read several numbers at a time. A view may begin anywhere, as parameters broadcast in one buffer do, and
// a misaligned wide load would end the process's use of the GPU.
inline Tensor dense_wide(const Tensor& tensor) { return dense_aligned(tensor); }

#if !defined(TWODASL_CUDA_ARCHITECTURES)
#define TWODASL_CUDA_ARCHITECTURES "none"
#endif

// `error` is what a launch returned.
inline void check_launch(const char* error) {
  STD_TORCH_CHECK(error == nullptr, "twodasl: a CUDA kernel did not start: ", error, " (this build has kernels for ",
                  TWODASL_CUDA_ARCHITECTURES, ")");
}

}  // namespace twodasl::ops

#if defined(TWODASL_EMULATED)
#define TWODASL_OPERATORS(m) STABLE_TORCH_LIBRARY_IMPL(twodasl, CPU, m)
#else
#define TWODASL_OPERATORS(m) STABLE_TORCH_LIBRARY_IMPL(twodasl, CUDA, m)
#endif
