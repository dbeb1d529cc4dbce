// vertices, forward, for many faces: a matrix product (faces x modes) (modes x 3 vertices) with the pose at its end.
#pragma once

#include "vertices_pose.h"

namespace twodasl::cuda {

// 64 vertices by 32 faces for every two warps. A thread holds 8 faces x 4 vertices x 3 sums; a warp is 4 such groups of
// faces by 8 of vertices, so its five 16-byte loads from shared memory a mode touch each bank once and feed 96
// multiply-adds a thread: of 103 instructions issued a mode 96 are multiply-adds.
//
// An estimate, not a measurement: at N = 53215, K = 50 and 64 faces an H100 would multiply for 18 us and move 73 MB in
// 24 us; of 128 faces 36 us and 38 us. So neither may wait for the other: while a stretch of modes is multiplied, the
// next one is loaded into registers, and the blocks of a multiprocessor are in different phases. Blocks of the same
// vertices follow one another, so that the modes come from memory once and for the other tiles of faces from the
// second-level cache.
inline constexpr int kTileVertices = 64;
inline constexpr int kTileFaces = 32;
inline constexpr int kTileRow = 3 * 32;  // numbers of a face that a warp writes

// Modes multiplied before the loop turns: two where the registers suffice, which spares four instructions in a hundred.
template <class S>
constexpr int unrolled_modes() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
  return 1;
#else
  return sizeof(S) == 4 ? 2 : 1;
#endif
}

