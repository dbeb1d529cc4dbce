// vertices, backward. With q[n] = M^T g[n] and p[n] the shape before the pose:
//   grad c_k = sum_n q[n] . modes_k[n]        grad M = sum_n g[n] p[n]^T        grad t = sum_n g[n]
// A part of the basis is small enough to stay in the second-level cache while all faces pass over it. A tile of faces
// goes through it in chunks whose q stays in the first-level cache while all modes pass over it: read from the second
// one, q and modes together come no faster than half of the multiply-adds need them. What a chunk adds goes on with
// the sums of the one before, so that neither chunks nor tiles change a bit of the result.
#pragma once

#include "gradient-inl.h"

namespace twodasl::cpu::TWODASL_LEVEL {

inline constexpr int64_t kChunkBlocks = 8;
inline constexpr int64_t kTurnedStride = kChunkBlocks * kBlockRow;
inline constexpr int64_t kRowsTogether = 4 * kGradFaces;
inline constexpr int64_t kGroupModes = 96;  // modes whose sums are kept at a time; more turn the gradient again

// Cache lines of the next chunk, fetched a few at a time while this one is multiplied: memory and arithmetic overlap.
struct Ahead {
  const char* next;
  int64_t lines, each;
  inline __attribute__((always_inline)) void step() {
    const int64_t now = lines < each ? lines : each;
    for (int64_t i = 0; i < now; ++i, next += 64) __builtin_prefetch(next, 0, 2);
    lines -= now;
  }
};

// The product reads the modes with long strides, which the hardware does not prefetch; it does where one byte of every
// cache line is read in order.
inline void read_lines(const volatile char* first, const volatile char* last) {
  for (; first < last; first += 64) static_cast<void>(*first);
}

// sums[k][f] of a tile of faces and modes, continued over one chunk: a small matrix product with its sums in registers.
template <int Faces, int Modes, class T, class S>
inline __attribute__((always_inline)) void product_tile(const T* turned, const S* modes, int64_t block_stride,
                                                        int64_t blocks, Ahead& ahead, Vec<T> (*output)[Faces]) {
  Vec<T> sums[Modes][Faces];
#pragma GCC unroll 16
  for (int k = 0; k < Modes; ++k) {
#pragma GCC unroll 8
    for (int f = 0; f < Faces; ++f) sums[k][f] = output[k][f];
  }
  for (int64_t block = 0; block < blocks; ++block) {
    const T* const q = turned + block * kBlockRow;
    const S* const mode = modes + block * block_stride;
    ahead.step();
    for (int64_t i = 0; i < kBlockRow; i += Vec<T>::lanes) {
      // Of the two, the one with fewer vectors stays in registers, which fit it beside the sums.
      if constexpr (Modes <= Faces) {
        Vec<T> m[Modes];
#pragma GCC unroll 16
        for (int k = 0; k < Modes; ++k) m[k] = load(mode + k * kBlockRow + i);
#pragma GCC unroll 8
        for (int f = 0; f < Faces; ++f) {
          const Vec<T> turned_back = load(q + f * kTurnedStride + i);
#pragma GCC unroll 16
          for (int k = 0; k < Modes; ++k) sums[k][f] = fma(turned_back, m[k], sums[k][f]);
        }
      } else {
        Vec<T> turned_back[Faces];
#pragma GCC unroll 8
        for (int f = 0; f < Faces; ++f) turned_back[f] = load(q + f * kTurnedStride + i);
#pragma GCC unroll 16
        for (int k = 0; k < Modes; ++k) {
          const Vec<T> m = load(mode + k * kBlockRow + i);
#pragma GCC unroll 8
          for (int f = 0; f < Faces; ++f) sums[k][f] = fma(turned_back[f], m, sums[k][f]);
        }
      }
    }
  }
#pragma GCC unroll 16
  for (int k = 0; k < Modes; ++k) {
#pragma GCC unroll 8
    for (int f = 0; f < Faces; ++f) output[k][f] = sums[k][f];
  }
}

// The product for `count` modes: tiles of `Modes`, and of half as many for what is left.
template <int Faces, int Modes, class T, class S>
inline void product_modes(const T* turned, const S* modes, int64_t block_stride, int64_t count, int64_t k,
                          int64_t blocks, Ahead& ahead, Vec<T> (*output)[Faces]) {
  for (; k + Modes <= count; k += Modes) {
    product_tile<Faces, Modes>(turned, modes + k * kBlockRow, block_stride, blocks, ahead, output + k);
  }
  if constexpr (Modes > 1) {
    if (k < count) product_modes<Faces, Modes / 2>(turned, modes, block_stride, count, k, blocks, ahead, output);
  }
}

// The sums over the lanes, of face f to output + f * stride.
template <int Faces, class T>
inline void sum_modes(const Vec<T> (*sums)[Faces], int64_t count, T* output, int64_t stride) {
  for (int f = 0; f < Faces; ++f, output += stride) {
    int64_t k = 0;
    for (; k + 4 <= count; k += 4) sum_four(sums[k][f], sums[k + 1][f], sums[k + 2][f], sums[k + 3][f], output + k);
    for (; k < count; ++k) output[k] = sum(sums[k][f]);
  }
}

// One face: q of a chunk's vertices, and with `Pose` the sums of g (V - t)^T and g, continued.
template <bool Pose, class T, class S>
void turn_face(const VerticesBackwardParams<T, S>& params, int64_t row, int64_t first_block, int64_t last_block,
               T* turned, Vec<T> (&output)[12]) {
  constexpr int lanes = Vec<T>::lanes;
  const int64_t face = params.faces[row], count = params.basis.vertices;
  const T* pose = params.pose + 12 * row;
  const Vec<T> origin[3] = {broadcast(-pose[3]), broadcast(-pose[7]), broadcast(-pose[11])};
  const GradView<T> posed{params.vertices, {count * 3, 3, 1}};
  Vec<T> m[9];
#pragma GCC unroll 9
  for (int i = 0; i < 9; ++i) m[i] = broadcast(pose[4 * (i / 3) + i % 3]);
  Vec<T> pairs[kChunkBlocks * kBlock / lanes][6];  // g and V - t: with the sums, the registers do not hold all of it
  int64_t pair = 0;
  for (int64_t block = first_block; block < last_block; ++block) {
    prefetch_grad(params.grad, face, (block + kChunkBlocks) * kBlock);
    if constexpr (Pose) prefetch_grad(posed, face, (block + kChunkBlocks) * kBlock);
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
          pairs[pair][c] = g[c];
          pairs[pair][3 + c] = add(v[c], origin[c]);
        }
        ++pair;
      }
    }
  }
  if constexpr (Pose) {
    Vec<T> sums[12];
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) sums[i] = output[i];
    for (int64_t i = 0; i < pair; ++i) {
#pragma GCC unroll 3
      for (int r = 0; r < 3; ++r) {
        const Vec<T> g = pairs[i][r];
#pragma GCC unroll 3
        for (int c = 0; c < 3; ++c) sums[4 * r + c] = fma(g, pairs[i][3 + c], sums[4 * r + c]);
        sums[4 * r + 3] = add(g, sums[4 * r + 3]);
      }
    }
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) output[i] = sums[i];
  }
}

