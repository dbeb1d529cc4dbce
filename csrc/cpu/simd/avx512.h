// 512-bit vectors: AVX-512 F, BW, DQ and VL.
#pragma once

#include <immintrin.h>

#include "../../common/params.h"

namespace twodasl::cpu::TWODASL_LEVEL {

template <class T>
struct Vec;
template <>
struct Vec<float> {
  static constexpr int lanes = 16;
  __m512 v;
};
template <>
struct Vec<double> {
  static constexpr int lanes = 8;
  __m512d v;
};

inline constexpr int kFaces = 8;  // 24 accumulators, 3 modes and the coefficients fit the 32 registers
inline constexpr int kGradFaces = 4;
inline constexpr int kGradSums = 16;  // of a tile of faces and modes

inline Vec<float> load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline Vec<double> load(const double* p) { return {_mm512_loadu_pd(p)}; }
inline Vec<float> load(const BFloat16* p) {
  const __m256i raw = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(raw), 16))};
}
inline Vec<float> load(const Float16* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline void store(float* p, Vec<float> a) { _mm512_storeu_ps(p, a.v); }
inline void store(double* p, Vec<double> a) { _mm512_storeu_pd(p, a.v); }
inline Vec<float> broadcast(float x) { return {_mm512_set1_ps(x)}; }
inline Vec<double> broadcast(double x) { return {_mm512_set1_pd(x)}; }
inline Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) { return {_mm512_fmadd_pd(a.v, b.v, c.v)}; }
inline Vec<float> mul(Vec<float> a, Vec<float> b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vec<double> mul(Vec<double> a, Vec<double> b) { return {_mm512_mul_pd(a.v, b.v)}; }
inline Vec<float> add(Vec<float> a, Vec<float> b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec<double> add(Vec<double> a, Vec<double> b) { return {_mm512_add_pd(a.v, b.v)}; }
inline Vec<float> sub(Vec<float> a, Vec<float> b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec<double> sub(Vec<double> a, Vec<double> b) { return {_mm512_sub_pd(a.v, b.v)}; }
inline Vec<float> largest(Vec<float> a, Vec<float> b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Vec<double> largest(Vec<double> a, Vec<double> b) { return {_mm512_max_pd(a.v, b.v)}; }
inline Vec<float> smallest(Vec<float> a, Vec<float> b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Vec<double> smallest(Vec<double> a, Vec<double> b) { return {_mm512_min_pd(a.v, b.v)}; }
// a < b ? x : y
inline Vec<float> where_less(Vec<float> a, Vec<float> b, Vec<float> x, Vec<float> y) {
  return {_mm512_mask_mov_ps(y.v, _mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), x.v)};
}
inline Vec<double> where_less(Vec<double> a, Vec<double> b, Vec<double> x, Vec<double> y) {
  return {_mm512_mask_mov_pd(y.v, _mm512_cmp_pd_mask(a.v, b.v, _CMP_LT_OQ), x.v)};
}
// Bit i tells of lane i.
inline unsigned bits_not_greater(Vec<float> a, Vec<float> b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ); }
inline unsigned bits_not_greater(Vec<double> a, Vec<double> b) { return _mm512_cmp_pd_mask(a.v, b.v, _CMP_LE_OQ); }
// c + (a < b ? x : 0)
inline Vec<float> add_where_less(Vec<float> a, Vec<float> b, Vec<float> x, Vec<float> c) {
  return {_mm512_mask_add_ps(c.v, _mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), c.v, x.v)};
}
inline Vec<double> add_where_less(Vec<double> a, Vec<double> b, Vec<double> x, Vec<double> c) {
  return {_mm512_mask_add_pd(c.v, _mm512_cmp_pd_mask(a.v, b.v, _CMP_LT_OQ), c.v, x.v)};
}
// Lane i and ids[i] of every bit i, one after the other; returns how many. Writes whole vectors.
inline int append(Vec<float> a, const int32_t* ids, unsigned bits, float* to, int32_t* to_ids) {
  const __mmask16 kept = static_cast<__mmask16>(bits);
  _mm512_storeu_ps(to, _mm512_maskz_compress_ps(kept, a.v));
  _mm512_storeu_si512(to_ids, _mm512_maskz_compress_epi32(kept, _mm512_loadu_si512(ids)));
  return __builtin_popcount(bits);
}
inline int append(Vec<double> a, const int32_t* ids, unsigned bits, double* to, int32_t* to_ids) {
  const __mmask8 kept = static_cast<__mmask8>(bits);
  const __m256i all = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(ids));
  _mm512_storeu_pd(to, _mm512_maskz_compress_pd(kept, a.v));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to_ids), _mm256_maskz_compress_epi32(kept, all));
  return __builtin_popcount(bits);
}
inline float greatest(Vec<float> a) { return _mm512_reduce_max_ps(a.v); }
inline double greatest(Vec<double> a) { return _mm512_reduce_max_pd(a.v); }
// No <cmath>: its inline functions would be shared between the levels.
inline float root(float x) { return __builtin_sqrtf(x); }
inline double root(double x) { return __builtin_sqrt(x); }
inline Vec<float> root(Vec<float> a) { return {_mm512_sqrt_ps(a.v)}; }
inline Vec<double> root(Vec<double> a) { return {_mm512_sqrt_pd(a.v)}; }
inline __m128 quarter(Vec<float> a) {
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}
inline float sum(Vec<float> a) {
  __m128 s = quarter(a);
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
// Four sums at once, each with the additions of sum() in the same order.
inline void sum_four(Vec<float> a, Vec<float> b, Vec<float> c, Vec<float> d, float* output) {
  __m128 s0 = quarter(a), s1 = quarter(b), s2 = quarter(c), s3 = quarter(d);
  _MM_TRANSPOSE4_PS(s0, s1, s2, s3);
  _mm_storeu_ps(output, _mm_add_ps(_mm_add_ps(s0, s2), _mm_add_ps(s1, s3)));
}
inline double sum(Vec<double> a) { return _mm512_reduce_add_pd(a.v); }
inline void sum_four(Vec<double> a, Vec<double> b, Vec<double> c, Vec<double> d, double* output) {
  output[0] = sum(a), output[1] = sum(b), output[2] = sum(c), output[3] = sum(d);
}

// Position p of x0 y0 z0 x1 ... holds lane p / 3 of component p % 3. Two permutations a register: the first
// joins two of the three sources, the second puts in the third.
struct Interleave {
  alignas(64) int first[3][16];
  alignas(64) int second[3][16];
};
constexpr Interleave store_table() {
  Interleave t{};
  for (int p = 0; p < 48; ++p) {
    const int lane = p / 3, component = p % 3;
    t.first[p / 16][p % 16] = component == 0 ? lane : 16 + lane;
    t.second[p / 16][p % 16] = component == 2 ? 16 + lane : p % 16;
  }
  return t;
}
constexpr Interleave load_table() {
  Interleave t{};
  for (int component = 0; component < 3; ++component) {
    for (int lane = 0; lane < 16; ++lane) {
      const int p = 3 * lane + component;
      t.first[component][lane] = p < 32 ? p : 0;
      t.second[component][lane] = p < 32 ? lane : 16 + (p - 32);
    }
  }
  return t;
}
inline constexpr Interleave kStore = store_table();
inline constexpr Interleave kLoad = load_table();

inline __m512 pick(__m512 a, const int* index, __m512 b) {
  return _mm512_permutex2var_ps(a, _mm512_load_si512(index), b);
}
inline void store_interleaved(float* p, Vec<float> x, Vec<float> y, Vec<float> z) {
  for (int i = 0; i < 3; ++i) {
    _mm512_storeu_ps(p + 16 * i, pick(pick(x.v, kStore.first[i], y.v), kStore.second[i], z.v));
  }
}
inline void load_interleaved(const float* p, Vec<float>& x, Vec<float>& y, Vec<float>& z) {
  const __m512 a = _mm512_loadu_ps(p), b = _mm512_loadu_ps(p + 16), c = _mm512_loadu_ps(p + 32);
  x.v = pick(pick(a, kLoad.first[0], b), kLoad.second[0], c);
  y.v = pick(pick(a, kLoad.first[1], b), kLoad.second[1], c);
  z.v = pick(pick(a, kLoad.first[2], b), kLoad.second[2], c);
}
// Double precision is for checking gradients: plain and short.
inline void store_interleaved(double* p, Vec<double> x, Vec<double> y, Vec<double> z) {
  for (int i = 0; i < 8; ++i) {
    p[3 * i] = x.v[i];
    p[3 * i + 1] = y.v[i];
    p[3 * i + 2] = z.v[i];
  }
}
inline void load_interleaved(const double* p, Vec<double>& x, Vec<double>& y, Vec<double>& z) {
  const __m512i index = _mm512_setr_epi64(0, 3, 6, 9, 12, 15, 18, 21);
  x.v = _mm512_i64gather_pd(index, p, 8);
  y.v = _mm512_i64gather_pd(index, p + 1, 8);
  z.v = _mm512_i64gather_pd(index, p + 2, 8);
}

}  // namespace twodasl::cpu::TWODASL_LEVEL
