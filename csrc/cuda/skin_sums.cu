// skin, backward to the transforms, a sum over the vertices, and to the weights, a sum over the faces. The lanes of a warp
// are joints: a lane keeps its joint's numbers in registers, the lanes read neighboring weights, and a vertex is the same
// for all of them. So no sum crosses lanes.
#include "grid.h"
#include "skin.h"

namespace twodasl::cuda {

namespace {

constexpr int kSumThreads = 128, kSumWarps = kSumThreads / kWarp;
constexpr int kVertices = 8;  // of a warp, for the gradient of the weights
constexpr int kTile = kSumWarps * kVertices;

// x, y, z of the gradient and of the vertex, of one face and `Count` vertices from `first` on: (Count, 6), zeros past the
// last vertex.
template <int Count, class T>
__device__ __forceinline__ void stage(const GradView<T>& grad, const T* vertices, int64_t face, int64_t first,
                                      int64_t count, T* points) {
  for (int i = static_cast<int>(threadIdx.x); i < Count * 3; i += kSumThreads) {
    const int at = i / 3, c = i % 3;
    const int64_t n = first + at;
    const bool real = n < count;
    points[at * 6 + c] = real ? grad.data[face * grad.stride[0] + n * grad.stride[1] + c * grad.stride[2]] : T(0);
    points[at * 6 + 3 + c] = real ? vertices[(face * count + n) * 3 + c] : T(0);
  }
}

// partial[part][face][joint] = sum over a part of w g v^T | w g.
template <class T>
__global__ void __launch_bounds__(kSumThreads) sum_kernel(SkinBackwardParams<T> params, int64_t chunks) {
  TWODASL_SHARED(T, points, kSumThreads * 6);
  TWODASL_SHARED(T, found, kSumWarps * kWarp * 12);
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t chunk = blockIdx.x % chunks, face = blockIdx.x / chunks % params.batch;
  const int64_t part = blockIdx.x / chunks / params.batch, joint = chunk * kWarp + lane;
  T sums[12] = {};
  for (int64_t first = part * kSkinPart; first < (part + 1) * kSkinPart; first += kSumThreads) {
    __syncthreads();
    stage<kSumThreads>(params.grad, params.vertices, face, first, params.count, &points[0]);
    __syncthreads();
    if (joint >= params.joints) continue;
    for (int at = warp; at < kSumThreads && first + at < params.count; at += kSumWarps) {
      const T w = params.weights[(first + at) * params.joints + joint];
      if (w == T(0)) continue;
      const T* const point = &points[at * 6];
#pragma unroll
      for (int r = 0; r < 3; ++r) {
        const T pull = w * point[r];
#pragma unroll
        for (int c = 0; c < 3; ++c) sums[4 * r + c] = fma(pull, point[3 + c], sums[4 * r + c]);
        sums[4 * r + 3] += pull;
      }
    }
  }
#pragma unroll
  for (int k = 0; k < 12; ++k) found[(warp * kWarp + lane) * 12 + k] = sums[k];
  __syncthreads();
  const int64_t left = params.joints - chunk * kWarp;
  const int numbers = 12 * static_cast<int>(left < kWarp ? left : kWarp);
  T* const partial = params.partial + ((part * params.batch + face) * params.joints + chunk * kWarp) * 12;
  for (int i = static_cast<int>(threadIdx.x); i < numbers; i += kSumThreads) {
    T total = found[i];
#pragma unroll
    for (int other = 1; other < kSumWarps; ++other) total += found[other * kWarp * 12 + i];
    partial[i] = total;
  }
}

template <class T>
__global__ void __launch_bounds__(kSumThreads) reduce_kernel(const T* partial, T* output, int64_t parts,
                                                             int64_t numbers) {
  const int64_t i = int64_t(blockIdx.x) * kSumThreads + threadIdx.x;
  if (i >= numbers) return;
  double total = 0.0;
#pragma unroll 8
  for (int64_t part = 0; part < parts; ++part) total += static_cast<double>(partial[part * numbers + i]);
  output[i] = static_cast<T>(total);
}

// grad w[n, j] = sum_b g . (R_j v + t_j), of 32 vertices and 32 joints.
template <class T>
__global__ void __launch_bounds__(kSumThreads) weights_kernel(SkinWeightsParams<T> params, int64_t chunks) {
  TWODASL_SHARED(T, points, kTile * 6);
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t first = blockIdx.x / chunks * kTile, joint = blockIdx.x % chunks * kWarp + lane;
  T sums[kVertices] = {};
  for (int64_t face = 0; face < params.batch; ++face) {
    __syncthreads();
    stage<kTile>(params.grad, params.vertices, face, first, params.count, &points[0]);
    __syncthreads();
    if (joint >= params.joints) continue;
    const T* const from = params.transforms + (face * params.joints + joint) * 12;
    T m[12];
#pragma unroll
    for (int k = 0; k < 12; ++k) m[k] = from[k];
#pragma unroll
    for (int i = 0; i < kVertices; ++i) {
      const T* const point = &points[(warp * kVertices + i) * 6];
#pragma unroll
      for (int r = 0; r < 3; ++r) {
        const T moved = fma(m[4 * r], point[3], fma(m[4 * r + 1], point[4], fma(m[4 * r + 2], point[5], m[4 * r + 3])));
        sums[i] = fma(point[r], moved, sums[i]);
      }
    }
  }
  if (joint >= params.joints) return;
#pragma unroll
  for (int i = 0; i < kVertices; ++i) {
    const int64_t n = first + warp * kVertices + i;
    if (n < params.count) params.grad_weights[n * params.joints + joint] = sums[i];
  }
}

}  // namespace

// The second half of launch_skin_backward(), see skin.cu.
template <class T>
Error launch_skin_sums(const SkinBackwardParams<T>& params, void* stream) {
  const int64_t chunks = divide_up(params.joints, kWarp), parts = skin_parts(params.count);
  const Error error = launch(&sum_kernel<T>, static_cast<unsigned>(parts * params.batch * chunks), kSumThreads, 0,
                             stream, params, chunks);
  if (error != nullptr) return error;
  const int64_t numbers = params.batch * params.joints * 12;
  return launch(&reduce_kernel<T>, static_cast<unsigned>(divide_up(numbers, kSumThreads)), kSumThreads, 0, stream,
                params.partial, params.grad_transforms, parts, numbers);
}

template <class T>
Error launch_skin_backward_weights(const SkinWeightsParams<T>& params, void* stream) {
  const int64_t chunks = divide_up(params.joints, kWarp);
  return launch(&weights_kernel<T>, static_cast<unsigned>(divide_up(params.count, kTile) * chunks), kSumThreads, 0,
                stream, params, chunks);
}

template Error launch_skin_sums(const SkinBackwardParams<float>&, void*);
template Error launch_skin_sums(const SkinBackwardParams<double>&, void*);
template Error launch_skin_backward_weights(const SkinWeightsParams<float>&, void*);
template Error launch_skin_backward_weights(const SkinWeightsParams<double>&, void*);

}  // namespace twodasl::cuda
