// vertices, backward to the basis itself, in the packed layout. With q[n] = M^T g[n]:
//   grad mean[n] = sum_b q_b[n]               grad modes_k[n] = sum_b c_bk q_b[n]
#include "pack.h"
#include "vertices.h"

namespace twodasl::cuda {

namespace {

// A block makes 64 vertices by up to 8 groups of columns, 16 threads to a group: a thread holds 4 vertices x 3 x
// Columns sums (96 in float32). Column 0 is the mean, whose coefficients are ones, where it is asked for; the modes
// follow. The gradients of 16 faces at a time are turned back into shared memory, read from memory once for every 64
// columns.
constexpr int kVertices = 64, kFaces = 16, kGroupThreads = kVertices / 4, kMostGroups = 8;

template <int Columns, class T>
__global__ void __launch_bounds__(kGroupThreads* kMostGroups)
    basis_gradient_kernel(BasisBackwardParams<T> params, int64_t columns, int groups, int64_t column_tiles) {
  TWODASL_SHARED(Pack4<T>, q_memory, kFaces * 3 * kVertices / 4);
  TWODASL_SHARED(Pack4<T>, coefficients_memory, kFaces * Columns * kMostGroups / 4);
  T* const q = reinterpret_cast<T*>(q_memory);                        // (kFaces, 3, kVertices)
  T* const coefficients = reinterpret_cast<T*>(coefficients_memory);  // (kFaces, width)
  const int thread = static_cast<int>(threadIdx.x), threads = groups * kGroupThreads, width = groups * Columns;
  const int64_t first_vertex = int64_t(blockIdx.x) / column_tiles * kVertices;
  const int64_t first_column = int64_t(blockIdx.x) % column_tiles * width;
  const int mean = params.grad_mean != nullptr ? 1 : 0;
  const int quad = thread % kGroupThreads, own_columns = thread / kGroupThreads * Columns;

  T sums[Columns][3][4] = {};
  for (int64_t first = 0; first < params.batch; first += kFaces) {
    const int faces = static_cast<int>(params.batch - first < kFaces ? params.batch - first : kFaces);
    __syncthreads();  // the faces before have been added
    for (int i = thread; i < faces * width; i += threads) {
      const int f = i / width;
      const int64_t column = first_column + i % width;
      T value = T(0);
      if (column < mean) {
        value = T(1);
      } else if (column < columns) {
        value = params.coefficients[(first + f) * params.modes_count + column - mean];
      }
      coefficients[i] = value;
    }
#pragma unroll 4
    for (int i = thread; i < faces * kVertices; i += threads) {
      const int f = i / kVertices, v = i % kVertices;
      T g[3] = {};
      if (first_vertex + v < params.vertices) {
        const T* const from =
            params.grad.data + (first + f) * params.grad.stride[0] + (first_vertex + v) * params.grad.stride[1];
#pragma unroll
        for (int r = 0; r < 3; ++r) g[r] = from[r * params.grad.stride[2]];
      }
      const T* const m = params.pose + 12 * (first + f);
#pragma unroll
      for (int c = 0; c < 3; ++c) {
        q[(3 * f + c) * kVertices + v] = fma(m[c], g[0], fma(m[4 + c], g[1], m[8 + c] * g[2]));
      }
    }
    __syncthreads();
#pragma unroll 1
    for (int f = 0; f < faces; ++f) {
      Pack4<T> turned[3];
#pragma unroll
      for (int c = 0; c < 3; ++c) turned[c] = load_pack<4>(q + (3 * f + c) * kVertices + 4 * quad);
#pragma unroll
      for (int k = 0; k < Columns; k += 4) {
        const Pack4<T> scale = load_pack<4>(coefficients + f * width + own_columns + k);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
#pragma unroll
          for (int c = 0; c < 3; ++c) {
#pragma unroll
            for (int v = 0; v < 4; ++v) {
              sums[k + j][c][v] = fma(scale.value[j], turned[c].value[v], sums[k + j][c][v]);
            }
          }
        }
      }
    }
  }

  const int64_t block = first_vertex / kBlock + quad / 4;
  if (block >= block_count(params.vertices)) return;
#pragma unroll
  for (int k = 0; k < Columns; ++k) {
    const int64_t column = first_column + own_columns + k;
    if (column >= columns) break;
    T* const to = column < mean ? params.grad_mean + block * kBlockRow
                                : params.grad_modes + (block * params.modes_count + column - mean) * kBlockRow;
#pragma unroll
    for (int c = 0; c < 3; ++c) {
      Pack4<T> four;
#pragma unroll
      for (int v = 0; v < 4; ++v) four.value[v] = sums[k][c][v];
      store_pack(to + c * kBlock + 4 * (quad % 4), four);
    }
  }
}

}  // namespace

template <class T>
Error launch_vertices_backward_basis(const BasisBackwardParams<T>& params, void* stream) {
  constexpr int kColumns = sizeof(T) == 4 ? 8 : 4;
  const int64_t columns = (params.grad_mean != nullptr ? 1 : 0) + (params.grad_modes != nullptr ? params.modes_count : 0);
  const int64_t tiles = divide_up(params.vertices, kVertices), all_groups = divide_up(columns, kColumns);
  if (tiles == 0 || columns == 0) return nullptr;
  // Few vertices are spread by giving a block fewer columns; a warp at least. What does not divide is spread evenly.
  int64_t blocks = divide_up(all_groups, kMostGroups);
  if (tiles * blocks < multiprocessors()) blocks = divide_up(all_groups, 2);
  const int64_t groups = divide_up(divide_up(all_groups, blocks), 2) * 2;
  // Blocks of the same vertices follow one another, so that the gradients come from memory once.
  const int64_t column_tiles = divide_up(all_groups, groups);
  return launch(&basis_gradient_kernel<kColumns, T>, static_cast<unsigned>(tiles * column_tiles),
                static_cast<unsigned>(groups * kGroupThreads), 0, stream, params, columns, static_cast<int>(groups),
                column_tiles);
}

template Error launch_vertices_backward_basis(const BasisBackwardParams<float>&, void*);
template Error launch_vertices_backward_basis(const BasisBackwardParams<double>&, void*);

}  // namespace twodasl::cuda