// A tile of faces whose shapes are synthesized again: q, and the sums of g shape^T and g, continued.
template <int Faces, class T, class S>
void turn_tile(const VerticesBackwardParams<T, S>& params, int64_t row, int64_t first_block, int64_t last_block,
               T* turned, Vec<T> (*sums)[12]) {
  constexpr int lanes = Vec<T>::lanes;
  const int64_t modes_count = params.basis.modes_count;
  const T* pose = params.pose + 12 * row;
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
}

// The same for so many faces, in tiles.
template <int Faces, class T, class S>
void turn_synthesized(const VerticesBackwardParams<T, S>& params, int64_t row, int64_t last_row, int64_t first_block,
                      int64_t last_block, T* turned, Vec<T> (*sums)[12]) {
  for (; row + Faces <= last_row; row += Faces) {
    turn_tile<Faces>(params, row, first_block, last_block, turned, sums);
    turned += Faces * kTurnedStride;
    sums += Faces;
  }
  if constexpr (Faces > 1) {
    if (row < last_row) turn_synthesized<Faces / 2>(params, row, last_row, first_block, last_block, turned, sums);
  }
}

template <int Faces>
struct Tile {
  static constexpr int faces = Faces;
};

// Calls run(Tile<n>{}, first) for tiles of `Faces` rows of [first, last), then of half as many for what is left.
template <int Faces, class Run>
inline void in_tiles(int64_t first, int64_t last, const Run& run) {
  for (; first + Faces <= last; first += Faces) run(Tile<Faces>{}, first);
  if constexpr (Faces > 1) {
    if (first < last) in_tiles<Faces / 2>(first, last, run);
  }
}

