// vertices, backward. With q[n] = M^T g[n] and p[n] the shape before the pose:
//   grad c_k = sum_n q[n] . modes_k[n]        grad M = sum_n g[n] p[n]^T        grad t = sum_n g[n]
// A part of the basis is small enough to stay in the second-level cache while all faces pass over it.
#pragma once

#include "gradient-inl.h"

namespace twodasl::cpu::TWODASL_LEVEL {

inline constexpr int64_t kMaxPartBlocks = 32;  // partition() makes no larger part
inline constexpr int64_t kTurnedStride = kMaxPartBlocks * kBlockRow;

// sums[f][k] for a tile of faces and modes over one part: a small matrix product with its sums in registers.
template <int Faces, int Modes, class T, class S>
inline __attribute__((always_inline)) void product_tile(const T* turned, const S* modes, int64_t block_stride,
                                                        int64_t blocks, T* output, int64_t output_stride) {
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
      for (int f = 0; f < Faces; ++f) q[f] = load(turned + f * kTurnedStride + block * kBlockRow + i);
#pragma GCC unroll 8
      for (int k = 0; k < Modes; ++k) {
        const Vec<T> m = load(modes + block * block_stride + k * kBlockRow + i);
#pragma GCC unroll 8
        for (int f = 0; f < Faces; ++f) sums[f][k] = fma(q[f], m, sums[f][k]);
      }
    }
  }
#pragma GCC unroll 8
  for (int f = 0; f < Faces; ++f) sum_each<Modes>(sums[f], output + f * output_stride);
}

// The product for every mode: tiles of `Modes`, and of half as many for what is left.
template <int Faces, int Modes, class T, class S>
inline void product_modes(const T* turned, const S* modes, int64_t modes_count, int64_t k, int64_t blocks, T* output,
                          int64_t output_stride) {
  for (; k + Modes <= modes_count; k += Modes) {
    product_tile<Faces, Modes>(turned, modes + k * kBlockRow, modes_count * kBlockRow, blocks, output + k,
                               output_stride);
  }
  if constexpr (Modes > 1) {
    if (k < modes_count) product_modes<Faces, Modes / 2>(turned, modes, modes_count, k, blocks, output, output_stride);
  }
}

// The product reads the modes with long strides, which the hardware does not prefetch. So the first tile of a part
// reads its modes in order, one byte of every cache line, which it does prefetch.
template <class S>
inline void fetch_block(const S* modes, int64_t modes_count) {
  const volatile char* bytes = reinterpret_cast<const volatile char*>(modes);
  const int64_t size = modes_count * kBlockRow * static_cast<int64_t>(sizeof(S));
  for (int64_t i = 0; i < size; i += 64) static_cast<void>(bytes[i]);
}

// One face: q of the part's vertices, and with `Pose` the sums of g (V - t)^T and g.
template <bool Pose, class T, class S>
void turn_face(const VerticesBackwardParams<T, S>& params, int64_t row, int64_t first_block, int64_t last_block,
               bool first, T* turned, T* pose_output) {
  constexpr int lanes = Vec<T>::lanes;
  const int64_t face = params.faces[row], count = params.basis.vertices, modes_count = params.basis.modes_count;
  const T* pose = params.pose + 12 * row;
  const Vec<T> origin[3] = {broadcast(-pose[3]), broadcast(-pose[7]), broadcast(-pose[11])};
  const GradView<T> posed{params.vertices, {count * 3, 3, 1}};
  Vec<T> m[9];
#pragma GCC unroll 9
  for (int i = 0; i < 9; ++i) m[i] = broadcast(pose[4 * (i / 3) + i % 3]);
  Vec<T> sums[12];
#pragma GCC unroll 12
  for (int i = 0; i < 12; ++i) sums[i] = broadcast(T(0));
  for (int64_t block = first_block; block < last_block; ++block) {
    if (first) fetch_block(params.basis.modes + block * modes_count * kBlockRow, modes_count);
    for (int lane = 0; lane < kBlock; lane += lanes) {
      Vec<T> g[3];
      load_grad(params.grad, face, block * kBlock + lane, count, g);
      T* q = turned + (block - first_block) * kBlockRow + lane;
#pragma GCC unroll 3
      for (int c = 0; c < 3; ++c) store(q + c * kBlock, fma(m[c], g[0], fma(m[3 + c], g[1], mul(m[6 + c], g[2]))));
      if constexpr (Pose) {
        Vec<T> v[3];
        load_grad(posed, face, block * kBlock + lane, count, v);  // past the last vertex g is zero
#pragma GCC unroll 3
        for (int c = 0; c < 3; ++c) {
          v[c] = add(v[c], origin[c]);
#pragma GCC unroll 3
          for (int r = 0; r < 3; ++r) sums[4 * r + c] = fma(g[r], v[c], sums[4 * r + c]);
        }
#pragma GCC unroll 3
        for (int r = 0; r < 3; ++r) sums[4 * r + 3] = add(g[r], sums[4 * r + 3]);
      }
    }
  }
  if constexpr (Pose) sum_each<12>(sums, pose_output);
}

