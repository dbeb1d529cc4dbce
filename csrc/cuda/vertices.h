// vertices and landmarks on a GPU.
#pragma once

#include "../common/params.h"

namespace twodasl::cuda {

template <class T, class S>
const char* launch_vertices(const VerticesParams<T, S>& params, void* stream);

// Gradients of coefficients and pose. The vertices are cut into tiles of 32 and these into parts, by their number
// alone; a part's sums are added one way whatever the batch, and the parts another way in double precision. So a face's
// gradient has the same bits from run to run and in every batch.
inline constexpr int64_t kGradientVertices = 32;
TWODASL_HOST_DEVICE inline int64_t gradient_tiles_of_part(int64_t vertices) {
  // About three for each of an H100's 132 multiprocessors: chosen on paper, not measured, and not by the GPU at hand,
  // because the parts decide a gradient's bits.
  constexpr int64_t kMostParts = 384;
  const int64_t tiles = (vertices + kGradientVertices - 1) / kGradientVertices;
  return tiles > kMostParts ? (tiles + kMostParts - 1) / kMostParts : 1;
}
TWODASL_HOST_DEVICE inline int64_t gradient_parts(int64_t vertices) {
  const int64_t tiles = (vertices + kGradientVertices - 1) / kGradientVertices, of_part = gradient_tiles_of_part(vertices);
  return (tiles + of_part - 1) / of_part;
}

// On tensor cores the vertices are cut into blocks of 16, and the modes into chunks: see vertices_tensor_gradient.h.
TWODASL_HOST_DEVICE inline int64_t tensor_gradient_blocks_of_part(int64_t vertices) {
  // About three for each of an H100's 132 multiprocessors, as above.
  constexpr int64_t kMostParts = 384;
  const int64_t blocks = block_count(vertices);
  return blocks > kMostParts ? (blocks + kMostParts - 1) / kMostParts : 1;
}
TWODASL_HOST_DEVICE inline int64_t tensor_gradient_parts(int64_t vertices) {
  const int64_t of_part = tensor_gradient_blocks_of_part(vertices);
  return (block_count(vertices) + of_part - 1) / of_part;
}
inline constexpr int64_t kTensorGradientModes = 56;  // of a chunk, at most
inline int64_t tensor_gradient_chunks(int64_t modes_count) {
  return modes_count > 0 ? (modes_count + kTensorGradientModes - 1) / kTensorGradientModes : 1;
}

// Faces whose parts' sums are in the scratch at a time, and the numbers it needs, for either kernel: sums (parts, faces,
// 12 + K) and of each face whether its shape was recovered; or sums (parts, faces, 12 chunks + K).
inline constexpr int64_t kGradientFaces = 256;
inline int64_t gradient_scratch(int64_t vertices, int64_t modes_count, int64_t batch) {
  const int64_t faces = batch < kGradientFaces ? batch : kGradientFaces;
  const int64_t numbers = gradient_parts(vertices) * (12 + modes_count) + 1;
  const int64_t on_tensor_cores =
      tensor_gradient_parts(vertices) * (12 * tensor_gradient_chunks(modes_count) + modes_count);
  return faces * (numbers > on_tensor_cores ? numbers : on_tensor_cores);
}

// `params.faces` is null: rows are in the order of the batch. `params.vertices` is the forward's result or null, and
// which faces' shapes are recovered from it is decided on the device, by the rule of common/recover.h:
// `params.recovered` is not read. On tensor cores (tensor_cores.cu) the result is not read either. `params.partial` has
// gradient_scratch() numbers. grad_coefficients (B, K) and grad_pose (B, 3, 4) are null where they are not needed.
template <class T, class S>
const char* launch_vertices_backward(const VerticesBackwardParams<T, S>& params, T* grad_coefficients, T* grad_pose,
                                     void* stream);

// Gradients of the packed basis; every number of them is written once. Faces are added in the order of the batch.
template <class T>
const char* launch_vertices_backward_basis(const BasisBackwardParams<T>& params, void* stream);

}  // namespace twodasl::cuda
