// vertex_distance_cost: a block multiplies a tile of faces by the whole factor (51 KB of it for 50 modes in float32),
// so that a face's cost and gradients need no second launch. One face a block while there is a multiprocessor for each;
// beyond that as many as fit, which read the factor once.
#include "distance.h"

#include "distance_tile.h"

namespace twodasl::cuda {

namespace {

constexpr int kWarps = kDistanceThreads / kWarp;

// Feature i of row r of the pose, see cpu/kernels/distance-inl.h. The fma is spelled out: the compiler has two ways to
// contract the sum, and the tiles must agree.
template <class T>
__device__ __forceinline__ T distance_feature(const T* predicted, const T* target, int64_t modes_count,
                                              bool ignore_depth, int r, int64_t i) {
  const int64_t group = i / 3;  // 0: the mean, 1 + k: mode k
  if (group > modes_count) return ignore_depth && r == 2 ? T(0) : predicted[4 * r + 3] - target[4 * r + 3];
  const int entry = 4 * r + static_cast<int>(i - 3 * group);
  const T step = predicted[entry] - target[entry];
  if (group == 0) return step;
  const T now = predicted[11 + group], change = now - target[11 + group];
  return fma(step, now, target[entry] * change);
}

template <int Faces, class T>
__global__ void __launch_bounds__(kDistanceThreads, 1) distance_kernel(VertexDistanceParams<T> params) {
  using Tile = DistanceTile<Faces, T>;
  TWODASL_SHARED(Wide<T>, values, Tile::kValues);
  TWODASL_SHARED(Wide<T>, partial, Tile::kPartial);
  TWODASL_SHARED(double, totals, Faces * kWarps);
  const int64_t modes_count = params.modes_count, inputs = 12 + modes_count, first_face = int64_t(blockIdx.x) * Faces;
  const int64_t features = distance_features(modes_count), width = distance_width(modes_count);
  const T* transposed = params.factor + width * width;
  double squares[Faces] = {};
  for (int64_t panel = 0; panel < width; panel += kPanel<T>) {
    const int64_t output = panel + Tile::place() * Tile::kPack;
    Tile tile;
    tile.clear();
    // R is upper triangular: features before an entry do not count in it.
    for (int64_t chunk = panel / kChunk * kChunk; chunk < features; chunk += kChunk) {
      const int64_t end = chunk + kChunk < features ? chunk + kChunk : features;
      Tile::fill(&values[0], chunk, end, [&](int f, int r, int64_t i) {
        const int64_t face = first_face + f;
        if (face >= params.batch) return T(0);
        return distance_feature(params.predicted + face * inputs, params.target + face * inputs, modes_count,
                                params.ignore_depth, r, i);
      });
      const int count = static_cast<int>(end - chunk);
      const auto begin = [&](int place) {
        const int64_t skip = panel + place * Tile::kPack - chunk;
        return skip > 0 ? static_cast<int>(skip) : 0;
      };
      tile.add(transposed + chunk * width + output, width, &values[0], begin(Tile::place()), output < width ? count : 0,
               begin(Tile::lowest_place()), count);
    }
    for_each_face<Faces>([&](auto number) {
      constexpr int f = decltype(number)::value;
      tile.template finish<f>(&partial[0], [&](int r, int v, T sum) {
        if (panel + v >= width || first_face + f >= params.batch) return;
        params.residual[((first_face + f) * 3 + r) * width + panel + v] = sum;
        squares[f] = fma(static_cast<double>(sum), static_cast<double>(sum), squares[f]);
      });
      __syncthreads();
    });
  }
#pragma unroll
  for (int f = 0; f < Faces; ++f) {
    const double total = sum_lanes<kWarp>(squares[f]);
    if (threadIdx.x % kWarp == 0) totals[f * kWarps + threadIdx.x / kWarp] = total;
  }
  __syncthreads();
  if (threadIdx.x >= Faces || first_face + threadIdx.x >= params.batch) return;
  double total = 0.0;
  for (int warp = 0; warp < kWarps; ++warp) total += totals[threadIdx.x * kWarps + warp];
  params.cost[first_face + threadIdx.x] = static_cast<T>(total);
}

template <int Faces, class T>
__global__ void __launch_bounds__(kDistanceThreads, 1)
distance_backward_kernel(VertexDistanceBackwardParams<T> params) {
  using Tile = DistanceTile<Faces, T>;
  constexpr int kGroups = kPanel<T> / 3;  // the mean or a mode: its x, y, z
  TWODASL_SHARED(Wide<T>, values, Tile::kValues);
  TWODASL_SHARED(Wide<T>, partial, Tile::kPartial);
  TWODASL_SHARED(T, gradient, 3 * kPanel<T>);  // of the features, without the factor 2 grad
  const int64_t modes_count = params.modes_count, inputs = 12 + modes_count, first_face = int64_t(blockIdx.x) * Faces;
  const int64_t features = distance_features(modes_count), width = distance_width(modes_count);
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp, lane = thread % kWarp;
  // Each of the 18 warps adds up one entry of M's gradient, of predicted or of target.
  static_assert(kWarps == 18);
  const int entry = warp % 9 / 3 * 4 + warp % 3, entry_side = warp / 9;
  T entry_sum[Faces] = {};

  const auto given = [&](int side) { return side == 0 ? params.predicted : params.target; };
  const auto result = [&](int side) { return side == 0 ? params.grad_predicted : params.grad_target; };
  const auto scale = [&](int side, int64_t face) {
    const T twice = T(2) * params.grad[face * params.grad_stride];
    return side == 0 ? twice : -twice;
  };

  for (int64_t panel = 0; panel < width; panel += kPanel<T>) {
    const int64_t output = panel + Tile::place() * Tile::kPack;
    Tile tile;
    tile.clear();
    // Residuals past the diagonal do not count.
    const int64_t all = panel + kPanel<T> < features ? panel + kPanel<T> : features;
    for (int64_t chunk = 0; chunk < all; chunk += kChunk) {
      const int64_t end = chunk + kChunk < all ? chunk + kChunk : all;
      Tile::fill(&values[0], chunk, end, [&](int f, int r, int64_t i) {
        const int64_t face = first_face + f;
        return face < params.batch ? params.residual[(face * 3 + r) * width + i] : T(0);
      });
      const int count = static_cast<int>(end - chunk);
      const auto last = [&](int place) {
        const int64_t past = panel + (place + 1) * Tile::kPack - chunk;
        return past < count ? static_cast<int>(past > 0 ? past : 0) : count;
      };
      tile.add(params.factor + chunk * width + output, width, &values[0], 0, output < width ? last(Tile::place()) : 0,
               0, last(Tile::highest_place()));
    }
    for_each_face<Faces>([&](auto number) {
      constexpr int f = decltype(number)::value;
      const int64_t face = first_face + f;
      const bool real = face < params.batch;
      tile.template finish<f>(&partial[0], [&](int r, int v, T sum) {
        gradient[r * kPanel<T> + v] = sum;
        if (panel + v != features - 1 || !real) return;
        for (int side = 0; side < 2; ++side) {
          if (given(side) == nullptr) continue;
          result(side)[face * inputs + 4 * r + 3] = params.ignore_depth && r == 2 ? T(0) : scale(side, face) * sum;
        }
      });
      __syncthreads();
      if (!real) return;
      const int64_t first_group = panel / 3;
      if (thread < 2 * kGroups) {
        const int side = thread / kGroups, group = thread % kGroups;
        const int64_t k = first_group + group - 1;
        const T* parameters = given(side);
        if (k >= 0 && k < modes_count && parameters != nullptr) {
          const T* pose = parameters + face * inputs;
          T total = T(0);
#pragma unroll
          for (int i = 0; i < 9; ++i) {
            total = fma(gradient[i / 3 * kPanel<T> + 3 * group + i % 3], pose[i / 3 * 4 + i % 3], total);
          }
          result(side)[face * inputs + 12 + k] = scale(side, face) * total;
        }
      }
      if (given(entry_side) != nullptr) {
        const T* coefficients = given(entry_side) + face * inputs + 12;
        for (int group = lane; group < kGroups && first_group + group <= modes_count; group += kWarp) {
          const int64_t k = first_group + group - 1;
          const T c = k < 0 ? T(1) : coefficients[k];
          entry_sum[f] = fma(gradient[warp % 9 / 3 * kPanel<T> + 3 * group + warp % 3], c, entry_sum[f]);
        }
      }
    });
  }
#pragma unroll
  for (int f = 0; f < Faces; ++f) {
    const int64_t face = first_face + f;
    const T total = sum_lanes<kWarp>(entry_sum[f]);
    if (lane == 0 && face < params.batch && given(entry_side) != nullptr) {
      result(entry_side)[face * inputs + entry] = scale(entry_side, face) * total;
    }
  }
}

// Faces per block, as many as fit in the registers. The number does not change the result.
template <class T>
constexpr int kTile = sizeof(T) == 4 ? 3 : 2;
bool tiled(int64_t batch) { return batch > multiprocessors(); }

}  // namespace

template <class T>
Error launch_vertex_distance_cost(const VertexDistanceParams<T>& params, void* stream) {
  const bool tile = tiled(params.batch);
  return launch(tile ? &distance_kernel<kTile<T>, T> : &distance_kernel<1, T>,
                static_cast<unsigned>(divide_up(params.batch, tile ? kTile<T> : 1)), kDistanceThreads, 0, stream,
                params);
}

template <class T>
Error launch_vertex_distance_cost_backward(const VertexDistanceBackwardParams<T>& params, void* stream) {
  const bool tile = tiled(params.batch);
  return launch(tile ? &distance_backward_kernel<kTile<T>, T> : &distance_backward_kernel<1, T>,
                static_cast<unsigned>(divide_up(params.batch, tile ? kTile<T> : 1)), kDistanceThreads, 0, stream,
                params);
}

template Error launch_vertex_distance_cost(const VertexDistanceParams<float>&, void*);
template Error launch_vertex_distance_cost(const VertexDistanceParams<double>&, void*);
template Error launch_vertex_distance_cost_backward(const VertexDistanceBackwardParams<float>&, void*);
template Error launch_vertex_distance_cost_backward(const VertexDistanceBackwardParams<double>&, void*);

}  // namespace twodasl::cuda
