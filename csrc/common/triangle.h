// The edge functions, depth and weights of a triangle at a pixel: the rules of cpu/kernels/rasterize.h in double
// precision.
//
// A shared edge must give the same number wherever it is evaluated, so nothing may be contracted to a fused
// multiply-add: on a GPU the roundings are spelled out; on the CPU such files are compiled with -ffp-contract=off.
#pragma once

#include <cstdint>

#include "host_device.h"

namespace twodasl {

#if defined(__CUDA_ARCH__)
TWODASL_HOST_DEVICE inline double times(double a, double b) { return __dmul_rn(a, b); }
TWODASL_HOST_DEVICE inline double plus(double a, double b) { return __dadd_rn(a, b); }
TWODASL_HOST_DEVICE inline double minus(double a, double b) { return __dsub_rn(a, b); }
#else
inline double times(double a, double b) { return a * b; }
inline double plus(double a, double b) { return a + b; }
inline double minus(double a, double b) { return a - b; }
#endif

struct Point {
  double x, y;
};

// The stored edge runs from the smaller (y, x) to the larger; the triangle lies on its positive side or on the other.
struct Edge {
  double ax, ay, dx, dy;
  bool positive;

  TWODASL_HOST_DEVICE double value(double px, double py) const {
    return minus(times(dx, minus(py, ay)), times(dy, minus(px, ax)));
  }
  // The same, greater than zero inside.
  TWODASL_HOST_DEVICE double side(double value) const { return positive ? value : -value; }
  TWODASL_HOST_DEVICE bool holds(double value) const {
    return side(value) > 0.0 || (side(value) == 0.0 && positive);
  }
};

TWODASL_HOST_DEVICE inline Edge make_edge(Point a, Point b, bool positive) {
  const bool ordered = a.y < b.y || (a.y == b.y && a.x <= b.x);
  if (ordered) return {a.x, a.y, minus(b.x, a.x), minus(b.y, a.y), positive};
  return {b.x, b.y, minus(a.x, b.x), minus(a.y, b.y), !positive};
}

// Twice the signed area from the same edge function that the pixels see.
TWODASL_HOST_DEVICE inline double signed_area(Point a, Point b, Point c) {
  const Edge edge = make_edge(a, b, true);
  return edge.side(edge.value(c.x, c.y));
}

struct Triangle {
  Edge edge[3];  // opposite to vertex 0, 1, 2
  double z[3];
  double inverse;  // 1 / (2 area)

  // Whether pixel (x, y) is inside, and the weights of vertices 1 and 2 where it is.
  TWODASL_HOST_DEVICE bool covers(double x, double y, double& w1, double& w2) const {
    const double e0 = edge[0].value(x, y), e1 = edge[1].value(x, y), e2 = edge[2].value(x, y);
    if (!(edge[0].holds(e0) && edge[1].holds(e1) && edge[2].holds(e2))) return false;
    w1 = weight(1, e1);
    w2 = weight(2, e2);
    return true;
  }
  TWODASL_HOST_DEVICE void weights(double x, double y, double& w1, double& w2) const {
    w1 = weight(1, edge[1].value(x, y));
    w2 = weight(2, edge[2].value(x, y));
  }
  TWODASL_HOST_DEVICE double depth(double w1, double w2) const {
    return plus(z[0], plus(times(w1, minus(z[1], z[0])), times(w2, minus(z[2], z[0]))));
  }

 private:
  TWODASL_HOST_DEVICE double weight(int i, double value) const {
    return times(edge[i].side(value), inverse);
  }
};

// Fills `t` and says whether the triangle has an area at all.
template <class T>
TWODASL_HOST_DEVICE inline bool set_up(const T* a, const T* b, const T* c, Triangle& t) {
  const Point p[3] = {{static_cast<double>(a[0]), static_cast<double>(a[1])},
                      {static_cast<double>(b[0]), static_cast<double>(b[1])},
                      {static_cast<double>(c[0]), static_cast<double>(c[1])}};
  const double area = signed_area(p[0], p[1], p[2]);
  if (!(area > 0.0) && !(area < 0.0)) return false;
  const bool positive = area > 0.0;
  t.edge[0] = make_edge(p[1], p[2], positive);
  t.edge[1] = make_edge(p[2], p[0], positive);
  t.edge[2] = make_edge(p[0], p[1], positive);
  t.z[0] = static_cast<double>(a[2]);
  t.z[1] = static_cast<double>(b[2]);
  t.z[2] = static_cast<double>(c[2]);
  t.inverse = 1.0 / (positive ? area : -area);
  return true;
}

template <class V>
TWODASL_HOST_DEVICE inline V least(V a, V b) { return b < a ? b : a; }
template <class V>
TWODASL_HOST_DEVICE inline V most(V a, V b) { return b > a ? b : a; }

// First integer >= x and last integer <= x, clamped to [low, high] first, so that any number is safe to convert.
template <class T, class Index>
TWODASL_HOST_DEVICE inline Index first_pixel(T x, Index low, Index high) {
  if (!(x > static_cast<T>(low))) return low;
  if (x > static_cast<T>(high)) return high + 1;
  const Index i = static_cast<Index>(x);
  return i + (static_cast<T>(i) < x ? 1 : 0);
}
template <class T, class Index>
TWODASL_HOST_DEVICE inline Index last_pixel(T x, Index low, Index high) {
  if (!(x >= static_cast<T>(low))) return low - 1;
  if (x >= static_cast<T>(high)) return high;
  return static_cast<Index>(x);
}

}  // namespace twodasl
