// The products of a tile of faces with the triangular distance factor, which both directions of vertex_distance_cost
// are made of: output[row][v] = sum_i values[row][i] * matrix[i][v] for the three rows of each face.
//
// A thread holds one 16-byte pack of outputs for every row of the tile and takes every 12th i, so that each number of
// the factor is read once a tile, in whole lines; the 12 slices of a sum are then added in order. What a sum's order
// depends on is i alone: a face gets the same bits in every tile.
#pragma once

#include <type_traits>

#include "pack.h"
#include "reduce.h"

namespace twodasl::cuda {

inline constexpr int kPanelPacks = 48;  // a multiple of 3: a mode's x, y and z are in one panel
inline constexpr int kSlices = 12;
inline constexpr int kDistanceThreads = kPanelPacks * kSlices;
inline constexpr int kChunk = 16 * kSlices;  // values in shared memory at a time

template <class T>
inline constexpr int kPanel = kPanelPacks * kWide<T>;  // outputs of a block at a time

template <int Faces, class T>
struct DistanceTile {
  static constexpr int kPack = kWide<T>;
  static constexpr int kRows = 3 * Faces;
  static constexpr int kRowPacks = (kRows + kPack - 1) / kPack;
  static constexpr int kValues = kChunk * kRowPacks;          // packs of shared memory: (kChunk, rows)
  static constexpr int kPartial = kSlices * 3 * kPanelPacks;  // the same: (slice, 3, panel) of one face

  // Packs of the factor on their way at a time, as the registers allow.
  static constexpr int kUnroll = Faces == 1 && sizeof(T) == 4 ? 4 : 2;

  Wide<T> sums[kRows];

  __device__ static int place() { return static_cast<int>(threadIdx.x) % kPanelPacks; }
  __device__ static int slice() { return static_cast<int>(threadIdx.x) / kPanelPacks; }
  __device__ static int warp_start() { return static_cast<int>(threadIdx.x) / kWarp * kWarp % kPanelPacks; }

  __device__ void clear() {
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
#pragma unroll
      for (int v = 0; v < kPack; ++v) sums[row].value[v] = T(0);
    }
  }

  // Brings value(face, row, i) of i in [first, end) into shared memory; end - first is at most kChunk. All threads.
  template <class Value>
  __device__ static void fill(Wide<T>* values, int64_t first, int64_t end, const Value& value) {
    __syncthreads();  // until the last chunk has been used
    T* numbers = reinterpret_cast<T*>(values);
    for (int item = static_cast<int>(threadIdx.x); item < kRows * kChunk; item += kDistanceThreads) {
      const int row = item / kChunk, i = item % kChunk;
      if (first + i < end) numbers[i * kRowPacks * kPack + row] = value(row / 3, row % 3, first + i);
    }
    __syncthreads();
  }

  // The first and the last place in this thread's warp, which has at most two slices.
  __device__ static int lowest_place() { return warp_start() + kWarp <= kPanelPacks ? warp_start() : 0; }
  __device__ static int highest_place() {
    return warp_start() + kWarp <= kPanelPacks ? warp_start() + kWarp - 1 : kPanelPacks - 1;
  }

  // Adds i in [begin, end) of the chunk in shared memory; `matrix` is its first row, in the column of this pack.
  // The whole warp runs over [warp_begin, warp_end), around the ranges of its lanes: so its lanes are in the same rows,
  // whose lines they read together. What is outside a lane's range it does not read, and adds zeros.
  __device__ __forceinline__ void add(const T* matrix, int64_t width, const Wide<T>* values, int begin, int end,
                                      int warp_begin, int warp_end) {
    int i = slice();
    if (i < warp_begin) i += (warp_begin - i + kSlices - 1) / kSlices * kSlices;
#pragma unroll kUnroll
    for (; i < warp_end; i += kSlices) {
      Wide<T> m{};
      if (i >= begin && i < end) m = load_pack<kPack>(matrix + i * width);
      Wide<T> value[kRowPacks];
#pragma unroll
      for (int pack = 0; pack < kRowPacks; ++pack) value[pack] = values[i * kRowPacks + pack];
#pragma unroll
      for (int row = 0; row < kRows; ++row) {
#pragma unroll
        for (int v = 0; v < kPack; ++v) {
          sums[row].value[v] = fma(value[row / kPack].value[row % kPack], m.value[v], sums[row].value[v]);
        }
      }
    }
  }

  // The three rows of `Face`, summed over the slices: take(row, output in the panel, sum) for each number, one a
  // thread. All threads; `partial` is free again after the next barrier.
  template <int Face, class Take>
  __device__ __forceinline__ void finish(Wide<T>* partial, const Take& take) {
#pragma unroll
    for (int r = 0; r < 3; ++r) partial[(slice() * 3 + r) * kPanelPacks + place()] = sums[3 * Face + r];
    __syncthreads();
    static_assert(3 * kPanel<T> <= kDistanceThreads);
    const int item = static_cast<int>(threadIdx.x);
    if (item >= 3 * kPanel<T>) return;
    const T* numbers = reinterpret_cast<const T*>(partial);
    T total = numbers[item];
#pragma unroll
    for (int s = 1; s < kSlices; ++s) total += numbers[s * 3 * kPanel<T> + item];
    take(item / kPanel<T>, item % kPanel<T>, total);
  }
};

// run<0>(), run<1>(), ... below Count, since a tile's faces are in registers.
template <int Count, int First = 0, class Run>
__device__ __forceinline__ void for_each_face(const Run& run) {
  if constexpr (First < Count) {
    run(std::integral_constant<int, First>{});
    for_each_face<Count, First + 1>(run);
  }
}

}  // namespace twodasl::cuda
