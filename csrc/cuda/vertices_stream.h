// vertices, forward, for few faces: every thread streams the modes of two vertices through its registers, once for all
// faces of its tile. Bounded by the bytes of the basis, so what counts is how many of them are in flight.
#pragma once

#include <type_traits>

#include "vertices_pose.h"

namespace twodasl::cuda {

// A block is one warp, so that it waits for no other: 64 vertices, lanes side by side in four blocks of 16. Every
// request is 64 contiguous bytes of each block (float32) and the next ones continue them, up to `Ahead` modes: 192
// bytes each.
//
// An estimate, not a measurement: N = 53215 makes 832 warps, 6.3 on each of an H100's 132 multiprocessors. `Ahead` modes
// of a warp are 768 bytes each (float32), so with 16 ahead 77 KB of a multiprocessor are on their way and with 8 38 KB,
// where 3 TB/s times 0.7 us ask for 16 KB. Half-precision storage halves both the bytes and the registers.
inline constexpr int kStreamVertices = 64;
inline constexpr int kStreamModes = 128;  // whose coefficients are in shared memory at a time
inline constexpr int kStreamRow = 3 * kStreamVertices;

template <int Faces, int Ahead, class T, class S>
__global__ void __launch_bounds__(kWarp, 1) vertices_stream_kernel(VerticesParams<T, S> params) {
  static_assert(Ahead % 4 == 0 && kStreamModes % Ahead == 0, "the ring starts over with every stretch of coefficients");
  constexpr int kRows = Faces > 1 ? 2 : 1, kPitch = kStreamModes + 4, kRowPitch = kStreamRow + 4;
  TWODASL_SHARED(Pack4<T>, coefficients_memory, Faces * kPitch / 4);
  TWODASL_SHARED(Pack4<T>, pose_memory, Faces * 3);
  TWODASL_SHARED(Pack4<T>, row_memory, kRows * kRowPitch / 4);
  T* const coefficients = reinterpret_cast<T*>(coefficients_memory);  // (Faces, kPitch)
  T* const rows = reinterpret_cast<T*>(row_memory);                   // (kRows, kRowPitch)

  const int lane = static_cast<int>(threadIdx.x);
  const int64_t modes_count = params.basis.modes_count, vertices = params.basis.vertices;
  const int64_t first_face = int64_t(blockIdx.y) * Faces, first_vertex = int64_t(blockIdx.x) * kStreamVertices;
  const int faces = static_cast<int>(params.batch - first_face < Faces ? params.batch - first_face : Faces);
  // Two vertices side by side in a block of 16. Past the last block a warp reads the last one, and writes nothing.
  const int64_t last_block = block_count(vertices) - 1, own_block = first_vertex / kBlock + lane / 8;
  const int64_t block = own_block < last_block ? own_block : last_block;
  const int within = 2 * (lane % 8);
  const S* const modes = params.basis.modes + block * modes_count * kBlockRow + within;

  Stored<S, 2> ring[Ahead][3];
  const auto fetch = [&](int i, int64_t k) {
    if (k >= modes_count) return;
#pragma unroll
    for (int c = 0; c < 3; ++c) ring[i][c] = load_stored<2>(modes + k * kBlockRow + c * kBlock);
  };
#pragma unroll
  for (int i = 0; i < Ahead; ++i) fetch(i, i);

  T shape[Faces][3][2];
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    const Pack<T, 2> mean = load_pack<2>(params.basis.mean + block * kBlockRow + c * kBlock + within);
#pragma unroll
    for (int f = 0; f < Faces; ++f) shape[f][c][0] = mean.value[0], shape[f][c][1] = mean.value[1];
  }
  for (int i = lane; i < 12 * faces; i += kWarp) reinterpret_cast<T*>(pose_memory)[i] = params.pose[12 * first_face + i];

  for (int64_t first = 0; first < modes_count; first += kStreamModes) {
    const int count = static_cast<int>(modes_count - first < kStreamModes ? modes_count - first : kStreamModes);
    __syncwarp();  // the stretch before has been read
    const T* const given = params.coefficients + first_face * modes_count + first;
    for (int k = lane; k < count; k += kWarp) {
#pragma unroll
      for (int f = 0; f < Faces; ++f) coefficients[f * kPitch + k] = f < faces ? given[f * modes_count + k] : T(0);
    }
    __syncwarp();

    // Four modes of the ring, in order; `count` is how many of them there are.
    const auto add_four = [&](int slot, int k, auto whole) {
      Pack<T, 2> mode[4][3];
#pragma unroll
      for (int i = 0; i < 12; ++i) mode[i / 3][i % 3] = widened<T>(ring[slot + i / 3][i % 3]);
#pragma unroll
      for (int f = 0; f < Faces; ++f) {
        if (f > 0 && f % 4 == 0) __syncwarp();  // or the compiler fills the registers with coefficients
        const Pack4<T> c = load_pack<4>(coefficients + f * kPitch + k);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          if (!decltype(whole)::value && k + i >= count) break;
#pragma unroll
          for (int axis = 0; axis < 3; ++axis) {
            for (int v = 0; v < 2; ++v) shape[f][axis][v] = fma(c.value[i], mode[i][axis].value[v], shape[f][axis][v]);
          }
        }
      }
    };
    int k = 0;
    for (; k + Ahead <= count; k += Ahead) {
#pragma unroll
      for (int slot = 0; slot < Ahead; slot += 4) {
        add_four(slot, k + slot, std::true_type{});
#pragma unroll
        for (int i = 0; i < 4; ++i) fetch(slot + i, first + k + Ahead + slot + i);
      }
    }
#pragma unroll
    for (int slot = 0; slot < Ahead; slot += 4) {
      if (k + slot >= count) break;  // only the last stretch ends within the ring
      add_four(slot, k + slot, std::false_type{});
    }
  }

  // The pose, and out through shared memory: the row of a face is contiguous there.
  constexpr int kThreads = kWarp / kRows;
  const int64_t left = vertices - first_vertex;
  const int count = 3 * static_cast<int>(left < kStreamVertices ? left : kStreamVertices);
  __syncwarp();
#pragma unroll
  for (int f = 0; f < Faces; f += kRows) {
    if (f >= faces) break;
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      T posed[3][2];
#pragma unroll
      for (int r = 0; r < 3; ++r) {
        const Pack4<T> m = pose_memory[3 * (f + i) + r];
#pragma unroll
        for (int v = 0; v < 2; ++v) posed[r][v] = pose_row(m, shape[f + i][0][v], shape[f + i][1][v], shape[f + i][2][v]);
      }
      T* const row = rows + i * kRowPitch + 6 * lane;
      store_pack(row, Pack<T, 2>{{posed[0][0], posed[1][0]}});
      store_pack(row + 2, Pack<T, 2>{{posed[2][0], posed[0][1]}});
      store_pack(row + 4, Pack<T, 2>{{posed[1][1], posed[2][1]}});
    }
    __syncwarp();
    const int own = lane / kThreads;
    if (f + own < faces) {
      T* const to = params.output + ((first_face + f + own) * vertices + first_vertex) * 3;
      store_row<kThreads, kStreamRow>(rows + own * kRowPitch, to, count, lane % kThreads);
    }
    __syncwarp();
  }
}

}  // namespace twodasl::cuda
