// The tree over a mesh's triangles.
#include <algorithm>

#include "../../common/closest.h"
#include "closest.h"

namespace twodasl::cpu {

template <class T>
TriangleSpan<T> triangle_centers(const T* vertices, const int64_t* triangles, T* centers, int64_t begin, int64_t end) {
  TriangleSpan<T> span{{}, T(0), true};
  T zeros = T(0);  // NaN where a coordinate is not finite
  for (int64_t n = begin; n < end; ++n) {
    for (int c = 0; c < 3; ++c) {
      T corner[3];
      for (int i = 0; i < 3; ++i) corner[i] = vertices[3 * triangles[3 * n + i] + c];
      const T low = std::min(std::min(corner[0], corner[1]), corner[2]);
      const T high = std::max(std::max(corner[0], corner[1]), corner[2]);
      const T center = T(0.5) * low + T(0.5) * high;
      for (int i = 0; i < 3; ++i) zeros += corner[i] * T(0);
      span.greatest = std::max(span.greatest, std::max(-low, high));
      span.box[c] = n == begin ? center : std::min(span.box[c], center);
      span.box[3 + c] = n == begin ? center : std::max(span.box[3 + c], center);
      centers[3 * n + c] = center;
    }
  }
  span.finite = zeros == T(0);
  return span;
}

template <class T>
void fill_triangle_leaves(const T* vertices, const int64_t* triangles, double scale, const uint64_t* keys,
                          int64_t count, T* leaves, int32_t* ids, T* boxes, int32_t* lowest, int64_t begin,
                          int64_t end) {
  const T infinity = static_cast<T>(__builtin_huge_val());
  for (int64_t leaf = begin; leaf < end; ++leaf) {
    const int64_t node = leaf / kBlock, lane = leaf % kBlock, first = leaf * kBlock;
    T* const box = boxes + node * 6 * kBlock;
    if (lane == 0) {  // a node's boxes where there are no children: nothing is inside
      std::fill(box, box + 3 * kBlock, infinity);
      std::fill(box + 3 * kBlock, box + 6 * kBlock, -infinity);
      std::fill(lowest + node * kBlock, lowest + (node + 1) * kBlock, kNoPoint);
    }
    T* const x = leaves + leaf * kTriangleRow;
    int32_t* const id = ids + first;
    std::fill(x, x + kTriangleRow, infinity);
    std::fill(id, id + kBlock, kNoPoint);
    const int64_t filled = std::max<int64_t>(0, std::min(kBlock, count - first));
    for (int64_t i = 0; i < filled; ++i) id[i] = static_cast<int32_t>(keys[first + i] & 0xffffffffu);
    std::sort(id, id + filled);
    T least[3] = {infinity, infinity, infinity}, greatest[3] = {-infinity, -infinity, -infinity};
    for (int64_t i = 0; i < filled; ++i) {
      double corners[3][3], place[3];
      for (int corner = 0; corner < 3; ++corner) {
        const T* const v = vertices + 3 * triangles[3 * int64_t(id[i]) + corner];
        for (int c = 0; c < 3; ++c) corners[corner][c] = static_cast<double>(scaled_vertex(v[c], scale));
      }
      sort_corners(corners, place);
      for (int corner = 0; corner < 3; ++corner) {
        for (int c = 0; c < 3; ++c) {
          const T value = static_cast<T>(corners[corner][c]);
          x[(3 * corner + c) * kBlock + i] = value;
          least[c] = std::min(least[c], value);
          greatest[c] = std::max(greatest[c], value);
        }
      }
    }
    for (int c = 0; c < 3; ++c) {
      box[c * kBlock + lane] = least[c];
      box[(3 + c) * kBlock + lane] = greatest[c];
    }
    lowest[node * kBlock + lane] = id[0];
  }
}

#define TWODASL_INSTANTIATE(T)                                                                                       \
  template TriangleSpan<T> triangle_centers<T>(const T*, const int64_t*, T*, int64_t, int64_t);                      \
  template void fill_triangle_leaves<T>(const T*, const int64_t*, double, const uint64_t*, int64_t, T*, int32_t*, T*, \
                                        int32_t*, int64_t, int64_t);
TWODASL_INSTANTIATE(float)
TWODASL_INSTANTIATE(double)

}  // namespace twodasl::cpu
