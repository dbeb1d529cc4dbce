// The position of a point on Hilbert's curve through the cells of a box, which is similar for points that are close in
// space. The curve never jumps, so a run of it is compact.
#pragma once

#include <cstdint>

#include "host_device.h"

namespace twodasl {

// A state of the curve is where it enters a cube and along which axis (Hamilton and Rau-Chaplin, Compact Hilbert
// Indices, 2008: their e and d).
struct CurveState {
  int entry, axis;
};

TWODASL_HOST_DEVICE constexpr int curve_rotate(int x, int by) { return (x << by % 3 | x >> (3 - by % 3)) & 7; }
TWODASL_HOST_DEVICE constexpr int curve_gray(int x) { return x ^ x >> 1; }
TWODASL_HOST_DEVICE constexpr int curve_ones(int x) {  // at the end, of three bits
  return (x & 1) == 0 ? 0 : (x & 2) == 0 ? 1 : (x & 4) == 0 ? 2 : 0;
}

// Where the octant (a bit of x, y, z each) comes among the eight of its cube; the state becomes that inside of it.
TWODASL_HOST_DEVICE constexpr int curve_step(CurveState& state, int octant) {
  const int turned = curve_rotate(octant ^ state.entry, 2 - state.axis);
  const int along = turned ^ turned >> 1 ^ turned >> 2;  // the inverse of Gray's code
  state.entry ^= curve_rotate(curve_gray(along == 0 ? 0 : (along - 1) / 2 * 2), state.axis + 1);
  state.axis = (state.axis + curve_ones(along == 0 ? 0 : along % 2 == 0 ? along - 1 : along) + 1) % 3;
  return along;
}

// Coordinates to cells: cubes, whatever the box's shape. In double precision, where a power of two keeps both ends of
// the range from overflowing.
struct CurveCells {
  double origin[3], before, after;

  // `box`: least x, y, z, greatest x, y, z.
  template <class T>
  TWODASL_HOST_DEVICE CurveCells(const T* box, int axis_bits) {
    double extent = 0.0;
    for (int c = 0; c < 3; ++c) {
      const double side = 0.25 * static_cast<double>(box[3 + c]) - 0.25 * static_cast<double>(box[c]);
      extent = side > extent ? side : extent;
    }
    before = extent > 1e300 ? 0.25 : extent > 1e-280 ? 1.0 : extent > 0.0 ? 0x1p600 : 0.0;
    for (int c = 0; c < 3; ++c) origin[c] = before * static_cast<double>(box[c]);
    extent *= 4.0 * before;
    after = extent > 0.0 ? ((1 << axis_bits) - 1) / extent : 0.0;
  }
  TWODASL_HOST_DEVICE uint32_t cell(double x, int c) const {
    const double place = (before * x - origin[c]) * after;
    return static_cast<uint32_t>(static_cast<int32_t>(place));
  }
};

}  // namespace twodasl
