// vertices, backward. With q[n] = M^T g[n] and p[n] the shape before the pose:
//   grad c_k = sum_n q[n] . modes_k[n]        grad M = sum_n g[n] p[n]^T        grad t = sum_n g[n]
//   grad mean[n] = sum_b q_b[n]               grad modes_k[n] = sum_b c_bk q_b[n]
#pragma once

namespace twodasl::cpu::TWODASL_LEVEL {

inline constexpr int64_t kMaxPartBlocks = 32;  // partition() makes no larger part

// The gradient of one vector of vertices of one face; lanes past the last vertex become zero.
template <class T>
inline void load_grad(const GradView<T>& grad, int64_t face, int64_t vertex, int64_t vertices, Vec<T> (&g)[3]) {
  constexpr int lanes = Vec<T>::lanes;
  const T* data = grad.data + face * grad.stride[0] + vertex * grad.stride[1];
  if (grad.stride[2] == 1 && grad.stride[1] == 3 && vertex + lanes <= vertices) {
    load_interleaved(data, g[0], g[1], g[2]);
    return;
  }
  T buffer[3][lanes];
  for (int i = 0; i < lanes; ++i) {
    for (int c = 0; c < 3; ++c) {
      buffer[c][i] = vertex + i < vertices ? data[i * grad.stride[1] + c * grad.stride[2]] : T(0);
    }
  }
  for (int c = 0; c < 3; ++c) g[c] = load(buffer[c]);
}

// Column c of M, applied as a row of M^T.
template <class T>
inline Vec<T> turn_back(const T* pose, int column, const Vec<T> (&g)[3]) {
  return fma(broadcast(pose[column]), g[0],
             fma(broadcast(pose[4 + column]), g[1], mul(broadcast(pose[8 + column]), g[2])));
}

// sums[f][k] for a tile of faces and modes over one part: a small matrix product with its sums in registers.
template <int Faces, int Modes, class T, class S>
inline __attribute__((always_inline)) void product_tile(const T* turned, int64_t face_stride, const S* modes,
                                                        int64_t block_stride, int64_t blocks, T* output,
                                                        int64_t output_stride) {
  Vec<T> sums[Faces][Modes];
#pragma GCC unroll 8
  for (int f = 0; f < Faces; ++f) {
#pragma GCC unroll 8
    for (int k = 0; k < Modes; ++k) sums[f][k] = broadcast(T(0));
  }
  for (int64_t block = 0; block < blocks; ++block) {
    for (int64_t i = 0; i < kBlockRow; i += Vec<T>::lanes) {
      Vec<T> q[Faces];
#pragma GCC unroll 8
      for (int f = 0; f < Faces; ++f) q[f] = load(turned + f * face_stride + block * kBlockRow + i);
#pragma GCC unroll 8
      for (int k = 0; k < Modes; ++k) {
        const Vec<T> m = load(modes + block * block_stride + k * kBlockRow + i);
#pragma GCC unroll 8
        for (int f = 0; f < Faces; ++f) sums[f][k] = fma(q[f], m, sums[f][k]);
      }
    }
  }
  for (int f = 0; f < Faces; ++f) {
    for (int k = 0; k < Modes; ++k) output[f * output_stride + k] = sum(sums[f][k]);
  }
}

template <int Faces, class T, class S>
void backward_tile(const VerticesBackwardParams<T, S>& params, int64_t part, int64_t face, int64_t first_block,
                   int64_t last_block) {
  constexpr int lanes = Vec<T>::lanes;
  const int64_t modes_count = params.basis.modes_count, vertices = params.basis.vertices;
  const int64_t width = 12 + modes_count;
  const T* coefficients = params.coefficients + face * modes_count;
  const T* pose = params.pose + face * 12;
  T* partial = params.partial + (part * params.batch + face) * width;
  alignas(64) T turned[Faces][kMaxPartBlocks * kBlockRow];
  Vec<T> pose_sums[Faces][12];
  for (int f = 0; f < Faces; ++f) {
    for (int i = 0; i < 12; ++i) pose_sums[f][i] = broadcast(T(0));
  }

  for (int64_t block = first_block; block < last_block; ++block) {
    for (int lane = 0; lane < kBlock; lane += lanes) {
      Vec<T> shape[Faces][3];
      if (params.need_pose) {
        synthesise<Faces>(params.basis.mean + block * kBlockRow + lane,
                          params.basis.modes + block * modes_count * kBlockRow + lane, modes_count, coefficients,
                          shape);
      }
      for (int f = 0; f < Faces; ++f) {
        Vec<T> g[3];
        load_grad(params.grad, face + f, block * kBlock + lane, vertices, g);
        T* q = turned[f] + (block - first_block) * kBlockRow + lane;
        for (int c = 0; c < 3; ++c) store(q + c * kBlock, turn_back(pose + 12 * f, c, g));
        if (params.need_pose) {
          for (int r = 0; r < 3; ++r) {
            for (int c = 0; c < 3; ++c) pose_sums[f][4 * r + c] = fma(g[r], shape[f][c], pose_sums[f][4 * r + c]);
            pose_sums[f][4 * r + 3] = add(g[r], pose_sums[f][4 * r + 3]);
          }
        }
      }
    }
  }
  if (params.need_pose) {
    for (int f = 0; f < Faces; ++f) {
      for (int i = 0; i < 12; ++i) partial[f * width + i] = sum(pose_sums[f][i]);
    }
  }
  if (!params.need_coefficients) return;
  const int64_t blocks = last_block - first_block, block_stride = modes_count * kBlockRow;
  const S* modes = params.basis.modes + first_block * block_stride;
  constexpr int64_t face_stride = kMaxPartBlocks * kBlockRow;
  int64_t k = 0;
  for (; k + kGradModes <= modes_count; k += kGradModes) {
    product_tile<Faces, kGradModes>(turned[0], face_stride, modes + k * kBlockRow, block_stride, blocks,
                                    partial + 12 + k, width);
  }
  for (; k < modes_count; ++k) {
    product_tile<Faces, 1>(turned[0], face_stride, modes + k * kBlockRow, block_stride, blocks, partial + 12 + k,
                           width);
  }
}

template <int Faces, class T, class S>
inline void backward_faces(const VerticesBackwardParams<T, S>& params, int64_t part, int64_t face, int64_t last_face,
                           int64_t first_block, int64_t last_block) {
  for (; face + Faces <= last_face; face += Faces) backward_tile<Faces>(params, part, face, first_block, last_block);
  if constexpr (Faces > 1) {
    if (face < last_face) backward_faces<Faces / 2>(params, part, face, last_face, first_block, last_block);
  }
}

template <class T, class S>
void vertices_backward(const VerticesBackwardParams<T, S>& params, int64_t begin, int64_t end) {
  const Partition cut = partition(params.basis.vertices, params.basis.modes_count, params.batch, sizeof(S));
  for (int64_t task = begin; task < end; ++task) {
    const int64_t part = task / cut.groups, group = task % cut.groups;
    const int64_t first_block = part * cut.part_blocks;
    const int64_t last_block = first_block + cut.part_blocks < cut.blocks ? first_block + cut.part_blocks : cut.blocks;
    const int64_t face = group * cut.group_faces;
    const int64_t last_face = face + cut.group_faces < params.batch ? face + cut.group_faces : params.batch;
    backward_faces<kGradFaces>(params, part, face, last_face, first_block, last_block);
  }
}

template <int Modes, class T>
inline __attribute__((always_inline)) void modes_tile(const T* turned, const T* coefficients, int64_t modes_count,
                                                      int64_t faces, bool first, T* output) {
  for (int64_t i = 0; i < kBlockRow; i += Vec<T>::lanes) {
    Vec<T> sums[Modes];
#pragma GCC unroll 8
    for (int k = 0; k < Modes; ++k) sums[k] = first ? broadcast(T(0)) : load(output + k * kBlockRow + i);
    for (int64_t f = 0; f < faces; ++f) {
      const Vec<T> q = load(turned + f * kBlockRow + i);
#pragma GCC unroll 8
      for (int k = 0; k < Modes; ++k) sums[k] = fma(broadcast(coefficients[f * modes_count + k]), q, sums[k]);
    }
#pragma GCC unroll 8
    for (int k = 0; k < Modes; ++k) store(output + k * kBlockRow + i, sums[k]);
  }
}

// Gradients of the packed mean and modes: every block is one task's own, faces are added in order.
template <class T>
void vertices_backward_basis(const BasisBackwardParams<T>& params, int64_t begin, int64_t end) {
  constexpr int64_t group = 64;
  constexpr int tile = 8;
  const int64_t modes_count = params.modes_count;
  alignas(64) T turned[group * kBlockRow];
  for (int64_t block = begin; block < end; ++block) {
    T* grad_mean = params.grad_mean ? params.grad_mean + block * kBlockRow : nullptr;
    T* grad_modes = params.grad_modes ? params.grad_modes + block * modes_count * kBlockRow : nullptr;
    int64_t face = 0;
    do {  // once at least: a batch of no faces still writes its zeros
      const int64_t faces = params.batch - face < group ? params.batch - face : group;
      for (int64_t f = 0; f < faces; ++f) {
        for (int lane = 0; lane < kBlock; lane += Vec<T>::lanes) {
          Vec<T> g[3];
          load_grad(params.grad, face + f, block * kBlock + lane, params.vertices, g);
          for (int c = 0; c < 3; ++c) {
            store(turned + f * kBlockRow + c * kBlock + lane, turn_back(params.pose + 12 * (face + f), c, g));
          }
        }
      }
      const bool first = face == 0;
      if (grad_mean) {
        for (int64_t i = 0; i < kBlockRow; i += Vec<T>::lanes) {
          Vec<T> total = first ? broadcast(T(0)) : load(grad_mean + i);
          for (int64_t f = 0; f < faces; ++f) total = add(total, load(turned + f * kBlockRow + i));
          store(grad_mean + i, total);
        }
      }
      if (grad_modes) {
        const T* c = params.coefficients + face * modes_count;
        int64_t k = 0;
        for (; k + tile <= modes_count; k += tile) {
          modes_tile<tile>(turned, c + k, modes_count, faces, first, grad_modes + k * kBlockRow);
        }
        for (; k < modes_count; ++k) modes_tile<1>(turned, c + k, modes_count, faces, first, grad_modes + k * kBlockRow);
      }
      face += faces;
    } while (face < params.batch);
  }
}

}  // namespace twodasl::cpu::TWODASL_LEVEL
