// The CPU's side of device.h.
#pragma once

#include <type_traits>

#include "../cpu/dispatch/kernels.h"
#include "allocate.h"

namespace twodasl::ops {

// torch calls a CPU kernel only when all of its tensors are on the CPU.
inline void check_same_device(const Tensor&, const char*, const Tensor&) {}

// Nothing to switch to, and no stream.
class OnDevice {
 public:
  explicit OnDevice(const Tensor&) {}
};

// What kernels read several numbers at a time: here from any address.
inline Tensor dense_wide(const Tensor& tensor) { return dense(tensor); }

// The kernels of a number type, at the instruction-set level in use.
template <class T>
const cpu::Kernels<T>& kernels() {
  const cpu::Level& level = cpu::active_level();
  if constexpr (std::is_same_v<T, float>) return level.f32;
  if constexpr (std::is_same_v<T, double>) return level.f64;
}

// The same for a basis whose modes are stored as S.
template <class T, class S>
const cpu::BasisKernels<T, S>& basis_kernels() {
  const cpu::Level& level = cpu::active_level();
  if constexpr (std::is_same_v<S, float>) return level.f32.basis;
  if constexpr (std::is_same_v<S, double>) return level.f64.basis;
  if constexpr (std::is_same_v<S, BFloat16>) return level.bf16;
  if constexpr (std::is_same_v<S, Float16>) return level.f16;
}

}  // namespace twodasl::ops

#define TWODASL_OPERATORS(m) STABLE_TORCH_LIBRARY_IMPL(twodasl, CPU, m)