// A tile of faces whose shapes are synthesized again: q, and the sums of g shape^T and g.
template <int Faces, class T, class S>
void turn_tile(const VerticesBackwardParams<T, S>& params, int64_t row, int64_t first_block, int64_t last_block,
               T* turned, T* pose_output, int64_t output_stride) {
  constexpr int lanes = Vec<T>::lanes;
  const int64_t modes_count = params.basis.modes_count;
  const T* pose = params.pose + 12 * row;
  Vec<T> sums[Faces][12];
  for (int f = 0; f < Faces; ++f) {
    for (int i = 0; i < 12; ++i) sums[f][i] = broadcast(T(0));
  }
  for (int64_t block = first_block; block < last_block; ++block) {
    for (int lane = 0; lane < kBlock; lane += lanes) {
      Vec<T> shape[Faces][3];
      synthesize<Faces>(params.basis.mean + block * kBlockRow, params.basis.modes + block * modes_count * kBlockRow,
                        lane, modes_count, params.coefficients + row * modes_count, modes_count, shape);
      for (int f = 0; f < Faces; ++f) {
        Vec<T> g[3];
        load_grad(params.grad, params.faces[row + f], block * kBlock + lane, params.basis.vertices, g);
        T* q = turned + f * kTurnedStride + (block - first_block) * kBlockRow + lane;
        for (int c = 0; c < 3; ++c) store(q + c * kBlock, turn_back(pose + 12 * f, c, g));
        for (int r = 0; r < 3; ++r) {
          for (int c = 0; c < 3; ++c) sums[f][4 * r + c] = fma(g[r], shape[f][c], sums[f][4 * r + c]);
          sums[f][4 * r + 3] = add(g[r], sums[f][4 * r + 3]);
        }
      }
    }
  }
  for (int f = 0; f < Faces; ++f) sum_each<12>(sums[f], pose_output + f * output_stride);
}

// The same for so many faces, in tiles.
template <int Faces, class T, class S>
void turn_synthesized(const VerticesBackwardParams<T, S>& params, int64_t row, int64_t last_row, int64_t first_block,
                      int64_t last_block, T* turned, T* pose_output, int64_t output_stride) {
  for (; row + Faces <= last_row; row += Faces) {
    turn_tile<Faces>(params, row, first_block, last_block, turned, pose_output, output_stride);
    turned += Faces * kTurnedStride;
    pose_output += Faces * output_stride;
  }
  if constexpr (Faces > 1) {
    if (row < last_row) {
      turn_synthesized<Faces / 2>(params, row, last_row, first_block, last_block, turned, pose_output, output_stride);
    }
  }
}

template <int Faces, class T, class S>
void backward_tile(const VerticesBackwardParams<T, S>& params, const Task& task, int64_t row) {
  const int64_t modes_count = params.basis.modes_count, width = 12 + modes_count;
  T* partial = params.partial + (task.part * params.batch + row) * width;
  alignas(64) T turned[Faces * kTurnedStride];
  // Faces of both kinds may share a tile: each is rotated back in its own way, and the product is the same.
  int64_t read = params.need_pose ? params.recovered - row : Faces;
  read = read < 0 ? 0 : (read > Faces ? Faces : read);
  for (int64_t f = 0; f < read; ++f) {
    const auto turn = params.need_pose ? &turn_face<true, T, S> : &turn_face<false, T, S>;
    const bool first = row + f == task.row && params.need_coefficients;
    turn(params, row + f, task.first_block, task.last_block, first, turned + f * kTurnedStride, partial + f * width);
  }
  if (read < Faces) {
    turn_synthesized<Faces>(params, row + read, row + Faces, task.first_block, task.last_block,
                            turned + read * kTurnedStride, partial + read * width, width);
  }
  if (!params.need_coefficients) return;
  // Few faces give few sums, so more modes keep the multipliers busy.
  constexpr int modes_tile = Faces >= kGradFaces ? kGradModes : kGradModes * 2;
  product_modes<Faces, modes_tile>(turned, params.basis.modes + task.first_block * modes_count * kBlockRow, modes_count,
                                   0, task.last_block - task.first_block, partial + 12, width);
}

template <int Faces, class T, class S>
inline void backward_faces(const VerticesBackwardParams<T, S>& params, const Task& task, int64_t row,
                           int64_t last_row) {
  for (; row + Faces <= last_row; row += Faces) backward_tile<Faces>(params, task, row);
  if constexpr (Faces > 1) {
    if (row < last_row) backward_faces<Faces / 2>(params, task, row, last_row);
  }
}

template <class T, class S>
void vertices_backward(const VerticesBackwardParams<T, S>& params, int64_t begin, int64_t end) {
  const Partition cut = partition(params.basis.vertices, params.basis.modes_count, params.batch, sizeof(S));
  for (int64_t i = begin; i < end; ++i) {
    const Task task = task_of(cut, params.batch, i);
    backward_faces<kGradFaces>(params, task, task.row, task.last_row);
  }
}

}  // namespace twodasl::cpu::TWODASL_LEVEL