// One tile's share of a chunk: q of its faces, their sums for the pose, and the product with `count` modes from k on.
template <int Faces, class T, class S>
void chunk_tile(const VerticesBackwardParams<T, S>& params, int64_t row, int64_t first_block, int64_t last_block,
                bool need_pose, int64_t k, int64_t count, Ahead ahead, Vec<T> (*pose_sums)[12], Vec<T> (*sums)[Faces]) {
  const int64_t modes_count = params.basis.modes_count;
  alignas(64) T turned[Faces * kTurnedStride];
  // Faces of both kinds may share a tile: each is rotated back in its own way, and the product is the same.
  int64_t read = need_pose ? params.recovered - row : Faces;
  read = read < 0 ? 0 : (read > Faces ? Faces : read);
  const auto turn = need_pose ? &turn_face<true, T, S> : &turn_face<false, T, S>;
  for (int64_t f = 0; f < read; ++f) {
    turn(params, row + f, first_block, last_block, turned + f * kTurnedStride, pose_sums[f]);
  }
  if (read < Faces) {
    turn_synthesized<Faces>(params, row + read, row + Faces, first_block, last_block, turned + read * kTurnedStride,
                            pose_sums + read);
  }
  // Few faces give few sums, so more modes keep the multipliers busy.
  constexpr int tile = kGradSums / Faces;
  const int64_t steps = (count + tile - 1) / tile * (last_block - first_block);
  ahead.each = steps > 0 ? (ahead.lines + steps - 1) / steps : 0;
  product_modes<Faces, tile>(turned, params.basis.modes + (first_block * modes_count + k) * kBlockRow,
                             modes_count * kBlockRow, count, 0, last_block - first_block, ahead, sums);
}

// The faces of a few tiles, which share every chunk.
template <class T, class S>
void backward_rows(const VerticesBackwardParams<T, S>& params, const Task& task, int64_t row, int64_t last_row,
                   bool fetch) {
  const int64_t modes_count = params.basis.modes_count, width = 12 + modes_count, rows = last_row - row;
  T* partial = params.partial + (task.part * params.batch + row) * width;
  alignas(64) Vec<T> pose_sums[kRowsTogether][12], sums[kRowsTogether * kGroupModes];
  for (int64_t f = 0; f < rows; ++f) {
    for (Vec<T>& sum : pose_sums[f]) sum = broadcast(T(0));
  }
  bool need_pose = params.need_pose;
  int64_t k = 0;
  do {
    const int64_t left = params.need_coefficients ? modes_count - k : 0;
    const int64_t count = left < kGroupModes ? left : kGroupModes;
    for (int64_t i = 0; i < rows * count; ++i) sums[i] = broadcast(T(0));
    for (int64_t block = task.first_block; block < task.last_block; block += kChunkBlocks) {
      const int64_t end = block + kChunkBlocks, last_block = end < task.last_block ? end : task.last_block;
      const int64_t after = block_count(params.basis.vertices) - last_block;
      const int64_t coming = after < kChunkBlocks ? after : kChunkBlocks;
      const int64_t row_bytes = modes_count * kBlockRow * static_cast<int64_t>(sizeof(S));
      const char* const modes = reinterpret_cast<const char*>(params.basis.modes);
      const char* const next = modes + last_block * row_bytes;
      // One face leaves no time in which to fetch, and what it reads in order the hardware fetches.
      if (fetch && k == 0 && rows == 1) read_lines(modes + block * row_bytes, next);
      const int64_t lines = fetch && k == 0 && rows > 1 ? coming * row_bytes / 64 : 0;
      in_tiles<kGradFaces>(0, rows, [&](auto tile, int64_t f) {
        constexpr int faces = decltype(tile)::faces;
        const int64_t begin = lines * f / rows, share = lines * (f + faces) / rows - begin;
        chunk_tile<faces>(params, row + f, block, last_block, need_pose, k, count, Ahead{next + 64 * begin, share, 0},
                          pose_sums + f, reinterpret_cast<Vec<T>(*)[faces]>(sums + f * count));
      });
    }
    in_tiles<kGradFaces>(0, rows, [&](auto tile, int64_t f) {
      constexpr int faces = decltype(tile)::faces;
      sum_modes<faces>(reinterpret_cast<Vec<T>(*)[faces]>(sums + f * count), count, partial + f * width + 12 + k,
                       width);
    });
    need_pose = false;  // known after the first modes
    k += count;
  } while (params.need_coefficients && k < modes_count);
  if (!params.need_pose) return;
  for (int64_t f = 0; f < rows; ++f) sum_each<12>(pose_sums[f], partial + f * width);
}

template <class T, class S>
void vertices_backward(const VerticesBackwardParams<T, S>& params, int64_t begin, int64_t end) {
  const Partition cut = partition(params.basis.vertices, params.basis.modes_count, params.batch, sizeof(S));
  for (int64_t i = begin; i < end; ++i) {
    const Task task = task_of(cut, params.batch, i);
    for (int64_t row = task.row; row < task.last_row; row += kRowsTogether) {
      const int64_t next = row + kRowsTogether;
      backward_rows(params, task, row, next < task.last_row ? next : task.last_row, row == task.row);
    }
  }
}

}  // namespace twodasl::cpu::TWODASL_LEVEL
