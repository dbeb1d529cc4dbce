// importance_weights: a block takes one face and passes over the landmarks' modes twice, the second time out of the
// first-level cache (48 KB for 68 landmarks and 50 modes in float32).
//
// The CPU reduces every mode to six numbers once and turns those by each face's pose. Here that would be a launch of
// its own, or the same work in every block; turning the mode's landmarks themselves costs 12 L multiply-adds a mode,
// which a multiprocessor does in the time that reading the modes takes, and is as safe from cancellation.
#include "importance_weights.h"

#include "pack.h"
#include "reduce.h"

namespace twodasl::cuda {

namespace {

constexpr int kWeightThreads = 480;  // ten vertex blocks' rows of 48: a thread's component of x, y, z never changes
constexpr int kModeLanes = 8;        // of a warp share one mode
constexpr int64_t kInShared = 2048;  // weights kept in shared memory; the rest are kept in the result

__device__ __forceinline__ float root(float x) { return sqrtf(x); }
__device__ __forceinline__ double root(double x) { return sqrt(x); }
template <class T>
__device__ __forceinline__ T magnitude(T x) { return x < T(0) ? -x : x; }

// || M m_k ||^2 over this lane's share of the landmarks, for `Rows` rows of M.
template <int Rows, class T>
__device__ __forceinline__ T turned_square(const T* mode, int64_t blocks, int64_t block_stride, const T (&m)[9],
                                           int lane) {
  constexpr int kPack = kWide<T>, kRowLanes = int(kBlock) / kPack;
  T total = T(0);
  const int64_t step = kModeLanes / kRowLanes;
  mode += lane % kRowLanes * kPack;
#pragma unroll 2
  for (int64_t block = lane / kRowLanes; block < blocks; block += step) {
    const T* row = mode + block * block_stride;
    const Wide<T> x = load_pack<kPack>(row), y = load_pack<kPack>(row + kBlock), z = load_pack<kPack>(row + 2 * kBlock);
#pragma unroll
    for (int i = 0; i < kPack; ++i) {
#pragma unroll
      for (int r = 0; r < Rows; ++r) {
        const T turned = fma(m[3 * r], x.value[i], fma(m[3 * r + 1], y.value[i], m[3 * r + 2] * z.value[i]));
        total = fma(turned, turned, total);
      }
    }
  }
  return sum_lanes<kModeLanes>(total);
}

// Squared norms of the target shape's x, y and z over the landmarks, into squares[3]. Few landmarks leave threads free:
// those share the modes of a number. `sums` has room for one number a thread. Ends without a barrier.
template <class T>
__device__ __forceinline__ void shape_squares(const ImportanceWeightsParams<T>& params, const T* target, T* sums,
                                              T* squares) {
  const int64_t modes_count = params.basis.modes_count, blocks = block_count(params.basis.vertices);
  const int thread = static_cast<int>(threadIdx.x);
  const int together = static_cast<int>(blocks < kWeightThreads / kBlockRow ? blocks : kWeightThreads / kBlockRow);
  const int numbers = together * int(kBlockRow), slices = numbers > 0 ? kWeightThreads / numbers : 0;
  const int number = numbers > 0 ? thread % numbers : 0, slice = numbers > 0 ? thread / numbers : 0;
  const int64_t begin = modes_count * slice / (slices > 0 ? slices : 1);
  const int64_t end = slice < slices ? modes_count * (slice + 1) / slices : begin;
  T square = T(0);
  for (int64_t first = 0; first < blocks; first += together) {
    const int64_t block = first + number / kBlockRow;
    T sum = T(0);
    if (block < blocks) {
      const T* mode = params.basis.modes + block * modes_count * kBlockRow + number % kBlockRow;
#pragma unroll 8
      for (int64_t k = begin; k < end; ++k) sum = fma(target[12 + k], mode[k * kBlockRow], sum);
    }
    sums[thread] = sum;
    __syncthreads();
    if (slice == 0 && block < blocks) {
      T shape = params.basis.mean[block * kBlockRow + number % kBlockRow];
      for (int s = 0; s < slices; ++s) shape += sums[s * numbers + number];
      square = fma(shape, shape, square);
    }
    __syncthreads();
  }
  sums[thread] = square;
  __syncthreads();
  const int component = thread / kWarp, lane = thread % kWarp;
  if (component >= 3) return;
  T total = T(0);
  for (int i = lane; i < numbers / 3; i += kWarp) {
    total += sums[i / kBlock * kBlockRow + component * kBlock + i % kBlock];
  }
  total = sum_lanes<kWarp>(total);
  if (lane == 0) squares[component] = total;
}

template <int Rows, class T>
__global__ void __launch_bounds__(kWeightThreads) importance_kernel(ImportanceWeightsParams<T> params) {
  TWODASL_SHARED(T, sums, kWeightThreads);
  TWODASL_SHARED(T, squares, 3);
  TWODASL_SHARED(double, totals, kWeightThreads / kWarp);
  TWODASL_SHARED(T, waiting, kInShared);
  const int64_t modes_count = params.basis.modes_count, width = 12 + modes_count, face = blockIdx.x;
  const int64_t blocks = block_count(params.basis.vertices);
  const T* predicted = params.predicted + face * width;
  const T* target = params.target + face * width;
  T* output = params.output + face * width;
  T* const weights = width <= kInShared ? waiting : output;
  const int thread = static_cast<int>(threadIdx.x);

  T m[9];
#pragma unroll
  for (int i = 0; i < 9; ++i) m[i] = target[i / 3 * 4 + i % 3];
  // Whole warps stay in the loop, since lanes add up; what is past the last mode reads none.
  for (int64_t first = 0; first < modes_count; first += kWeightThreads / kModeLanes) {
    const int64_t k = first + thread / kModeLanes;
    const bool real = k < modes_count;
    const T square = turned_square<Rows>(params.basis.modes + (real ? k : 0) * kBlockRow, real ? blocks : 0,
                                         modes_count * kBlockRow, m, thread % kModeLanes);
    if (real && thread % kModeLanes == 0) {
      weights[12 + k] = magnitude(predicted[12 + k] - target[12 + k]) * root(square);
    }
  }
  shape_squares(params, target, &sums[0], &squares[0]);
  __syncthreads();
  if (thread < 12) {
    // || dH / dM_rc || is the norm of the target shape's component c, whatever the row; of t_r, sqrt(L). Nothing in an
    // image determines depth: in the plane the whole third row gets weight 0, in space t_z alone.
    const int c = thread % 4;
    const T norm = root(c < 3 ? squares[c < 3 ? c : 0] : static_cast<T>(params.basis.vertices));
    const bool counts = thread < (params.planar ? 8 : 11);
    weights[thread] = counts ? magnitude(predicted[thread] - target[thread]) * norm : T(0);
  }
  __syncthreads();

  double whole = 0.0;
  if (params.by_maximum) {
    // A NaN reaches every weight instead of disappearing.
    const auto larger = [](double a, double b) { return b > a || b != b ? b : a; };
    for (int64_t i = thread; i < width; i += kWeightThreads) whole = larger(whole, static_cast<double>(weights[i]));
    whole = combine_block<kWeightThreads>(whole, &totals[0], larger) + 1e-6;
  } else {
    for (int64_t i = thread; i < width; i += kWeightThreads) whole += static_cast<double>(weights[i]);
    whole = combine_block<kWeightThreads>(whole, &totals[0], [](double a, double b) { return a + b; });
  }
  // A perfect prediction has zero weights, not zero over zero.
  const T scale = whole == 0.0 ? T(0) : static_cast<T>(1.0 / whole);
  for (int64_t i = thread; i < width; i += kWeightThreads) output[i] = weights[i] * scale;
}

}  // namespace

template <class T>
Error launch_importance_weights(const ImportanceWeightsParams<T>& params, void* stream) {
  const auto kernel = params.planar ? &importance_kernel<2, T> : &importance_kernel<3, T>;
  return launch(kernel, static_cast<unsigned>(params.batch), kWeightThreads, 0, stream, params);
}

template Error launch_importance_weights(const ImportanceWeightsParams<float>&, void*);
template Error launch_importance_weights(const ImportanceWeightsParams<double>&, void*);

}  // namespace twodasl::cuda
