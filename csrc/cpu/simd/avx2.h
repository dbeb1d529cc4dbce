// 256-bit vectors: AVX2, FMA and F16C.
#pragma once

#include <immintrin.h>

#include "../../common/params.h"

namespace twodasl::cpu::TWODASL_LEVEL {

template <class T>
struct Vec;
template <>
struct Vec<float> {
  static constexpr int lanes = 8;
  __m256 v;
};
template <>
struct Vec<double> {
  static constexpr int lanes = 4;
  __m256d v;
};

inline constexpr int kFaces = 4;  // 12 accumulators, 3 modes and 1 coefficient fill the 16 registers
inline constexpr int kGradFaces = 4;
inline constexpr int kGradSums = 12;  // of a tile of faces and modes; 3 modes and 1 face fill the registers

inline Vec<float> load(const float* p) { return {_mm256_loadu_ps(p)}; }
inline Vec<double> load(const double* p) { return {_mm256_loadu_pd(p)}; }
inline Vec<float> load(const BFloat16* p) {
  const __m128i raw = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(raw), 16))};
}
inline Vec<float> load(const Float16* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
inline void store(float* p, Vec<float> a) { _mm256_storeu_ps(p, a.v); }
inline void store(double* p, Vec<double> a) { _mm256_storeu_pd(p, a.v); }
inline Vec<float> broadcast(float x) { return {_mm256_set1_ps(x)}; }
inline Vec<double> broadcast(double x) { return {_mm256_set1_pd(x)}; }
inline Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) { return {_mm256_fmadd_pd(a.v, b.v, c.v)}; }
inline Vec<float> mul(Vec<float> a, Vec<float> b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline Vec<double> mul(Vec<double> a, Vec<double> b) { return {_mm256_mul_pd(a.v, b.v)}; }
inline Vec<float> add(Vec<float> a, Vec<float> b) { return {_mm256_add_ps(a.v, b.v)}; }
inline Vec<double> add(Vec<double> a, Vec<double> b) { return {_mm256_add_pd(a.v, b.v)}; }
inline Vec<float> sub(Vec<float> a, Vec<float> b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline Vec<double> sub(Vec<double> a, Vec<double> b) { return {_mm256_sub_pd(a.v, b.v)}; }
inline Vec<float> largest(Vec<float> a, Vec<float> b) { return {_mm256_max_ps(a.v, b.v)}; }
inline Vec<double> largest(Vec<double> a, Vec<double> b) { return {_mm256_max_pd(a.v, b.v)}; }
inline Vec<float> smallest(Vec<float> a, Vec<float> b) { return {_mm256_min_ps(a.v, b.v)}; }
inline Vec<double> smallest(Vec<double> a, Vec<double> b) { return {_mm256_min_pd(a.v, b.v)}; }
// a < b ? x : y
inline Vec<float> where_less(Vec<float> a, Vec<float> b, Vec<float> x, Vec<float> y) {
  return {_mm256_blendv_ps(y.v, x.v, _mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ))};
}
inline Vec<double> where_less(Vec<double> a, Vec<double> b, Vec<double> x, Vec<double> y) {
  return {_mm256_blendv_pd(y.v, x.v, _mm256_cmp_pd(a.v, b.v, _CMP_LT_OQ))};
}
// Bit i tells of lane i.
inline unsigned bits_not_greater(Vec<float> a, Vec<float> b) {
  return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(a.v, b.v, _CMP_LE_OQ)));
}
inline unsigned bits_not_greater(Vec<double> a, Vec<double> b) {
  return static_cast<unsigned>(_mm256_movemask_pd(_mm256_cmp_pd(a.v, b.v, _CMP_LE_OQ)));
}
// c + (a < b ? x : 0)
inline Vec<float> add_where_less(Vec<float> a, Vec<float> b, Vec<float> x, Vec<float> c) {
  return {_mm256_add_ps(c.v, _mm256_and_ps(_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ), x.v))};
}
inline Vec<double> add_where_less(Vec<double> a, Vec<double> b, Vec<double> x, Vec<double> c) {
  return {_mm256_add_pd(c.v, _mm256_and_pd(_mm256_cmp_pd(a.v, b.v, _CMP_LT_OQ), x.v))};
}
// Of the set bits of every byte: their places.
struct SetBits {
  alignas(64) unsigned char places[256][8];
};
constexpr SetBits set_bits_table() {
  SetBits t{};
  for (int bits = 0; bits < 256; ++bits) {
    int count = 0;
    for (int i = 0; i < 8; ++i) {
      if (bits >> i & 1) t.places[bits][count++] = static_cast<unsigned char>(i);
    }
  }
  return t;
}
inline constexpr SetBits kSetBits = set_bits_table();
// Lane i and ids[i] of every bit i, one after the other; returns how many. Writes whole vectors.
inline int append(Vec<float> a, const int32_t* ids, unsigned bits, float* to, int32_t* to_ids) {
  const __m256i from = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(kSetBits.places[bits])));
  const __m256i all = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(ids));
  _mm256_storeu_ps(to, _mm256_permutevar8x32_ps(a.v, from));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to_ids), _mm256_permutevar8x32_epi32(all, from));
  return __builtin_popcount(bits);
}
inline int append(Vec<double> a, const int32_t* ids, unsigned bits, double* to, int32_t* to_ids) {
  int count = 0;
  for (; bits != 0; bits &= bits - 1, ++count) {
    const int lane = __builtin_ctz(bits);
    to[count] = a.v[lane];
    to_ids[count] = ids[lane];
  }
  return count;
}
inline float greatest(Vec<float> a) {
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
inline double greatest(Vec<double> a) {
  const __m128d s = _mm_max_pd(_mm256_castpd256_pd128(a.v), _mm256_extractf128_pd(a.v, 1));
  return _mm_cvtsd_f64(_mm_max_sd(s, _mm_unpackhi_pd(s, s)));
}

// No <cmath>: its inline functions would be shared between the levels.
inline float root(float x) { return __builtin_sqrtf(x); }
inline double root(double x) { return __builtin_sqrt(x); }
inline Vec<float> root(Vec<float> a) { return {_mm256_sqrt_ps(a.v)}; }
inline Vec<double> root(Vec<double> a) { return {_mm256_sqrt_pd(a.v)}; }
inline __m128 half(Vec<float> a) {
  return _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
}
inline float sum(Vec<float> a) {
  __m128 s = half(a);
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
// Four sums at once, each with the additions of sum() in the same order.
inline void sum_four(Vec<float> a, Vec<float> b, Vec<float> c, Vec<float> d, float* output) {
  __m128 s0 = half(a), s1 = half(b), s2 = half(c), s3 = half(d);
  _MM_TRANSPOSE4_PS(s0, s1, s2, s3);
  _mm_storeu_ps(output, _mm_add_ps(_mm_add_ps(s0, s2), _mm_add_ps(s1, s3)));
}
inline double sum(Vec<double> a) {
  const __m128d s = _mm_add_pd(_mm256_castpd256_pd128(a.v), _mm256_extractf128_pd(a.v, 1));
  return _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)));
}
inline void sum_four(Vec<double> a, Vec<double> b, Vec<double> c, Vec<double> d, double* output) {
  output[0] = sum(a), output[1] = sum(b), output[2] = sum(c), output[3] = sum(d);
}

