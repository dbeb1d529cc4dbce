// rasterize: the nearest triangle at every pixel.
//
// Pixel (row, column) is sampled at the point x = column, y = row. A pixel is inside a triangle when it lies on
// the inner side of its three edges. The edge functions are evaluated in double precision from the edge's end
// points in one order (the smaller (y, x) first), whichever triangle asks: the two triangles of a shared edge get
// the same number, and exactly one of them takes the pixel. A pixel exactly on an edge goes to the triangle on the
// side of smaller x (of larger y, along a horizontal edge), as if the sample lay an infinitesimal step there.
// Triangles of either orientation are drawn. The largest z wins; of equal ones the lower triangle index.
#pragma once

#include "../../common/params.h"

namespace twodasl::cpu {

// Checks that keep a kernel from reading outside the vertices; they run at memory speed, without branches.
bool indices_inside(const int64_t* indices, int64_t count, int64_t vertices);
template <class T>
bool all_finite(const T* values, int64_t count);

// Rows [row_begin, row_end) of image `image`: what follows, one after the other. `nearest` is scratch for
// (row_end - row_begin) * width doubles. Every pixel depends on its own triangles alone, so the split into rows does
// not change the result.
template <class T>
void rasterize_begin(const RasterizeParams<T>& params, int64_t image, int64_t row_begin, int64_t row_end,
                     double* nearest);

// Draws triangles from `first` on for a fraction of a second, and returns the next one to draw.
template <class T>
int64_t rasterize_triangles(const RasterizeParams<T>& params, int64_t image, int64_t row_begin, int64_t row_end,
                            int64_t first, double* nearest);

// Depths, and the weights of the triangles that stayed.
template <class T>
void rasterize_end(const RasterizeParams<T>& params, int64_t image, int64_t row_begin, int64_t row_end,
                   const double* nearest);

}  // namespace twodasl::cpu
