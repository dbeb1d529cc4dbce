// The point of a triangle that is closest to a given one, in double precision, for a number or a vector of them.
//
// It is the best of four candidates: the closest point of each edge, and that of the plane where it falls inside. A
// candidate is always a point of the triangle, so none is too near; where a sliver's plane is not known, its edges are
// no further away than the sliver is wide. The corners are sorted by their coordinates first: so triangles that share
// an edge compute its distance from the same numbers, in the same order, and get the same bits.
//
// Nothing may be contracted to a fused multiply-add: on a GPU the roundings are spelled out; on the CPU such files are
// compiled with -ffp-contract=off.
#pragma once

#include "triangle.h"

namespace twodasl {

#if defined(__CUDA_ARCH__)
TWODASL_HOST_DEVICE inline float rounded_product(float a, float b) { return __fmul_rn(a, b); }
TWODASL_HOST_DEVICE inline float rounded_sum(float a, float b) { return __fadd_rn(a, b); }
#else
inline float rounded_product(float a, float b) { return a * b; }
inline float rounded_sum(float a, float b) { return a + b; }
#endif
TWODASL_HOST_DEVICE inline double rounded_product(double a, double b) { return times(a, b); }
TWODASL_HOST_DEVICE inline double rounded_sum(double a, double b) { return plus(a, b); }

TWODASL_HOST_DEVICE inline double where_less(double a, double b, double x, double y) { return a < b ? x : y; }
TWODASL_HOST_DEVICE inline double quotient(double a, double b) { return a / b; }
TWODASL_HOST_DEVICE inline double number_like(double, double x) { return x; }

template <class N>
TWODASL_HOST_DEVICE inline N dot(const N* a, const N* b) {
  return plus(plus(times(a[0], b[0]), times(a[1], b[1])), times(a[2], b[2]));
}
template <class N>
TWODASL_HOST_DEVICE inline void cross(const N* a, const N* b, N* result) {
  result[0] = minus(times(a[1], b[2]), times(a[2], b[1]));
  result[1] = minus(times(a[2], b[0]), times(a[0], b[2]));
  result[2] = minus(times(a[0], b[1]), times(a[1], b[0]));
}

// What the distances to one triangle share.
template <class N>
struct TriangleTerms {
  N corner[3][3];
  N edge[3][3];   // from corner 0 to 1, from 0 to 2, from 1 to 2
  N length[3];    // squared
  N inverse[3];   // 1 / length
  N across[2][3];  // the dot product with p - corner 0 is the weight of corner 1, of corner 2
};

// `corners` in the order of sort_corners().
template <class N>
TWODASL_HOST_DEVICE inline void set_terms(N (*corners)[3], TriangleTerms<N>& t) {
  const N zero = number_like(corners[0][0], 0.0), one = number_like(zero, 1.0), tiny = number_like(zero, 0x1p-1000);
  TWODASL_UNROLL
  for (int c = 0; c < 3; ++c) {
    TWODASL_UNROLL
    for (int i = 0; i < 3; ++i) t.corner[i][c] = corners[i][c];
    t.edge[0][c] = minus(corners[1][c], corners[0][c]);
    t.edge[1][c] = minus(corners[2][c], corners[0][c]);
    t.edge[2][c] = minus(corners[2][c], corners[1][c]);
  }
  TWODASL_UNROLL
  for (int i = 0; i < 3; ++i) {
    t.length[i] = dot(t.edge[i], t.edge[i]);
    t.inverse[i] = quotient(one, where_less(tiny, t.length[i], t.length[i], tiny));  // of no length: never used
  }
  N normal[3];
  cross(t.edge[0], t.edge[1], normal);
  const N area = dot(normal, normal);
  const N inverse = where_less(zero, area, quotient(one, where_less(zero, area, area, one)), zero);  // flat: no inside
  cross(t.edge[1], normal, t.across[0]);
  cross(normal, t.edge[0], t.across[1]);
  TWODASL_UNROLL
  for (int c = 0; c < 3; ++c) {
    t.across[0][c] = times(t.across[0][c], inverse);
    t.across[1][c] = times(t.across[1][c], inverse);
  }
}

// p - q of the closest point q, and the weights of the corners there.
template <class N>
struct Closest {
  N away[3];
  N weight[3];
};

template <class N>
TWODASL_HOST_DEVICE inline void take_if_less(N square, N& best, const Closest<N>& candidate, Closest<N>& found) {
  TWODASL_UNROLL
  for (int c = 0; c < 3; ++c) {
    found.away[c] = where_less(square, best, candidate.away[c], found.away[c]);
    found.weight[c] = where_less(square, best, candidate.weight[c], found.weight[c]);
  }
  best = where_less(square, best, square, best);
}

template <class N>
TWODASL_HOST_DEVICE inline Closest<N> closest_point(const TriangleTerms<N>& t, const N* p) {
  const N zero = number_like(p[0], 0.0), one = number_like(zero, 1.0);
  const N infinity = number_like(zero, __builtin_huge_val());
  N from[3][3];  // from the corners to p
  TWODASL_UNROLL
  for (int i = 0; i < 3; ++i) {
    TWODASL_UNROLL
    for (int c = 0; c < 3; ++c) from[i][c] = minus(p[c], t.corner[i][c]);
  }
  Closest<N> found, other;
  N best = infinity;
  TWODASL_UNROLL
  for (int i = 0; i < 3; ++i) {
    const int first = i == 2 ? 1 : 0, last = i == 0 ? 1 : 2;
    const N along = dot(from[first], t.edge[i]);
    const N s = times(along, t.inverse[i]);
    TWODASL_UNROLL
    for (int c = 0; c < 3; ++c) {
      const N inside = minus(from[first][c], times(s, t.edge[i][c]));
      other.away[c] = where_less(along, t.length[i], where_less(zero, along, inside, from[first][c]), from[last][c]);
      other.weight[c] = zero;
    }
    const N part = where_less(along, t.length[i], where_less(zero, along, s, zero), one);
    other.weight[first] = minus(one, part);
    other.weight[last] = part;
    const N square = dot(other.away, other.away);
    if (i == 0) {
      found = other;
      best = square;
    } else {
      take_if_less(square, best, other, found);
    }
  }
  const N v = dot(from[0], t.across[0]), w = dot(from[0], t.across[1]);
  other.weight[0] = minus(one, plus(v, w));
  other.weight[1] = v;
  other.weight[2] = w;
  TWODASL_UNROLL
  for (int c = 0; c < 3; ++c) {
    other.away[c] = minus(minus(from[0][c], times(v, t.edge[0][c])), times(w, t.edge[1][c]));
  }
  N square = dot(other.away, other.away);
  TWODASL_UNROLL
  for (int i = 0; i < 3; ++i) square = where_less(zero, other.weight[i], square, infinity);
  take_if_less(square, best, other, found);
  return found;
}

// ---- coordinates ----------------------------------------------------------------------------------------------

// A mesh's coordinates are multiplied by a power of two that brings the largest to kMeshBits bits: so neither a square
// nor a normal overflows or vanishes, whatever the unit. In a type's range that is so high that only points from which
// all of the mesh is equally far, to the last bit, have squares that overflow.
template <class T>
struct MeshRange;
template <>
struct MeshRange<float> {
  static constexpr int kBits = 37;
  static constexpr float kMost = 0x1p100f;  // of a point's coordinate; what is more becomes this
};
template <>
struct MeshRange<double> {
  static constexpr int kBits = 200;
  static constexpr double kMost = 0x1p500;
};

// A power of two by its exponent, which is that of a normal number.
TWODASL_HOST_DEVICE inline double power_of_two(int exponent) {
  double x = 1.0;
  const double step = exponent < 0 ? 0.5 : 2.0;
  for (int i = exponent < 0 ? -exponent : exponent; i > 0; --i) x *= step;
  return x;
}

// For a mesh whose greatest coordinate, in magnitude, is `greatest`.
template <class T>
TWODASL_HOST_DEVICE inline double mesh_scale(double greatest) {
  int exponent = 0;
  if (!(greatest > 0.0)) return 1.0;
  for (; greatest >= 1.0; greatest *= 0.5) ++exponent;
  for (; greatest < 0.5 && exponent > -800; greatest *= 2.0) --exponent;
  return power_of_two(MeshRange<T>::kBits - exponent);
}

template <class T>
TWODASL_HOST_DEVICE inline T scaled_vertex(T x, double scale) {
  return static_cast<T>(static_cast<double>(x) * scale);
}
template <class T>
TWODASL_HOST_DEVICE inline T scaled_point(T x, double scale) {
  constexpr double kMost = static_cast<double>(MeshRange<T>::kMost);
  const double y = static_cast<double>(x) * scale;
  return static_cast<T>(y > kMost ? kMost : y < -kMost ? -kMost : y);
}
// Whether a coordinate was too large.
template <class T>
TWODASL_HOST_DEVICE inline bool was_cut(T x) {
  return x >= MeshRange<T>::kMost || x <= -MeshRange<T>::kMost;
}

// Puts two corners, and their places in the triangle, in order: by x, then y, then z.
template <class N>
TWODASL_HOST_DEVICE inline void order_pair(N* p, N* q, N& place_p, N& place_q) {
  const N zero = number_like(p[0], 0.0), one = number_like(zero, 1.0);
  N swap = zero;
  TWODASL_UNROLL
  for (int c = 2; c >= 0; --c) swap = where_less(q[c], p[c], one, where_less(p[c], q[c], zero, swap));
  const auto exchange = [&](N& a, N& b) {
    const N first = where_less(zero, swap, b, a);
    b = where_less(zero, swap, a, b);
    a = first;
  };
  TWODASL_UNROLL
  for (int c = 0; c < 3; ++c) exchange(p[c], q[c]);
  exchange(place_p, place_q);
}

// Sorts the corners of a triangle; place[i] becomes the number of the i-th in the triangle.
template <class N>
TWODASL_HOST_DEVICE inline void sort_corners(N (*corners)[3], N* place) {
  TWODASL_UNROLL
  for (int i = 0; i < 3; ++i) place[i] = number_like(corners[0][0], i);
  order_pair(corners[0], corners[1], place[0], place[1]);
  order_pair(corners[1], corners[2], place[1], place[2]);
  order_pair(corners[0], corners[1], place[0], place[1]);
}

// One coordinate of p - q in the inputs' type, and no further out than the triangle's own box: so the distance to the
// box is never greater than that to the triangle.
template <class T>
TWODASL_HOST_DEVICE inline T clamp_away(double away, T to_high, T to_low) {
  const T x = static_cast<T>(away);
  return x < to_high ? to_high : x > to_low ? to_low : x;
}

// The squared distance in the mesh's own unit: `away` is p - q of the scaled coordinates `at` of the point, low and high
// the scaled triangle's box. Where a coordinate was cut, all corners differ from the point by as much.
template <class T>
TWODASL_HOST_DEVICE inline T unscaled_square(const double* away, const T* at, const T* low, const T* high, double scale,
                                             const T* point, const T* corner) {
  const bool cut = was_cut(at[0]) || was_cut(at[1]) || was_cut(at[2]);
  T square[3];
  TWODASL_UNROLL
  for (int c = 0; c < 3; ++c) {
    const T clamped = clamp_away(away[c], at[c] - high[c], at[c] - low[c]);
    const T d = cut ? point[c] - corner[c] : static_cast<T>(static_cast<double>(clamped) / scale);
    square[c] = rounded_product(d, d);
  }
  return rounded_sum(rounded_sum(square[0], square[1]), square[2]);
}

// p - q from the barycentric coordinates that were found. False, and zeros, where there is no triangle.
template <class Params>
TWODASL_HOST_DEVICE inline bool away_from_triangle(const Params& params, int64_t element, int64_t m, double* away) {
  away[0] = away[1] = away[2] = 0.0;
  const int64_t found = params.triangle[m];
  if (found < 0) return false;
  TWODASL_UNROLL
  for (int i = 0; i < 3; ++i) {
    const int64_t n = element * params.vertices_count + params.triangles[3 * found + i];
    const double weight = static_cast<double>(params.barycentrics[3 * m + i]);
    TWODASL_UNROLL
    for (int c = 0; c < 3; ++c) {
      const double from = minus(static_cast<double>(params.points[3 * m + c]),
                                static_cast<double>(params.vertices[3 * n + c]));
      away[c] = plus(away[c], times(weight, from));
    }
  }
  return true;
}

}  // namespace twodasl
