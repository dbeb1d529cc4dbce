// skin, forward and backward to vertices and transforms. Vertices are the lanes; what a block of 16 reads of the weights
// is the joints that any of its vertices has a weight for, which are few in a mesh whose neighbors are stored together.
// No matrix is blended: a joint adds w (R v + t) = R (w v) + w t to its vertices, which takes as many operations and
// three registers instead of twelve.
#pragma once

#include "gradient-inl.h"
#include "skin.h"

namespace twodasl::cpu::TWODASL_LEVEL {

// An integer of a number's size: a number with no bit set is zero, and NaN is not.
template <int Bytes>
struct SkinBits;
template <>
struct SkinBits<4> {
  typedef uint32_t Type __attribute__((may_alias));
};
template <>
struct SkinBits<8> {
  typedef uint64_t Type __attribute__((may_alias));
};

// seen[j]: the bits of so many rows (16 or fewer) of joint j's weights, one over the other. Eight joints at a time, the
// last eight overlapping those before: a remainder one by one would take as long as the rest.
template <class Bits>
inline void overlay_rows(const Bits* rows, int64_t count, int64_t joints, Bits* __restrict seen) {
  constexpr int together = 8;
  if (count < kBlock || joints < together) {
    for (int64_t j = 0; j < joints; ++j) {
      Bits bits = 0;
      for (int64_t i = 0; i < count; ++i) bits |= rows[i * joints + j];
      seen[j] = bits;
    }
    return;
  }
  for (int64_t next = 0; next < joints; next += together) {
    const int64_t j = next + together <= joints ? next : joints - together;
    // A vector type of the compiler's: of a level's own width, or of several registers.
    typedef Bits Wide __attribute__((vector_size(together * sizeof(Bits))));
    Wide bits = {};
#pragma GCC unroll 16
    for (int i = 0; i < kBlock; ++i) {
      Wide row;
      __builtin_memcpy(&row, rows + i * joints + j, sizeof(row));
      bits |= row;
    }
    __builtin_memcpy(seen + j, &bits, sizeof(bits));
  }
}

// The part's weights that are not zero, by block.
template <class T>
void sort_weights(const T* weights, int64_t count, int64_t joints, int64_t first_block, int64_t last_block,
                  SkinScratch<T>& into) {
  typedef typename SkinBits<sizeof(T)>::Type Bits;
  Bits* const seen = reinterpret_cast<Bits*>(into.seen);
  int64_t* const joint = into.joint;
  T* const sorted = into.weight;
  int64_t entries = 0;
  for (int64_t block = first_block; block < last_block; ++block) {
    into.first[block - first_block] = entries;
    const int64_t before = entries, left = count - block * kBlock;
    const T* const rows = weights + block * kBlock * joints;
    overlay_rows(reinterpret_cast<const Bits*>(rows), left < kBlock ? left : kBlock, joints, seen);
    // Without a branch, which would often be mispredicted.
    for (int64_t j = 0; j < joints; ++j) {
      joint[entries] = j;
      entries += seen[j] != 0;
    }
    for (int64_t e = before; e < entries; ++e) {
      const T* const column = rows + joint[e];
      T* const weight = sorted + e * kBlock;
      into.block[e] = block - first_block;
      if (left >= kBlock) {
#pragma GCC unroll 16
        for (int i = 0; i < kBlock; ++i) weight[i] = column[i * joints];
      } else {
        for (int64_t i = 0; i < kBlock; ++i) weight[i] = i < left ? column[i * joints] : T(0);
      }
    }
  }
  into.first[last_block - first_block] = entries;
}

// The same entries by joint: a counting sort.
template <class T>
void order_by_joint(int64_t joints, int64_t blocks, SkinScratch<T>& into) {
  const int64_t entries = into.first[blocks];
  for (int64_t j = 0; j <= joints; ++j) into.starts[j] = 0;
  for (int64_t e = 0; e < entries; ++e) ++into.starts[into.joint[e] + 1];
  for (int64_t j = 0; j < joints; ++j) into.starts[j + 1] += into.starts[j];
  for (int64_t e = 0; e < entries; ++e) into.order[into.starts[into.joint[e]]++] = e;
  for (int64_t j = joints; j > 0; --j) into.starts[j] = into.starts[j - 1];
  into.starts[0] = 0;
}

// output[n] = sum_j w (R_j v + t_j), or with `Back` sum_j w R_j^T v, of one face and `Vectors` vectors of a block.
template <bool Back, int Vectors, class T>
inline __attribute__((always_inline)) void skin_lanes(const GradView<T>& input, const T* transforms, T* output,
                                                      int64_t face, int64_t count, int64_t vertex, int lane,
                                                      int64_t first, int64_t last, const SkinScratch<T>& sorted) {
  constexpr int lanes = Vec<T>::lanes;
  Vec<T> v[Vectors][3], sums[Vectors][3];
#pragma GCC unroll 2
  for (int i = 0; i < Vectors; ++i) {
    load_grad(input, face, vertex + lane + i * lanes, count, v[i]);
#pragma GCC unroll 3
    for (int c = 0; c < 3; ++c) sums[i][c] = broadcast(T(0));
  }
  for (int64_t e = first; e < last; ++e) {
    const T* m = transforms + 12 * sorted.joint[e];
    const T* weight = sorted.weight + e * kBlock + lane;
    Vec<T> w[Vectors], u[Vectors][3];
#pragma GCC unroll 2
    for (int i = 0; i < Vectors; ++i) {
      w[i] = load(weight + i * lanes);
#pragma GCC unroll 3
      for (int c = 0; c < 3; ++c) u[i][c] = mul(w[i], v[i][c]);
    }
#pragma GCC unroll 3
    for (int r = 0; r < 3; ++r) {
#pragma GCC unroll 3
      for (int c = 0; c < 3; ++c) {
        const Vec<T> entry = broadcast(m[4 * r + c]);
#pragma GCC unroll 2
        for (int i = 0; i < Vectors; ++i) {
          if constexpr (Back) {
            sums[i][c] = fma(entry, u[i][r], sums[i][c]);
          } else {
            sums[i][r] = fma(entry, u[i][c], sums[i][r]);
          }
        }
      }
      if constexpr (!Back) {
        const Vec<T> shift = broadcast(m[4 * r + 3]);
#pragma GCC unroll 2
        for (int i = 0; i < Vectors; ++i) sums[i][r] = fma(shift, w[i], sums[i][r]);
      }
    }
  }
#pragma GCC unroll 2
  for (int i = 0; i < Vectors; ++i) {
    const int64_t from = vertex + lane + i * lanes, left = count - from;
    T* out = output + (face * count + from) * 3;
    if (left >= lanes) {
      store_interleaved(out, sums[i][0], sums[i][1], sums[i][2]);
    } else if (left > 0) {
      T tail[3 * lanes];
      store_interleaved(tail, sums[i][0], sums[i][1], sums[i][2]);
      for (int64_t k = 0; k < 3 * left; ++k) out[k] = tail[k];
    }
  }
}

template <bool Back, class T>
void skin_face(const GradView<T>& input, const T* transforms, T* output, int64_t face, int64_t count,
               int64_t first_block, int64_t last_block, const SkinScratch<T>& sorted) {
  constexpr int vectors = kBlock / Vec<T>::lanes > 1 ? 2 : 1;
  for (int64_t block = first_block; block < last_block; ++block) {
    const int64_t first = sorted.first[block - first_block], last = sorted.first[block - first_block + 1];
    for (int lane = 0; lane < kBlock; lane += vectors * Vec<T>::lanes) {
      skin_lanes<Back, vectors>(input, transforms, output, face, count, block * kBlock, lane, first, last, sorted);
    }
  }
}

// The faces and blocks of a task.
inline Task skin_task(const SkinPartition& cut, int64_t batch, int64_t task) {
  const int64_t part = task / cut.groups, row = task % cut.groups * kSkinGroupFaces;
  const int64_t first_block = part * cut.part_blocks, last_block = first_block + cut.part_blocks;
  const int64_t last_row = row + kSkinGroupFaces;
  return {part, row, last_row < batch ? last_row : batch, first_block, last_block < cut.blocks ? last_block : cut.blocks};
}

template <class T>
void skin_forward(const SkinParams<T>& params, void* scratch, int64_t begin, int64_t end) {
  const SkinPartition cut = skin_partition(params.count, params.batch);
  SkinScratch<T> sorted(scratch, cut.part_blocks, params.joints);
  const GradView<T> vertices{params.vertices, {params.count * 3, 3, 1}};
  for (int64_t i = begin; i < end; ++i) {
    const Task task = skin_task(cut, params.batch, i);
    sort_weights(params.weights, params.count, params.joints, task.first_block, task.last_block, sorted);
    for (int64_t face = task.row; face < task.last_row; ++face) {
      skin_face<false>(vertices, params.transforms + face * params.joints * 12, params.output, face, params.count,
                       task.first_block, task.last_block, sorted);
    }
  }
}

// x, y and z of a part of a face, apart; zeros past the last vertex.
template <class T>
void split_part(const GradView<T>& from, int64_t face, int64_t count, int64_t first_block, int64_t blocks, T* planes,
                int64_t plane) {
  for (int64_t i = 0; i < blocks * kBlock; i += Vec<T>::lanes) {
    Vec<T> v[3];
    load_grad(from, face, first_block * kBlock + i, count, v);
    for (int c = 0; c < 3; ++c) store(planes + c * plane + i, v[c]);
  }
}

// Of one face and part: sum_n w g v^T | w g, for every joint that has weights there.
template <class T>
void sum_transforms(const SkinBackwardParams<T>& params, int64_t plane, const SkinScratch<T>& sorted, T* partial) {
  constexpr int lanes = Vec<T>::lanes;
  for (int64_t j = 0; j < params.joints; ++j) {
    if (sorted.starts[j] == sorted.starts[j + 1]) continue;
    Vec<T> sums[12];
#pragma GCC unroll 12
    for (int k = 0; k < 12; ++k) sums[k] = broadcast(T(0));
    for (int64_t at = sorted.starts[j]; at < sorted.starts[j + 1]; ++at) {
      const int64_t e = sorted.order[at];
      const T* g = sorted.planes + sorted.block[e] * kBlock;
      const T* v = g + 3 * plane;
      const T* weight = sorted.weight + e * kBlock;
      for (int lane = 0; lane < kBlock; lane += lanes) {
        const Vec<T> w = load(weight + lane);
        Vec<T> p[3];
#pragma GCC unroll 3
        for (int c = 0; c < 3; ++c) p[c] = load(v + c * plane + lane);
#pragma GCC unroll 3
        for (int r = 0; r < 3; ++r) {
          const Vec<T> pull = mul(w, load(g + r * plane + lane));
#pragma GCC unroll 3
          for (int c = 0; c < 3; ++c) sums[4 * r + c] = fma(pull, p[c], sums[4 * r + c]);
          sums[4 * r + 3] = add(sums[4 * r + 3], pull);
        }
      }
    }
    sum_each<12>(sums, partial + 12 * j);
  }
}

template <class T>
void skin_backward(const SkinBackwardParams<T>& params, void* scratch, int64_t begin, int64_t end) {
  const SkinPartition cut = skin_partition(params.count, params.batch);
  SkinScratch<T> sorted(scratch, cut.part_blocks, params.joints);
  const int64_t plane = cut.part_blocks * kBlock;
  const GradView<T> vertices{params.vertices, {params.count * 3, 3, 1}};
  for (int64_t i = begin; i < end; ++i) {
    const Task task = skin_task(cut, params.batch, i);
    const int64_t blocks = task.last_block - task.first_block;
    sort_weights(params.weights, params.count, params.joints, task.first_block, task.last_block, sorted);
    if (params.grad_transforms) {
      order_by_joint(params.joints, blocks, sorted);
      for (int64_t j = 0; task.row == 0 && j < params.joints; ++j) {
        params.used[task.part * params.joints + j] = sorted.starts[j] < sorted.starts[j + 1];
      }
    }
    for (int64_t face = task.row; face < task.last_row; ++face) {
      if (params.grad_vertices) {
        skin_face<true>(params.grad, params.transforms + face * params.joints * 12, params.grad_vertices, face,
                        params.count, task.first_block, task.last_block, sorted);
      }
      if (!params.grad_transforms) continue;
      split_part(params.grad, face, params.count, task.first_block, blocks, sorted.planes, plane);
      split_part(vertices, face, params.count, task.first_block, blocks, sorted.planes + 3 * plane, plane);
      sum_transforms(params, plane, sorted, params.partial + (task.part * params.batch + face) * params.joints * 12);
    }
  }
}

}  // namespace twodasl::cpu::TWODASL_LEVEL
