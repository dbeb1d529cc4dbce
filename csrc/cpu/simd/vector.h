// The lowest level: 128-bit vectors through the compiler's own vector types (SSE2 on x86-64, NEON on Arm).
#pragma once

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "../../common/params.h"

namespace twodasl::cpu::TWODASL_LEVEL {

template <class T>
struct Vec {
  typedef T Native __attribute__((vector_size(16)));
  static constexpr int lanes = 16 / sizeof(T);
  Native v;
};

// Faces that one pass over a block works on: 3 accumulators each. SSE has 16 registers and needs one more for
// every product, since it does not add in the same instruction.
#if defined(__aarch64__)
inline constexpr int kFaces = 8;
#else
inline constexpr int kFaces = 2;
#endif
// Tile of the gradient's products: faces by modes.
inline constexpr int kGradFaces = 2;
inline constexpr int kGradSums = 8;

inline float widen(BFloat16 x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float value;
  __builtin_memcpy(&value, &bits, sizeof(value));
  return value;
}

inline float widen(Float16 x) {
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000u) << 16;
  const uint32_t magnitude = x.bits & 0x7fffu;
  float value;
  if (magnitude >= 0x7c00u) {  // infinity or NaN
    const uint32_t bits = sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13);
    __builtin_memcpy(&value, &bits, sizeof(value));
    return value;
  }
  // The exponents differ by 112; a multiplication by 2^112 moves normal and subnormal numbers alike.
  const uint32_t bits = magnitude << 13;
  __builtin_memcpy(&value, &bits, sizeof(value));
  value *= 5.192296858534828e+33f;
  return sign ? -value : value;
}

template <class T>
inline Vec<T> load(const T* p) {
  Vec<T> r;
  __builtin_memcpy(&r.v, p, sizeof(r.v));
  return r;
}
inline Vec<float> load(const BFloat16* p) {
  Vec<float> r;
  for (int i = 0; i < 4; ++i) r.v[i] = widen(p[i]);
  return r;
}
inline Vec<float> load(const Float16* p) {
  Vec<float> r;
  for (int i = 0; i < 4; ++i) r.v[i] = widen(p[i]);
  return r;
}
template <class T>
inline void store(T* p, Vec<T> a) {
  __builtin_memcpy(p, &a.v, sizeof(a.v));
}
template <class T>
inline Vec<T> broadcast(T x) {
  // Written out: for a loop over the lanes GCC emits a dozen instructions instead of two.
  if constexpr (Vec<T>::lanes == 2) {
    return {typename Vec<T>::Native{x, x}};
  } else {
    return {typename Vec<T>::Native{x, x, x, x}};
  }
}
template <class T>
inline Vec<T> fma(Vec<T> a, Vec<T> b, Vec<T> c) {
  return {a.v * b.v + c.v};
}
template <class T>
inline Vec<T> mul(Vec<T> a, Vec<T> b) {
  return {a.v * b.v};
}
template <class T>
inline Vec<T> add(Vec<T> a, Vec<T> b) {
  return {a.v + b.v};
}
template <class T>
inline Vec<T> sub(Vec<T> a, Vec<T> b) {
  return {a.v - b.v};
}
template <class T>
inline Vec<T> smallest(Vec<T> a, Vec<T> b) {
  return {a.v < b.v ? a.v : b.v};
}
template <class T>
inline Vec<T> largest(Vec<T> a, Vec<T> b) {
  return {a.v > b.v ? a.v : b.v};
}
// a < b ? x : y
template <class T>
inline Vec<T> where_less(Vec<T> a, Vec<T> b, Vec<T> x, Vec<T> y) {
  return {a.v < b.v ? x.v : y.v};
}
// c + (a < b ? x : 0)
template <class T>
inline Vec<T> add_where_less(Vec<T> a, Vec<T> b, Vec<T> x, Vec<T> c) {
  return {c.v + (a.v < b.v ? x.v : broadcast(T(0)).v)};
}
// Lane i and ids[i] of every bit i, one after the other; returns how many. Other levels write whole vectors.
template <class T>
inline int append(Vec<T> a, const int32_t* ids, unsigned bits, T* to, int32_t* to_ids) {
  int count = 0;
  for (; bits != 0; bits &= bits - 1, ++count) {
    const int lane = __builtin_ctz(bits);
    to[count] = a.v[lane];
    to_ids[count] = ids[lane];
  }
  return count;
}
// Bit i tells of lane i: of a comparison's result, in which all bits of a lane are ones or zeros.
template <class M>
inline unsigned lane_bits(M mask) {
#if defined(__SSE2__)
  if constexpr (sizeof(mask[0]) == 4) {
    return static_cast<unsigned>(_mm_movemask_ps(reinterpret_cast<__m128>(mask)));
  } else {
    return static_cast<unsigned>(_mm_movemask_pd(reinterpret_cast<__m128d>(mask)));
  }
#else
  unsigned bits = 0;
  for (unsigned i = 0; i < sizeof(mask) / sizeof(mask[0]); ++i) bits |= (mask[i] != 0 ? 1u : 0u) << i;
  return bits;
#endif
}
template <class T>
inline unsigned bits_not_greater(Vec<T> a, Vec<T> b) {
  return lane_bits(a.v <= b.v);
}
template <class T>
inline T greatest(Vec<T> a) {
  T most = a.v[0];
  for (int i = 1; i < Vec<T>::lanes; ++i) most = a.v[i] > most ? a.v[i] : most;
  return most;
}
// No <cmath>: its inline functions would be shared between the levels.
inline float root(float x) { return __builtin_sqrtf(x); }
inline double root(double x) { return __builtin_sqrt(x); }
template <class T>
inline Vec<T> root(Vec<T> a) {
  for (int i = 0; i < Vec<T>::lanes; ++i) a.v[i] = root(a.v[i]);
  return a;
}
template <class T>
inline T sum(Vec<T> a) {
  if constexpr (Vec<T>::lanes == 2) {
    return a.v[0] + a.v[1];
  } else {
    return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]);
  }
}
template <class T>
inline void sum_four(Vec<T> a, Vec<T> b, Vec<T> c, Vec<T> d, T* output) {
  output[0] = sum(a), output[1] = sum(b), output[2] = sum(c), output[3] = sum(d);
}
// x0 y0 z0 x1 y1 z1 ...
template <class T>
inline void store_interleaved(T* p, Vec<T> x, Vec<T> y, Vec<T> z) {
  for (int i = 0; i < Vec<T>::lanes; ++i) {
    p[3 * i] = x.v[i];
    p[3 * i + 1] = y.v[i];
    p[3 * i + 2] = z.v[i];
  }
}
template <class T>
inline void load_interleaved(const T* p, Vec<T>& x, Vec<T>& y, Vec<T>& z) {
  using Native = typename Vec<T>::Native;
  if constexpr (Vec<T>::lanes == 2) {
    x.v = Native{p[0], p[3]}, y.v = Native{p[1], p[4]}, z.v = Native{p[2], p[5]};
  } else {
    x.v = Native{p[0], p[3], p[6], p[9]}, y.v = Native{p[1], p[4], p[7], p[10]}, z.v = Native{p[2], p[5], p[8], p[11]};
  }
}

}  // namespace twodasl::cpu::TWODASL_LEVEL