template <int FaceWarps, class S>
__global__ void __launch_bounds__(64 * FaceWarps, FaceWarps == 1 ? 6 : 3)
    vertices_tile_kernel(VerticesParams<float, S> params, int64_t face_tiles) {
  constexpr int kThreads = 64 * FaceWarps, kFaces = kTileFaces * FaceWarps;
  constexpr int kModes = 8 * FaceWarps;  // in a stretch: six packs for every thread
  constexpr int kLoads = 6, kCoefficientModes = 64;
  // Pitches that keep 16-byte accesses of different rows in different banks.
  constexpr int kPitch = kTileVertices + 16, kFacePitch = kFaces + 4, kRowPitch = kTileRow + 4;
  constexpr int kStage = 3 * kModes * kPitch, kRows = 2 * FaceWarps * 4 * kRowPitch;
  TWODASL_SHARED(Pack4<float>, modes_memory, (kStage > kRows ? kStage : kRows) / 4);
  TWODASL_SHARED(Pack4<float>, coefficients_memory, kCoefficientModes * kFacePitch / 4);
  TWODASL_SHARED(Pack4<float>, pose_memory, kFaces * 3);
  float* const staged = reinterpret_cast<float*>(modes_memory);               // (kModes, 3, kPitch)
  float* const coefficients = reinterpret_cast<float*>(coefficients_memory);  // (kCoefficientModes, kFacePitch)

  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp;
  const int modes_count = static_cast<int>(params.basis.modes_count);  // 32 bits: more modes would fill 400 GB
  const int64_t vertices = params.basis.vertices;
  const int64_t tile = int64_t(blockIdx.x) / face_tiles, first_face = (int64_t(blockIdx.x) % face_tiles) * kFaces;
  const int64_t first_vertex = tile * kTileVertices, first_block = first_vertex / kBlock;
  const int blocks = static_cast<int>(block_count(vertices) - first_block < 4 ? block_count(vertices) - first_block : 4);
  const int faces = static_cast<int>(params.batch - first_face < kFaces ? params.batch - first_face : kFaces);

  // Thread t loads quarter t % 4 of row t / 4 + j kThreads / 4 for j < 6, a row being 16 lanes of one axis of one mode
  // of one block. A block's rows are contiguous, 3 kModes = 1.5 kThreads / 4 of them to a stretch: the pattern repeats
  // after three rows and two blocks.
  constexpr int kHalf = kThreads / 8;
  const int row = thread / 4, quarter = thread % 4;
  const int row_of[3] = {row, row < kHalf ? row + 2 * kHalf : row - kHalf, row + kHalf};
  const int block_of[3] = {0, row < kHalf ? 0 : 1, 1};
  const S* const modes = params.basis.modes + first_block * modes_count * kBlockRow + 4 * quarter;
  Stored<S, 4> ahead[kLoads];
  const auto fetch = [&](int first) {
#pragma unroll
    for (int j = 0; j < kLoads; ++j) {
      const int block = block_of[j % 3] + j / 3 * 2;
      if (block < blocks && first * 3 + row_of[j % 3] < modes_count * 3) {
        ahead[j] = load_stored<4>(modes + (int64_t(block) * modes_count + first) * kBlockRow + row_of[j % 3] * kBlock);
      } else {
        ahead[j] = {};
      }
    }
  };
  fetch(0);

  for (int i = thread; i < 12 * faces; i += kThreads) {
    reinterpret_cast<float*>(pose_memory)[i] = params.pose[12 * first_face + i];
  }
  // 16 modes side by side, 64 bytes of a face. The first time, registers are free for all of them at once.
  const auto stage_coefficients = [&](int first, [[maybe_unused]] auto at_once) {
    constexpr int kAcross = 16;
    const float* const given = params.coefficients + first_face * modes_count + first;
    const int k0 = thread % kAcross;
#pragma unroll(decltype(at_once)::value)
    for (int i = 0; i < kFaces / (kThreads / kAcross); ++i) {
      const int f = thread / kAcross + i * (kThreads / kAcross);
#pragma unroll
      for (int k = k0; k < k0 + kCoefficientModes; k += kAcross) {
        const bool real = f < faces && first + k < modes_count;
        coefficients[k * kFacePitch + f] = real ? given[int64_t(f) * modes_count + k] : 0.0f;
      }
    }
  };
  stage_coefficients(0, std::integral_constant<int, 8>{});
  // This thread: vertices first_vertex + 4 quad ..., faces first_face + own_faces ...
  const int half = warp % 2, quad = 8 * half + lane % 8, own_faces = kTileFaces * (warp / 2) + 8 * (lane / 8);
  float shape[8][3][4];
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    Pack4<float> mean{};
    if (quad / 4 < blocks) {
      mean = load_pack<4>(params.basis.mean + (first_block + quad / 4) * kBlockRow + c * kBlock + 4 * (quad % 4));
    }
#pragma unroll
    for (int f = 0; f < 8; ++f) {
#pragma unroll
      for (int v = 0; v < 4; ++v) shape[f][c][v] = mean.value[v];
    }
  }

  for (int first = 0; first < modes_count; first += kModes) {
    __syncthreads();  // the stretch before has been multiplied
#pragma unroll
    for (int j = 0; j < kLoads; ++j) {
      store_pack(staged + row_of[j % 3] * kPitch + (block_of[j % 3] + j / 3 * 2) * kBlock + 4 * quarter,
                 widened<float>(ahead[j]));
    }
    if (first != 0 && first % kCoefficientModes == 0) stage_coefficients(first, std::integral_constant<int, 1>{});
    __syncthreads();
    if (first + kModes < modes_count) fetch(first + kModes);
    const int count = modes_count - first < kModes ? modes_count - first : kModes;
    const float* x = staged + 4 * quad;
    const float* c = coefficients + (first % kCoefficientModes) * kFacePitch + own_faces;
#pragma unroll(unrolled_modes<S>())
    for (int k = 0; k < count; ++k, x += 3 * kPitch, c += kFacePitch) {
      const Pack4<float> low = load_pack<4>(c), high = load_pack<4>(c + 4);
      Pack4<float> mode[3];
#pragma unroll
      for (int axis = 0; axis < 3; ++axis) mode[axis] = load_pack<4>(x + axis * kPitch);
#pragma unroll
      for (int f = 0; f < 8; ++f) {
        const float scale = f < 4 ? low.value[f & 3] : high.value[f & 3];
#pragma unroll
        for (int axis = 0; axis < 3; ++axis) {
#pragma unroll
          for (int v = 0; v < 4; ++v) shape[f][axis][v] = fma(scale, mode[axis].value[v], shape[f][axis][v]);
        }
      }
    }
  }

  // The pose, and out through shared memory, four faces of a warp at a time: their rows begin at the same place within
  // 16 bytes, as faces eight apart do.
  __syncthreads();
  float* const rows = staged + warp * 4 * kRowPitch;
  const int64_t warp_vertex = first_vertex + 32 * half, left = vertices - warp_vertex;
  const int count = left <= 0 ? 0 : 3 * static_cast<int>(left < 32 ? left : 32);
#pragma unroll
  for (int f = 0; f < 8; ++f) {
    Pack4<float> posed[3];  // the 12 numbers of 4 vertices
#pragma unroll
    for (int r = 0; r < 3; ++r) {
      const Pack4<float> m = pose_memory[3 * (own_faces + f) + r];
#pragma unroll
      for (int v = 0; v < 4; ++v) {
        posed[(3 * v + r) / 4].value[(3 * v + r) % 4] = pose_row(m, shape[f][0][v], shape[f][1][v], shape[f][2][v]);
      }
    }
    float* const row = rows + lane / 8 * kRowPitch;
#pragma unroll
    for (int i = 0; i < 3; ++i) store_pack(row + 12 * (lane % 8) + 4 * i, posed[i]);
    __syncwarp();
    if (own_faces + f < faces) {
      float* const to = params.output + ((first_face + own_faces + f) * vertices + warp_vertex) * 3;
      store_row<8, kTileRow>(row, to, count, lane % 8);
    }
    __syncwarp();
  }
}

}  // namespace twodasl::cuda
