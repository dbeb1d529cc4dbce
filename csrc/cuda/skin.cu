// skin, forward and backward to the vertices: a thread takes one vertex of several faces, whose weights it reads once. A
// block's rows of weights and the transforms of a few joints go through shared memory: rows are read as they lie in
// memory, and a transform by all threads at once. A joint adds w (R v + t) to a vertex; one without weight adds nothing.
#include "skin.h"

#include "grid.h"

namespace twodasl::cuda {

namespace {

constexpr int kSkinThreads = 128;  // and vertices
constexpr int kFaces = 4;      // of a thread
constexpr int kJoints = 16;    // in shared memory at a time

// output = sum_j w (R_j v + t_j), or with `Back` sum_j w R_j^T v.
template <bool Back, class T>
__global__ void __launch_bounds__(kSkinThreads)
    blend_kernel(GradView<T> input, const T* weights, const T* transforms, T* output, int64_t batch, int64_t count,
                 int64_t joints, int64_t tiles) {
  TWODASL_SHARED(T, rows, kSkinThreads * (kJoints + 1));  // one more, so that a warp's rows begin in different banks
  TWODASL_SHARED(T, turns, kFaces * kJoints * 12);
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t first = blockIdx.x % tiles * kSkinThreads, face = blockIdx.x / tiles * kFaces, n = first + thread;
  const int64_t left = batch - face;
  const int faces = static_cast<int>(left < kFaces ? left : kFaces);
  T v[kFaces][3], sums[kFaces][3];
#pragma unroll
  for (int f = 0; f < kFaces; ++f) {
#pragma unroll
    for (int c = 0; c < 3; ++c) {
      const bool real = f < faces && n < count;
      v[f][c] = real ? input.data[(face + f) * input.stride[0] + n * input.stride[1] + c * input.stride[2]] : T(0);
      sums[f][c] = T(0);
    }
  }
  for (int64_t joint = 0; joint < joints; joint += kJoints) {
    const int some = static_cast<int>(joints - joint < kJoints ? joints - joint : kJoints);
    __syncthreads();
    for (int i = thread; i < kSkinThreads * kJoints; i += kSkinThreads) {
      const int row = i / kJoints, j = i % kJoints;
      const bool real = first + row < count && j < some;
      rows[row * (kJoints + 1) + j] = real ? weights[(first + row) * joints + joint + j] : T(0);
    }
    for (int i = thread; i < faces * some * 12; i += kSkinThreads) {
      const int f = i / (some * 12), k = i % (some * 12);
      turns[f * kJoints * 12 + k] = transforms[((face + f) * joints + joint) * 12 + k];
    }
    __syncthreads();
    for (int j = 0; j < some; ++j) {
      const T w = rows[thread * (kJoints + 1) + j];
      if (w == T(0)) continue;
#pragma unroll
      for (int f = 0; f < kFaces; ++f) {
        if (f >= faces) continue;
        const T* const m = &turns[(f * kJoints + j) * 12];
        const T x = w * v[f][0], y = w * v[f][1], z = w * v[f][2];
#pragma unroll
        for (int r = 0; r < 3; ++r) {
          if constexpr (Back) {
            sums[f][r] = fma(m[r], x, fma(m[4 + r], y, fma(m[8 + r], z, sums[f][r])));
          } else {
            sums[f][r] = fma(m[4 * r], x, fma(m[4 * r + 1], y, fma(m[4 * r + 2], z, fma(m[4 * r + 3], w, sums[f][r]))));
          }
        }
      }
    }
  }
  if (n >= count) return;
#pragma unroll
  for (int f = 0; f < kFaces; ++f) {
    if (f >= faces) continue;
#pragma unroll
    for (int c = 0; c < 3; ++c) output[((face + f) * count + n) * 3 + c] = sums[f][c];
  }
}

template <bool Back, class T>
Error blend(const GradView<T>& input, const T* weights, const T* transforms, T* output, int64_t batch, int64_t count,
            int64_t joints, void* stream) {
  const int64_t tiles = divide_up(count, kSkinThreads);
  return launch(&blend_kernel<Back, T>, static_cast<unsigned>(tiles * divide_up(batch, kFaces)), kSkinThreads, 0,
                stream, input, weights, transforms, output, batch, count, joints, tiles);
}

}  // namespace

template <class T>
Error launch_skin(const SkinParams<T>& params, void* stream) {
  const GradView<T> vertices{params.vertices, {params.count * 3, 3, 1}};
  return blend<false>(vertices, params.weights, params.transforms, params.output, params.batch, params.count,
                      params.joints, stream);
}

template <class T>
Error launch_skin_sums(const SkinBackwardParams<T>& params, void* stream);  // skin_sums.cu

template <class T>
Error launch_skin_backward(const SkinBackwardParams<T>& params, void* stream) {
  if (params.grad_vertices != nullptr) {
    const Error error = blend<true>(params.grad, params.weights, params.transforms, params.grad_vertices, params.batch,
                                    params.count, params.joints, stream);
    if (error != nullptr) return error;
  }
  return params.grad_transforms != nullptr ? launch_skin_sums(params, stream) : nullptr;
}

template Error launch_skin(const SkinParams<float>&, void*);
template Error launch_skin(const SkinParams<double>&, void*);
template Error launch_skin_backward(const SkinBackwardParams<float>&, void*);
template Error launch_skin_backward(const SkinBackwardParams<double>&, void*);

}  // namespace twodasl::cuda
