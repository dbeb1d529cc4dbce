// rasterize: every triangle competes for its pixels, then every pixel writes the winner.
//
// A pixel's key is [depth rounded to float, as an ordered integer | triangle]. Rounding keeps the order, so keys of
// different upper halves are compared as they are; where those agree, the exact depth of the key's triangle is computed
// again and decides, and of equal depths the lower triangle. So the key that wins is the greatest in one total order,
// whatever the order of the triangles.
#include "rasterize.h"

#include <limits>

#include "../common/triangle.h"
#include "grid.h"

namespace twodasl::cuda {

namespace {

using Key = unsigned long long;  // 0: nothing yet

constexpr int kThreads = 256;
// Pixels of the box around a triangle up to which a thread draws it alone, and a warp. Beyond, the whole block does.
constexpr int64_t kAlone = 16, kWarpAlone = 4096;

template <class T>
struct Image {
  const T* vertices;         // (N, 3)
  const int64_t* triangles;  // (T, 3)
  Key* keys;                 // (H, W)
  int64_t width;

  __device__ bool triangle(int64_t n, Triangle& t) const {
    const int64_t* corner = triangles + 3 * n;
    return set_up(vertices + 3 * corner[0], vertices + 3 * corner[1], vertices + 3 * corner[2], t);
  }
};

// Pixels that a triangle may cover.
struct Box {
  int row0, row1, column0, column1;
  __device__ int64_t pixels() const {
    return row0 > row1 || column0 > column1 ? 0 : int64_t(row1 - row0 + 1) * (column1 - column0 + 1);
  }
};

template <class T>
__device__ Box box_of(const Image<T>& image, int64_t n, int height, int width) {
  const int64_t* corner = image.triangles + 3 * n;
  const T *a = image.vertices + 3 * corner[0], *b = image.vertices + 3 * corner[1], *c = image.vertices + 3 * corner[2];
  return {first_pixel(least(a[1], least(b[1], c[1])), 0, height - 1),
          last_pixel(most(a[1], most(b[1], c[1])), 0, height - 1),
          first_pixel(least(a[0], least(b[0], c[0])), 0, width - 1),
          last_pixel(most(a[0], most(b[0], c[0])), 0, width - 1)};
}

__device__ __forceinline__ unsigned ordered(float x) {
  const unsigned bits = __float_as_uint(x);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

// `t` is triangle n.
template <class T>
__device__ void offer(const Image<T>& image, Triangle& t, unsigned n, int row, int column) {
  double w1, w2;
  if (!t.covers(column, row, w1, w2)) return;
  const double z = plus(t.depth(w1, w2), 0.0);  // -0 becomes 0, which it equals
  if (!(z > -std::numeric_limits<double>::infinity())) return;
  const unsigned high = ordered(static_cast<float>(z));
  Key* const key = image.keys + (row * image.width + column);
  // Keys only grow: one that is read late still is below the last. Read where the atomics are, in the second-level cache.
  for (Key seen = __ldcg(key);;) {
    const unsigned seen_high = static_cast<unsigned>(seen >> 32), other = static_cast<unsigned>(seen);
    if (seen_high > high) return;
    if (seen_high == high) {
      // In the place of `t`, which comes back: registers for two would be lost to the many that meet no equal.
      image.triangle(other, t);
      t.weights(column, row, w1, w2);
      const double nearest = t.depth(w1, w2);
      image.triangle(n, t);
      if (nearest > z || (nearest == z && other < n)) return;
    }
    const Key before = atomicCAS(key, seen, Key(high) << 32 | n);
    if (before == seen) return;
    seen = before;
  }
}

template <class T>
__device__ __forceinline__ bool finite(T x) {
  return x <= std::numeric_limits<T>::max() && x >= std::numeric_limits<T>::lowest();
}

// Thread t of the blocks of an image has triangle t; all of them also check whether the vertices are finite.
// bad: (B + 1), then not zero: of each image, of the triangles.
template <class T>
__global__ void __launch_bounds__(kThreads) offer_kernel(RasterizeParams<T> params, Key* keys, Key* bad) {
  TWODASL_SHARED(int, waiting, 1);
  TWODASL_SHARED(unsigned, huge, kThreads);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp;
  const int height = static_cast<int>(params.height), width = static_cast<int>(params.width);
  const int64_t n = int64_t(blockIdx.x) * kThreads + thread;
  bool real = n < params.triangles_count;
  if (real) {
    for (int i = 0; i < 3; ++i) {
      const int64_t corner = params.triangles[3 * n + i];
      real = real && corner >= 0 && corner < params.vertices_count;
    }
    if (!real) bad[params.batch] = 1;
  }
  for (int64_t number = blockIdx.y; number < params.batch; number += gridDim.y) {
    const Image<T> image{params.vertices + number * params.vertices_count * 3, params.triangles,
                         keys + number * params.height * params.width, params.width};
    bool all_finite = true;
    for (int64_t i = n; i < 3 * params.vertices_count; i += int64_t(gridDim.x) * kThreads) {
      all_finite = all_finite && finite(image.vertices[i]);
    }
    if (!all_finite) bad[number] = 1;

    __syncthreads();  // until the last image's huge triangles are drawn
    if (thread == 0) waiting[0] = 0;
    __syncthreads();
    Box box{0, -1, 0, -1};
    if (real) box = box_of(image, n, height, width);
    const int64_t pixels = box.pixels();
    Triangle t;
    if (pixels > kWarpAlone) {
      huge[atomicAdd(&waiting[0], 1)] = static_cast<unsigned>(n);
    } else if (pixels > 0 && pixels <= kAlone && image.triangle(n, t)) {
      for (int row = box.row0; row <= box.row1; ++row) {
        for (int column = box.column0; column <= box.column1; ++column) {
          offer(image, t, static_cast<unsigned>(n), row, column);
        }
      }
    }
    const bool shared = pixels > kAlone && pixels <= kWarpAlone;
    for (unsigned left = __ballot_sync(kFullMask, shared); left != 0; left &= left - 1) {
      const int64_t m = n - lane + __ffs(static_cast<int>(left)) - 1;
      const Box around = box_of(image, m, height, width);
      const int columns = around.column1 - around.column0 + 1, count = static_cast<int>(around.pixels());
      if (!image.triangle(m, t)) continue;
      for (int pixel = lane; pixel < count; pixel += kWarp) {
        offer(image, t, static_cast<unsigned>(m), around.row0 + pixel / columns, around.column0 + pixel % columns);
      }
    }
    __syncthreads();
    for (int i = 0; i < waiting[0]; ++i) {
      const unsigned m = huge[i];
      const Box around = box_of(image, m, height, width);
      if (!image.triangle(m, t)) continue;
      for (int row = around.row0 + warp; row <= around.row1; row += kThreads / kWarp) {
        for (int column = around.column0 + lane; column <= around.column1; column += kWarp) {
          offer(image, t, m, row, column);
        }
      }
    }
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) write_kernel(RasterizeParams<T> params, const Key* keys, const Key* bad) {
  const int64_t pixels = params.height * params.width, pixel = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (pixel >= pixels) return;
  const int row = static_cast<int>(pixel / params.width), column = static_cast<int>(pixel % params.width);
  for (int64_t number = blockIdx.y; number < params.batch; number += gridDim.y) {
    const int64_t place = number * pixels + pixel;
    const Key key = keys[place];
    const bool spoiled = (bad[number] | bad[params.batch]) != 0;
    int64_t index = -1;
    T depth = -std::numeric_limits<T>::infinity(), weights[3] = {T(0), T(0), T(0)};
    if (spoiled) {
      depth = weights[0] = weights[1] = weights[2] = std::numeric_limits<T>::quiet_NaN();
    } else if (key != 0) {
      const Image<T> image{params.vertices + number * params.vertices_count * 3, params.triangles, nullptr,
                           params.width};
      index = static_cast<int64_t>(static_cast<unsigned>(key));
      Triangle t{};
      image.triangle(index, t);
      double w1, w2;
      t.weights(column, row, w1, w2);
      depth = static_cast<T>(t.depth(w1, w2));
      weights[0] = static_cast<T>(minus(minus(1.0, w1), w2));
      weights[1] = static_cast<T>(w1);
      weights[2] = static_cast<T>(w2);
    }
    params.index[place] = index;
    params.depth[place] = depth;
#pragma unroll
    for (int i = 0; i < 3; ++i) params.barycentrics[3 * place + i] = weights[i];
  }
}

constexpr int64_t kMostRows = 65535;  // of a grid

// Blocks in y, each for some of the images: enough for the GPU, few enough that a thread keeps its triangle.
unsigned image_rows(int64_t batch, int64_t columns) {
  const int64_t wanted = divide_up(32 * int64_t(multiprocessors()), columns), rows = wanted < batch ? wanted : batch;
  return static_cast<unsigned>(rows < kMostRows ? rows : kMostRows);
}

}  // namespace

template <class T>
Error launch_rasterize(const RasterizeParams<T>& params, int64_t* scratch, void* stream) {
  const int64_t pixels = params.height * params.width;
  if (params.batch * pixels == 0) return nullptr;
  Key* const keys = reinterpret_cast<Key*>(scratch);
  Key* const bad = keys + params.batch * pixels;
  const size_t bytes = sizeof(Key) * static_cast<size_t>(rasterize_scratch(params.batch, params.height, params.width));
  if (const Error error = clear(scratch, 0, bytes, stream)) return error;
  // With few triangles and many vertices, no thread checks more than a few numbers.
  constexpr int64_t kNumbers = 8;
  const int64_t for_triangles = divide_up(params.triangles_count, kThreads);
  const int64_t for_vertices = divide_up(3 * params.vertices_count, kThreads * kNumbers);
  const int64_t columns = for_triangles > for_vertices ? for_triangles : for_vertices;
  if (columns > 0) {
    const dim3 grid(static_cast<unsigned>(columns), image_rows(params.batch, columns));
    if (const Error error = launch(&offer_kernel<T>, grid, kThreads, 0, stream, params, keys, bad)) return error;
  }
  const int64_t written = divide_up(pixels, kThreads);
  const dim3 grid(static_cast<unsigned>(written), image_rows(params.batch, written));
  return launch(&write_kernel<T>, grid, kThreads, 0, stream, params, keys, bad);
}

template Error launch_rasterize(const RasterizeParams<float>&, int64_t*, void*);
template Error launch_rasterize(const RasterizeParams<double>&, int64_t*, void*);

}  // namespace twodasl::cuda
