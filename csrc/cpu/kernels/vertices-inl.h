// vertices, forward: one pass over the packed modes for a tile of faces, the pose applied in registers.
#pragma once

namespace twodasl::cpu::TWODASL_LEVEL {

// shape[f] = mean + sum_k c[f, k] modes[k] for `Faces` faces at the lanes of one vector, from `lane` on, of the block
// whose mean and modes are given. (Without modes their pointer may be null, to which only zero can be added.)
// The sum runs over k in order for every face and lane, so the tile's size does not change a bit of the result.
// Face f's coefficients start at coefficients + f * stride.
template <int Faces, class T, class S>
inline __attribute__((always_inline)) void synthesize(const T* mean, const S* modes, int lane,
                                                      int64_t modes_count, const T* coefficients, int64_t stride,
                                                      Vec<T> (&shape)[Faces][3]) {
  mean += lane;
  const Vec<T> mean_x = load(mean), mean_y = load(mean + kBlock), mean_z = load(mean + 2 * kBlock);
#pragma GCC unroll 8
  for (int f = 0; f < Faces; ++f) {
    shape[f][0] = mean_x;
    shape[f][1] = mean_y;
    shape[f][2] = mean_z;
  }
  for (int64_t k = 0; k < modes_count; ++k) {
    const S* mode = modes + lane;
    const Vec<T> x = load(mode), y = load(mode + kBlock), z = load(mode + 2 * kBlock);
    if constexpr (Faces > 1) {  // one face is so fast that prefetching would only slow it down
      __builtin_prefetch(mode + modes_count * kBlockRow, 0, 2);
      __builtin_prefetch(mode + modes_count * kBlockRow + kBlock, 0, 2);
      __builtin_prefetch(mode + modes_count * kBlockRow + 2 * kBlock, 0, 2);
    }
    modes += kBlockRow;
#pragma GCC unroll 8
    for (int f = 0; f < Faces; ++f) {
      const Vec<T> c = broadcast(coefficients[f * stride + k]);
      shape[f][0] = fma(c, x, shape[f][0]);
      shape[f][1] = fma(c, y, shape[f][1]);
      shape[f][2] = fma(c, z, shape[f][2]);
    }
  }
}

// The same for one face and two vectors, the second so many numbers behind the first: one vector's three sums wait for
// themselves longer than memory takes to deliver a mode. Where the two are of two blocks, the next two are fetched: the
// hardware loses its way from one pair of blocks to the other.
template <class T, class S>
inline __attribute__((always_inline)) void synthesize_pair(const T* mean, const S* modes, int64_t mean_step,
                                                           int64_t modes_step, int64_t modes_count,
                                                           const T* coefficients, Vec<T> (&shape)[2][3]) {
#pragma GCC unroll 3
  for (int i = 0; i < 3; ++i) {
    shape[0][i] = load(mean + i * kBlock);
    shape[1][i] = load(mean + mean_step + i * kBlock);
  }
  for (int64_t k = 0; k < modes_count; ++k, modes += kBlockRow) {
    const Vec<T> c = broadcast(coefficients[k]);
    if constexpr (2 * Vec<T>::lanes > kBlock) {
#pragma GCC unroll 3
      for (int i = 0; i < 3; ++i) {
        __builtin_prefetch(modes + 2 * modes_step + i * kBlock, 0, 2);
        __builtin_prefetch(modes + 3 * modes_step + i * kBlock, 0, 2);
      }
    }
#pragma GCC unroll 3
    for (int i = 0; i < 3; ++i) {
      shape[0][i] = fma(c, load(modes + i * kBlock), shape[0][i]);
      shape[1][i] = fma(c, load(modes + modes_step + i * kBlock), shape[1][i]);
    }
  }
}

// Row r of M p + t.
template <class T>
inline Vec<T> pose_row(const T* row, const Vec<T> (&p)[3]) {
  return fma(broadcast(row[0]), p[0], fma(broadcast(row[1]), p[1], fma(broadcast(row[2]), p[2], broadcast(row[3]))));
}

// The pose of one face applied to one vector; `left` vertices are to be written from `out` on, or fewer than a vector.
template <class T>
inline __attribute__((always_inline)) void store_posed(const T* m, const Vec<T> (&shape)[3], int64_t left, T* out) {
  const Vec<T> x = pose_row(m, shape), y = pose_row(m + 4, shape), z = pose_row(m + 8, shape);
  if (left >= Vec<T>::lanes) {
    store_interleaved(out, x, y, z);
  } else if (left > 0) {
    T tail[3 * Vec<T>::lanes];
    store_interleaved(tail, x, y, z);
    for (int64_t i = 0; i < 3 * left; ++i) out[i] = tail[i];
  }
}

template <class T, class S>
void forward_single(const VerticesParams<T, S>& params, int64_t face, int64_t first_block, int64_t last_block) {
  constexpr int lanes = Vec<T>::lanes;
  const int64_t modes_count = params.basis.modes_count, vertices = params.basis.vertices;
  const T* coefficients = params.coefficients + face * modes_count;
  const T* pose = params.pose + face * 12;
  T* output = params.output + face * vertices * 3;
  // Two vectors of a block, or where a vector is a block, two blocks.
  constexpr int64_t blocks = 2 * lanes > kBlock ? 2 : 1;
  int64_t block = first_block;
  for (; block + blocks <= last_block; block += blocks) {
    for (int64_t lane = 0; lane < kBlock; lane += 2 * lanes) {
      const int64_t left = vertices - block * kBlock - lane;  // vertices from this lane on
      if (left <= 0) break;
      Vec<T> shape[2][3];
      synthesize_pair(params.basis.mean + block * kBlockRow + lane,
                      params.basis.modes + block * modes_count * kBlockRow + lane, blocks == 2 ? kBlockRow : lanes,
                      blocks == 2 ? modes_count * kBlockRow : lanes, modes_count, coefficients, shape);
      T* out = output + (block * kBlock + lane) * 3;
      store_posed(pose, shape[0], left, out);
      store_posed(pose, shape[1], left - lanes, out + 3 * lanes);
    }
  }
  for (; block < last_block; ++block) {
    Vec<T> shape[1][3];
    synthesize<1>(params.basis.mean + block * kBlockRow, params.basis.modes + block * modes_count * kBlockRow, 0,
                  modes_count, coefficients, 0, shape);
    store_posed(pose, shape[0], vertices - block * kBlock, output + block * kBlock * 3);
  }
}

template <int Faces, class T, class S>
void forward_tile(const VerticesParams<T, S>& params, int64_t face, int64_t first_block, int64_t last_block) {
  const int64_t modes_count = params.basis.modes_count;
  const int64_t vertices = params.basis.vertices;
  const T* coefficients = params.coefficients + face * modes_count;
  const T* pose = params.pose + face * 12;
  T* output = params.output + face * vertices * 3;
  for (int64_t block = first_block; block < last_block; ++block) {
    for (int lane = 0; lane < kBlock; lane += Vec<T>::lanes) {
      const int64_t left = vertices - block * kBlock - lane;  // vertices from this lane on
      if (left <= 0) break;
      Vec<T> shape[Faces][3];
      synthesize<Faces>(params.basis.mean + block * kBlockRow, params.basis.modes + block * modes_count * kBlockRow,
                        lane, modes_count, coefficients, modes_count, shape);
#pragma GCC unroll 8
      for (int f = 0; f < Faces; ++f) {
        store_posed(pose + 12 * f, shape[f], left, output + (f * vertices + block * kBlock + lane) * 3);
      }
    }
  }
}

template <int Faces, class T, class S>
inline void forward_faces(const VerticesParams<T, S>& params, int64_t face, int64_t last_face, int64_t first_block,
                          int64_t last_block) {
  for (; face + Faces <= last_face; face += Faces) {
    if constexpr (Faces == 1) {
      forward_single(params, face, first_block, last_block);
    } else {
      forward_tile<Faces>(params, face, first_block, last_block);
    }
  }
  if constexpr (Faces > 1) {
    if (face < last_face) forward_faces<Faces / 2>(params, face, last_face, first_block, last_block);
  }
}

template <class T, class S>
void vertices_forward(const VerticesParams<T, S>& params, int64_t begin, int64_t end) {
  const Partition cut = partition(params.basis.vertices, params.basis.modes_count, params.batch, sizeof(S));
  for (int64_t i = begin; i < end; ++i) {
    const Task task = task_of(cut, params.batch, i);
    forward_faces<kFaces>(params, task.row, task.last_row, task.first_block, task.last_block);
  }
}

}  // namespace twodasl::cpu::TWODASL_LEVEL
