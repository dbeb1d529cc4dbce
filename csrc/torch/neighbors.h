// What nearest_neighbors and iterative_closest_point share on the CPU: the order of points along the curve.
#pragma once

#include "../cpu/neighbors/neighbors.h"
#include "tasks.h"

namespace twodasl::ops {

inline constexpr int64_t kChunk = 1 << 14;  // points per task of a pass over all of them

inline const cpu::NeighborKernels<float>& neighbors_of(float) { return cpu::active_neighbors().f32; }
inline const cpu::NeighborKernels<double>& neighbors_of(double) { return cpu::active_neighbors().f64; }

// The box of `count` points; false when one is not finite.
template <class T>
bool bounds(const T* points, int64_t count, T* box) {
  const int64_t parts = chunks(count, kChunk);
  std::vector<T> boxes(static_cast<size_t>(6 * parts));
  std::atomic<bool> finite{true};
  each(parts, [&](int64_t part) {
    if (!cpu::bounding_box(points, part * kChunk, std::min(count, (part + 1) * kChunk), boxes.data() + 6 * part)) {
      finite = false;
    }
  });
  std::fill(box, box + 6, T(0));
  for (int64_t i = 0; i < 6 * parts; ++i) {
    const int64_t c = i % 6;
    const T x = boxes[static_cast<size_t>(i)];
    box[c] = i < 6 ? x : c < 3 ? std::min(box[c], x) : std::max(box[c], x);
  }
  return finite;
}

// Sorted keys of finite points, points that share a cell sorted further: in one half of `keys`, which holds twice as
// many.
template <class T>
uint64_t* sorted(const T* points, int64_t count, const T* box, uint64_t* keys) {
  each(chunks(count, kChunk), [&](int64_t part) {
    cpu::curve_keys(points, box, keys, part * kChunk, std::min(count, (part + 1) * kChunk));
  });
  uint64_t* const found = cpu::sort_keys(keys, keys + count, count);
  cpu::refine_keys(points, found, found == keys ? keys + count : keys, count);
  return found;
}

}  // namespace twodasl::ops
