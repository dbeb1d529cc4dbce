// skin, backward to the weights: grad w[n, j] = sum_b g . (R_j v + t_j) = sum_b <R_j | t_j, g v^T | g>, a product of the
// vertices' twelve numbers with the joints' transforms, for each block of vertices summed over the faces in order.
#pragma once

#include "gradient-inl.h"
#include "skin.h"

namespace twodasl::cpu::TWODASL_LEVEL {

// The twelve numbers of a block of one face: (12, 16).
template <class T>
void outer_products(const SkinWeightsParams<T>& params, int64_t face, int64_t vertex, T* products) {
  const GradView<T> vertices{params.vertices, {params.count * 3, 3, 1}};
  for (int lane = 0; lane < kBlock; lane += Vec<T>::lanes) {
    Vec<T> g[3], v[3];
    load_grad(params.grad, face, vertex + lane, params.count, g);
    load_grad(vertices, face, vertex + lane, params.count, v);
    for (int r = 0; r < 3; ++r) {
      for (int c = 0; c < 3; ++c) store(products + (4 * r + c) * kBlock + lane, mul(g[r], v[c]));
      store(products + (4 * r + 3) * kBlock + lane, g[r]);
    }
  }
}

// sums (J, 16) += of so many faces, for `Joints` joints from `joint` on.
template <int Joints, int Vectors, class T>
inline __attribute__((always_inline)) void multiply_joints(const T* transforms, int64_t face_stride, const T* products,
                                                           int64_t faces, T* sums) {
  constexpr int lanes = Vec<T>::lanes;
  for (int lane = 0; lane < kBlock; lane += Vectors * lanes) {
    Vec<T> total[Joints][Vectors];
#pragma GCC unroll 8
    for (int j = 0; j < Joints; ++j) {
#pragma GCC unroll 2
      for (int i = 0; i < Vectors; ++i) total[j][i] = load(sums + j * kBlock + lane + i * lanes);
    }
    for (int64_t face = 0; face < faces; ++face) {
      const T* m = transforms + face * face_stride;
      const T* product = products + face * 12 * kBlock + lane;
      for (int k = 0; k < 12; ++k) {
        Vec<T> p[Vectors];
#pragma GCC unroll 2
        for (int i = 0; i < Vectors; ++i) p[i] = load(product + k * kBlock + i * lanes);
#pragma GCC unroll 8
        for (int j = 0; j < Joints; ++j) {
          const Vec<T> entry = broadcast(m[12 * j + k]);
#pragma GCC unroll 2
          for (int i = 0; i < Vectors; ++i) total[j][i] = fma(entry, p[i], total[j][i]);
        }
      }
    }
#pragma GCC unroll 8
    for (int j = 0; j < Joints; ++j) {
#pragma GCC unroll 2
      for (int i = 0; i < Vectors; ++i) store(sums + j * kBlock + lane + i * lanes, total[j][i]);
    }
  }
}

// Blocks of vertices [begin, end).
template <class T>
void skin_backward_weights(const SkinWeightsParams<T>& params, void* scratch, int64_t begin, int64_t end) {
  constexpr int vectors = kBlock / Vec<T>::lanes > 1 ? 2 : 1, together = 8 / vectors;
  const int64_t joints = params.joints, stride = joints * 12;
  T* products = static_cast<T*>(scratch);
  T* sums = products + 12 * kSkinChunkFaces * kBlock;
  for (int64_t block = begin; block < end; ++block) {
    const int64_t vertex = block * kBlock, left = params.count - vertex, real = left < kBlock ? left : kBlock;
    for (int64_t i = 0; i < joints * kBlock; ++i) sums[i] = T(0);
    for (int64_t face = 0; face < params.batch; face += kSkinChunkFaces) {
      const int64_t more = params.batch - face, faces = more < kSkinChunkFaces ? more : kSkinChunkFaces;
      for (int64_t f = 0; f < faces; ++f) outer_products(params, face + f, vertex, products + f * 12 * kBlock);
      const T* m = params.transforms + face * stride;
      int64_t j = 0;
      for (; j + together <= joints; j += together) {
        multiply_joints<together, vectors>(m + 12 * j, stride, products, faces, sums + j * kBlock);
      }
      for (; j < joints; ++j) multiply_joints<1, vectors>(m + 12 * j, stride, products, faces, sums + j * kBlock);
    }
    for (int64_t i = 0; i < real; ++i) {
      for (int64_t j = 0; j < joints; ++j) params.grad_weights[(vertex + i) * joints + j] = sums[j * kBlock + i];
    }
  }
}

}  // namespace twodasl::cpu::TWODASL_LEVEL
