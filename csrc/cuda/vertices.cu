// vertices, forward: a thread holds one vertex of a tile of faces, the pose is applied in registers.
#include "vertices.h"

#include "number.h"

namespace twodasl::cuda {

namespace {

constexpr int kThreads = 128;

template <int Faces, class T, class S>
__global__ void __launch_bounds__(kThreads) vertices_kernel(VerticesParams<T, S> params) {
  T* const coefficients = dynamic_shared<T>();  // (K, Faces)
  const int64_t first_face = int64_t(blockIdx.y) * Faces, modes_count = params.basis.modes_count;
  const int64_t faces = params.batch - first_face < Faces ? params.batch - first_face : Faces;
  for (int64_t i = threadIdx.x; i < modes_count * Faces; i += kThreads) {
    const int64_t k = i / Faces, f = i % Faces;
    coefficients[i] = f < faces ? params.coefficients[(first_face + f) * modes_count + k] : T(0);
  }
  __syncthreads();
  const int64_t vertex = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (vertex >= params.basis.vertices) return;
  const int64_t block = vertex / kBlock, lane = vertex % kBlock;
  T shape[Faces][3];
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    const T mean = params.basis.mean[block * kBlockRow + c * kBlock + lane];
#pragma unroll
    for (int f = 0; f < Faces; ++f) shape[f][c] = mean;
  }
  const S* mode = params.basis.modes + block * modes_count * kBlockRow + lane;
  for (int64_t k = 0; k < modes_count; ++k, mode += kBlockRow) {
    const T x = widen(mode[0]), y = widen(mode[kBlock]), z = widen(mode[2 * kBlock]);
#pragma unroll
    for (int f = 0; f < Faces; ++f) {
      const T c = coefficients[k * Faces + f];
      shape[f][0] = fma(c, x, shape[f][0]);
      shape[f][1] = fma(c, y, shape[f][1]);
      shape[f][2] = fma(c, z, shape[f][2]);
    }
  }
#pragma unroll
  for (int f = 0; f < Faces; ++f) {
    if (f >= faces) break;
    const T* pose = params.pose + 12 * (first_face + f);
    T* output = params.output + ((first_face + f) * params.basis.vertices + vertex) * 3;
#pragma unroll
    for (int r = 0; r < 3; ++r) {
      const T* row = pose + 4 * r;
      output[r] = fma(row[0], shape[f][0], fma(row[1], shape[f][1], fma(row[2], shape[f][2], row[3])));
    }
  }
}

}  // namespace

template <class T, class S>
Error launch_vertices(const VerticesParams<T, S>& params, void* stream) {
  constexpr int kFaces = 4;
  const dim3 grid(static_cast<unsigned>(divide_up(params.basis.vertices, kThreads)),
                  static_cast<unsigned>(divide_up(params.batch, kFaces)));
  const size_t shared = sizeof(T) * kFaces * static_cast<size_t>(params.basis.modes_count);
  return launch(&vertices_kernel<kFaces, T, S>, grid, kThreads, shared, stream, params);
}

template Error launch_vertices(const VerticesParams<float, float>&, void*);
template Error launch_vertices(const VerticesParams<double, double>&, void*);
template Error launch_vertices(const VerticesParams<float, BFloat16>&, void*);
template Error launch_vertices(const VerticesParams<float, Float16>&, void*);

}  // namespace twodasl::cuda
