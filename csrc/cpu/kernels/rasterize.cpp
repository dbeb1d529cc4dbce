// Compiled without contraction of a * b + c: a shared edge must give the same number in every loop below.
#include "rasterize.h"

#include <algorithm>

#include "../../common/triangle.h"

namespace twodasl::cpu {

bool indices_inside(const int64_t* indices, int64_t count, int64_t vertices) {
  int64_t signs = 0;  // the sign bit collects every index below 0 or above the last
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t beyond = static_cast<uint64_t>(vertices - 1) - static_cast<uint64_t>(indices[i]);
    signs |= indices[i] | static_cast<int64_t>(beyond);
  }
  return signs >= 0;
}

template <class T>
bool all_finite(const T* values, int64_t count) {
  constexpr int kLanes = 8;
  T zeros[kLanes] = {};  // 0 * infinity and 0 * NaN are NaN, and stay
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int j = 0; j < kLanes; ++j) zeros[j] += values[i + j] * T(0);
  }
  for (; i < count; ++i) zeros[0] += values[i] * T(0);
  T total = T(0);
  for (int j = 0; j < kLanes; ++j) total += zeros[j];
  return total == T(0);
}

template bool all_finite<float>(const float*, int64_t);
template bool all_finite<double>(const double*, int64_t);

namespace {

// The columns of a row, of those given, in which the triangle is: along a row an edge's number only rises or only
// falls, after every rounding too, so the columns on its inner side are those from one end up to some column.
struct Columns {
  int64_t first, last;  // none: first > last

  void keep_inside(const Edge& edge, double y) {
    const auto holds = [&](int64_t column) { return edge.holds(edge.value(static_cast<double>(column), y)); };
    const bool at_first = holds(first), at_last = holds(last);
    if (at_first && at_last) return;
    if (!at_first && !at_last) {
      last = first - 1;
      return;
    }
    int64_t inside = at_first ? first : last, outside = at_first ? last : first;
    while (inside - outside > 1 || outside - inside > 1) {
      const int64_t middle = (inside + outside) / 2;
      (holds(middle) ? inside : outside) = middle;
    }
    (at_first ? last : first) = inside;
  }
};

// Whether no edge function overflows: it could become NaN, which is not monotonic.
template <class T>
bool is_tame(const T* a, const T* b, const T* c) {
  if constexpr (sizeof(T) == 4) return true;
  const double largest = 1e150;
  for (const T* p : {a, b, c}) {
    for (int i = 0; i < 2; ++i) {
      if (!(p[i] < largest && p[i] > -largest)) return false;
    }
  }
  return true;
}

}  // namespace

template <class T>
void rasterize_begin(const RasterizeParams<T>& params, int64_t image, int64_t row_begin, int64_t row_end,
                     double* nearest) {
  const int64_t pixels = (row_end - row_begin) * params.width;
  int64_t* index = params.index + (image * params.height + row_begin) * params.width;
  std::fill(nearest, nearest + pixels, -__builtin_huge_val());
  std::fill(index, index + pixels, int64_t(-1));
}

template <class T>
int64_t rasterize_triangles(const RasterizeParams<T>& params, int64_t image, int64_t row_begin, int64_t row_end,
                            int64_t first, double* nearest) {
  constexpr int64_t kPixels = 1 << 24, kWide = 64;  // wide: a search for the ends of a row takes less than the row
  const int64_t width = params.width;
  const T* vertices = params.vertices + image * params.vertices_count * 3;
  int64_t* index = params.index + (image * params.height + row_begin) * width;
  int64_t n = first;
  for (int64_t asked = 0; n < params.triangles_count && asked < kPixels; ++n) {
    const int64_t* corner = params.triangles + 3 * n;
    const T* a = vertices + 3 * corner[0];
    const T* b = vertices + 3 * corner[1];
    const T* c = vertices + 3 * corner[2];
    const int64_t row0 = first_pixel(least(a[1], least(b[1], c[1])), row_begin, row_end - 1);
    const int64_t row1 = last_pixel(most(a[1], most(b[1], c[1])), row_begin, row_end - 1);
    const int64_t column0 = first_pixel(least(a[0], least(b[0], c[0])), int64_t(0), width - 1);
    const int64_t column1 = last_pixel(most(a[0], most(b[0], c[0])), int64_t(0), width - 1);
    ++asked;
    if (row0 > row1 || column0 > column1) continue;
    asked += (row1 - row0 + 1) * (column1 - column0 + 1);
    Triangle t;
    if (!set_up(a, b, c, t)) continue;
    const bool wide = column1 - column0 >= kWide && is_tame(a, b, c);
    for (int64_t row = row0; row <= row1; ++row) {
      double* depths = nearest + (row - row_begin) * width;
      int64_t* indices = index + (row - row_begin) * width;
      const double y = static_cast<double>(row);
      if (wide) {
        Columns columns{column0, column1};
        for (int i = 0; i < 3 && columns.first <= columns.last; ++i) columns.keep_inside(t.edge[i], y);
        for (int64_t column = columns.first; column <= columns.last; ++column) {
          double w1, w2;
          t.weights(static_cast<double>(column), y, w1, w2);
          const double z = t.depth(w1, w2);
          const bool nearer = z > depths[column];
          depths[column] = nearer ? z : depths[column];
          indices[column] = nearer ? n : indices[column];
        }
        continue;
      }
      for (int64_t column = column0; column <= column1; ++column) {
        double w1, w2;
        if (!t.covers(static_cast<double>(column), y, w1, w2)) continue;
        const double z = t.depth(w1, w2);
        if (z > depths[column]) {
          depths[column] = z;
          indices[column] = n;
        }
      }
    }
  }
  return n;
}

template <class T>
void rasterize_end(const RasterizeParams<T>& params, int64_t image, int64_t row_begin, int64_t row_end,
                   const double* nearest) {
  const int64_t width = params.width, offset = (image * params.height + row_begin) * width;
  const T* vertices = params.vertices + image * params.vertices_count * 3;
  const int64_t* index = params.index + offset;
  // Weights are written once per pixel, for the triangle that won.
  T* depth = params.depth + offset;
  T* barycentrics = params.barycentrics + 3 * offset;
  for (int64_t row = row_begin; row < row_end; ++row) {
    for (int64_t column = 0; column < width; ++column) {
      const int64_t i = (row - row_begin) * width + column;
      depth[i] = static_cast<T>(nearest[i]);
      T* weights = barycentrics + 3 * i;
      if (index[i] < 0) {
        weights[0] = weights[1] = weights[2] = T(0);
        continue;
      }
      const int64_t* corner = params.triangles + 3 * index[i];
      Triangle t{};
      set_up(vertices + 3 * corner[0], vertices + 3 * corner[1], vertices + 3 * corner[2], t);
      double w1, w2;
      t.weights(static_cast<double>(column), static_cast<double>(row), w1, w2);
      weights[0] = static_cast<T>(1.0 - w1 - w2);
      weights[1] = static_cast<T>(w1);
      weights[2] = static_cast<T>(w2);
    }
  }
}

#define TWODASL_INSTANTIATE(T)                                                                                \
  template void rasterize_begin<T>(const RasterizeParams<T>&, int64_t, int64_t, int64_t, double*);            \
  template int64_t rasterize_triangles<T>(const RasterizeParams<T>&, int64_t, int64_t, int64_t, int64_t, double*); \
  template void rasterize_end<T>(const RasterizeParams<T>&, int64_t, int64_t, int64_t, const double*);
TWODASL_INSTANTIATE(float)
TWODASL_INSTANTIATE(double)

}  // namespace twodasl::cpu
