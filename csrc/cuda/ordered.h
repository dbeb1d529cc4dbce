// Floating-point numbers as unsigned integers in the same order: what an integer atomic can compare, whose result does
// not depend on the order of the threads. What is not finite lies outside of [lowest(), highest()].
#pragma once

#include "grid.h"

namespace twodasl::cuda {

template <class T>
struct Ordered;

template <>
struct Ordered<float> {
  using Bits = unsigned;
  static constexpr Bits kSign = 0x80000000u, kInfinity = 0x7f800000u;
  static __device__ __forceinline__ Bits bits(float x) { return __float_as_uint(x); }
  static __device__ __forceinline__ float number(Bits x) { return __uint_as_float(x); }
};
template <>
struct Ordered<double> {
  using Bits = unsigned long long;
  static constexpr Bits kSign = 0x8000000000000000ull, kInfinity = 0x7ff0000000000000ull;
  static __device__ __forceinline__ Bits bits(double x) { return static_cast<Bits>(__double_as_longlong(x)); }
  static __device__ __forceinline__ double number(Bits x) { return __longlong_as_double(static_cast<long long>(x)); }
};

template <class T>
__device__ __forceinline__ typename Ordered<T>::Bits to_ordered(T x) {
  const auto bits = Ordered<T>::bits(x);
  return (bits & Ordered<T>::kSign) != 0 ? ~bits : bits | Ordered<T>::kSign;
}
template <class T>
__device__ __forceinline__ T from_ordered(typename Ordered<T>::Bits x) {
  return Ordered<T>::number((x & Ordered<T>::kSign) != 0 ? x ^ Ordered<T>::kSign : ~x);
}
template <class T>
__device__ __forceinline__ bool is_finite(T x) {
  return (Ordered<T>::bits(x) & Ordered<T>::kInfinity) != Ordered<T>::kInfinity;
}

}  // namespace twodasl::cuda