// x0 y0 z0 x1 ...: each output register takes lane p / 3 of component p % 3 at position p. Permutations bring
// the lanes into place, blends pick the component.
inline void store_interleaved(float* p, Vec<float> x, Vec<float> y, Vec<float> z) {
  const __m256i i0 = _mm256_setr_epi32(0, 0, 0, 1, 1, 1, 2, 2);
  const __m256i i1 = _mm256_setr_epi32(2, 3, 3, 3, 4, 4, 4, 5);
  const __m256i i2 = _mm256_setr_epi32(5, 5, 6, 6, 6, 7, 7, 7);
  const auto at = [](__m256 v, __m256i i) { return _mm256_permutevar8x32_ps(v, i); };
  _mm256_storeu_ps(p, _mm256_blend_ps(_mm256_blend_ps(at(x.v, i0), at(y.v, i0), 0x92), at(z.v, i0), 0x24));
  _mm256_storeu_ps(p + 8, _mm256_blend_ps(_mm256_blend_ps(at(x.v, i1), at(y.v, i1), 0x24), at(z.v, i1), 0x49));
  _mm256_storeu_ps(p + 16, _mm256_blend_ps(_mm256_blend_ps(at(x.v, i2), at(y.v, i2), 0x49), at(z.v, i2), 0x92));
}
inline void load_interleaved(const float* p, Vec<float>& x, Vec<float>& y, Vec<float>& z) {
  const __m256 a = _mm256_loadu_ps(p), b = _mm256_loadu_ps(p + 8), c = _mm256_loadu_ps(p + 16);
  const __m256i i0 = _mm256_setr_epi32(0, 3, 6, 1, 4, 7, 2, 5);
  const __m256i i1 = _mm256_setr_epi32(1, 4, 7, 2, 5, 0, 3, 6);
  const __m256i i2 = _mm256_setr_epi32(2, 5, 0, 3, 6, 1, 4, 7);
  x.v = _mm256_permutevar8x32_ps(_mm256_blend_ps(_mm256_blend_ps(a, b, 0x92), c, 0x24), i0);
  y.v = _mm256_permutevar8x32_ps(_mm256_blend_ps(_mm256_blend_ps(a, b, 0x24), c, 0x49), i1);
  z.v = _mm256_permutevar8x32_ps(_mm256_blend_ps(_mm256_blend_ps(a, b, 0x49), c, 0x92), i2);
}
// Double precision is for checking gradients: plain and short.
inline void store_interleaved(double* p, Vec<double> x, Vec<double> y, Vec<double> z) {
  for (int i = 0; i < 4; ++i) {
    p[3 * i] = x.v[i];
    p[3 * i + 1] = y.v[i];
    p[3 * i + 2] = z.v[i];
  }
}
inline void load_interleaved(const double* p, Vec<double>& x, Vec<double>& y, Vec<double>& z) {
  x.v = _mm256_setr_pd(p[0], p[3], p[6], p[9]);
  y.v = _mm256_setr_pd(p[1], p[4], p[7], p[10]);
  z.v = _mm256_setr_pd(p[2], p[5], p[8], p[11]);
}

}  // namespace twodasl::cpu::TWODASL_LEVEL
