// vertex_distance_cost: cost = sum_r || R a_r ||^2 over the rows r of the pose, where the features of a row,
//   a_r[3k + x] = (M - M*)[r, x] c_k + M*[r, x] (c_k - c*_k)   (c_0 = c*_0 = 1 for the mean)   and   t_r - t*_r last,
// are made of differences, so that close predictions do not cancel. With g_r = 2 R^T (R a_r) the gradients are
//   dM[r, x] = sum_k g_r[3k + x] c_k,   dc_k = sum_rx g_r[3k + x] M[r, x],   dt_r = g_r[last]
// and for the target the same of c* and M*, negative.
#pragma once

namespace twodasl::cpu::TWODASL_LEVEL {

// A tile of the products with the factor: three rows of each of this many faces by this many vectors of the factor.
// In 32 registers: 27 sums, 3 vectors and 1 feature. In 16: 9 sums, which keep the multipliers busy.
#if defined(__aarch64__)
inline constexpr int kDistanceFaces = 3;
#else
inline constexpr int kDistanceFaces = Vec<float>::lanes == 16 ? 3 : 1;
#endif
inline constexpr int kDistanceVectors = 3;
// A panel of the factor stays in the first-level cache while the tiles of this many faces pass over it.
inline constexpr int64_t kDistanceGroup = 4 * kDistanceFaces;

template <class T>
struct DistanceFactor {
  const T* upper;       // (width, width): R
  const T* transposed;  // (width, width): R^T
  int64_t features;     // 3 (K + 1) + 1
  int64_t width;        // the same rounded up to whole blocks
};

template <class T>
inline DistanceFactor<T> distance_factor(const T* factor, int64_t modes_count) {
  const int64_t features = distance_features(modes_count), width = distance_width(modes_count);
  return {factor, factor + width * width, features, width};
}

// sums[row][v] += sum of values[row][i] * matrix[i][v] for i in [begin, end), v in [First, Last). Every sum runs over
// i in order, so the tile's size does not change a bit of the result.
template <int Rows, int Vectors, int First, int Last, class T>
inline __attribute__((always_inline)) void multiply_add(const T* matrix, int64_t width, const T* values, int64_t begin,
                                                        int64_t end, Vec<T> (&sums)[Rows][Vectors]) {
  for (int64_t i = begin; i < end; ++i) {
    Vec<T> m[Vectors];
#pragma GCC unroll 8
    for (int v = First; v < Last; ++v) m[v] = load(matrix + i * width + v * Vec<T>::lanes);
#pragma GCC unroll 16
    for (int row = 0; row < Rows; ++row) {
      const Vec<T> value = broadcast(values[row * width + i]);
#pragma GCC unroll 8
      for (int v = First; v < Last; ++v) sums[row][v] = fma(value, m[v], sums[row][v]);
    }
  }
}

// R a: entries [first, first + Vectors * lanes) of every row. R is upper triangular, so features before `first` do not
// count, and the tile may overwrite the features that it has read (in place, from the first panel to the last).
struct ResidualTile {
  template <int Faces, int Vectors, class T>
  static void run(const DistanceFactor<T>& factor, int64_t first, const T* values, T* output) {
    constexpr int64_t lanes = Vec<T>::lanes;
    Vec<T> sums[3 * Faces][Vectors];
    clear(sums);
    diagonal<1>(factor, first, values, sums);
    multiply_add<3 * Faces, Vectors, 0, Vectors>(factor.transposed + first, factor.width, values,
                                                 first + Vectors * lanes, factor.features, sums);
    write(sums, factor.width, output + first);
  }

  // Vector v of the panel begins v * lanes further down the triangle.
  template <int Stage, int Rows, int Vectors, class T>
  static inline __attribute__((always_inline)) void diagonal(const DistanceFactor<T>& factor, int64_t first,
                                                             const T* values, Vec<T> (&sums)[Rows][Vectors]) {
    const int64_t begin = first + (Stage - 1) * Vec<T>::lanes, end = begin + Vec<T>::lanes;
    multiply_add<Rows, Vectors, 0, Stage>(factor.transposed + first, factor.width, values, begin,
                                          end < factor.features ? end : factor.features, sums);
    if constexpr (Stage < Vectors) diagonal<Stage + 1>(factor, first, values, sums);
  }

  template <int Rows, int Vectors, class T>
  static inline __attribute__((always_inline)) void clear(Vec<T> (&sums)[Rows][Vectors]) {
#pragma GCC unroll 16
    for (int row = 0; row < Rows; ++row) {
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) sums[row][v] = broadcast(T(0));
    }
  }

  template <int Rows, int Vectors, class T>
  static inline __attribute__((always_inline)) void write(const Vec<T> (&sums)[Rows][Vectors], int64_t width,
                                                          T* output) {
#pragma GCC unroll 16
    for (int row = 0; row < Rows; ++row) {
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) store(output + row * width + v * Vec<T>::lanes, sums[row][v]);
    }
  }
};

// R^T y: the same entries. Residuals past the diagonal do not count.
struct FeatureGradientTile : ResidualTile {
  template <int Faces, int Vectors, class T>
  static void run(const DistanceFactor<T>& factor, int64_t first, const T* values, T* output) {
    Vec<T> sums[3 * Faces][Vectors];
    clear(sums);
    multiply_add<3 * Faces, Vectors, 0, Vectors>(factor.upper + first, factor.width, values, 0, first, sums);
    diagonal<0>(factor, first, values, sums);
    write(sums, factor.width, output + first);
  }

  template <int Stage, int Rows, int Vectors, class T>
  static inline __attribute__((always_inline)) void diagonal(const DistanceFactor<T>& factor, int64_t first,
                                                             const T* values, Vec<T> (&sums)[Rows][Vectors]) {
    const int64_t begin = first + Stage * Vec<T>::lanes, end = begin + Vec<T>::lanes;
    multiply_add<Rows, Vectors, Stage, Vectors>(factor.upper + first, factor.width, values, begin,
                                                end < factor.features ? end : factor.features, sums);
    if constexpr (Stage + 1 < Vectors) diagonal<Stage + 1>(factor, first, values, sums);
  }
};

template <class Tile, int Faces, int Vectors, class T>
inline void distance_faces(const DistanceFactor<T>& factor, int64_t first, const T* values, T* output, int64_t faces) {
  for (; faces >= Faces; faces -= Faces) {
    Tile::template run<Faces, Vectors>(factor, first, values, output);
    values += Faces * 3 * factor.width;
    output += Faces * 3 * factor.width;
  }
  if constexpr (Faces > 1) {
    if (faces > 0) distance_faces<Tile, Faces - 1, Vectors>(factor, first, values, output, faces);
  }
}

// (faces, 3, width) -> (faces, 3, width), panel after panel of the factor.
template <class Tile, int Vectors, class T>
inline void distance_panels(const DistanceFactor<T>& factor, int64_t first, const T* values, T* output, int64_t faces) {
  constexpr int64_t panel = Vectors * Vec<T>::lanes;
  for (; first + panel <= factor.width; first += panel) {
    distance_faces<Tile, kDistanceFaces, Vectors>(factor, first, values, output, faces);
  }
  if constexpr (Vectors > 1) {
    if (first < factor.width) distance_panels<Tile, Vectors - 1>(factor, first, values, output, faces);
  }
}

// The features of one face's three rows, (3, width).
template <class T>
inline void distance_features_of(const T* predicted, const T* target, int64_t modes_count, bool ignore_depth,
                                 int64_t width, T* features) {
  constexpr int64_t lanes = Vec<T>::lanes;
  T step[12];
  for (int i = 0; i < 12; ++i) step[i] = predicted[i] - target[i];
  if (ignore_depth) step[11] = T(0);
  for (int r = 0; r < 3; ++r) {
    for (int x = 0; x < 3; ++x) features[r * width + x] = step[4 * r + x];
    features[r * width + 3 * (modes_count + 1)] = step[4 * r + 3];
  }
  const T *c = predicted + 12, *c_target = target + 12;
  T* output = features + 3;
  int64_t k = 0;
  for (; k + lanes <= modes_count; k += lanes) {
    const Vec<T> now = load(c + k), change = fma(load(c_target + k), broadcast(T(-1)), now);
    for (int r = 0; r < 3; ++r) {
      const T *s = step + 4 * r, *m = target + 4 * r;
      store_interleaved(output + r * width + 3 * k, fma(broadcast(s[0]), now, mul(broadcast(m[0]), change)),
                        fma(broadcast(s[1]), now, mul(broadcast(m[1]), change)),
                        fma(broadcast(s[2]), now, mul(broadcast(m[2]), change)));
    }
  }
  for (; k < modes_count; ++k) {
    const T now = c[k], change = c[k] - c_target[k];
    for (int r = 0; r < 3; ++r) {
      for (int x = 0; x < 3; ++x) {
        output[r * width + 3 * k + x] = step[4 * r + x] * now + target[4 * r + x] * change;
      }
    }
  }
}

template <class T>
inline T sum_of_squares(const T* values, int64_t count) {
  double part[kBlock] = {};  // one sum for each place in a block: the same order at every level
  for (int64_t i = 0; i < count; i += kBlock) {
    for (int64_t lane = 0; lane < kBlock; ++lane) {
      const double x = static_cast<double>(values[i + lane]);
      part[lane] += x * x;
    }
  }
  double total = 0.0;
  for (const double p : part) total += p;
  return static_cast<T>(total);
}

template <class T>
void vertex_distance_cost(const VertexDistanceParams<T>& params, int64_t begin, int64_t end) {
  const int64_t modes_count = params.modes_count, inputs = 12 + modes_count;
  const DistanceFactor<T> factor = distance_factor(params.factor, modes_count);
  const int64_t rows = 3 * factor.width;
  for (int64_t first = begin; first < end; first += kDistanceGroup) {
    const int64_t last = first + kDistanceGroup < end ? first + kDistanceGroup : end;
    T* residual = params.residual + first * rows;
    for (int64_t face = first; face < last; ++face) {
      distance_features_of(params.predicted + face * inputs, params.target + face * inputs, modes_count,
                           params.ignore_depth, factor.width, params.residual + face * rows);
    }
    distance_panels<ResidualTile, kDistanceVectors>(factor, 0, residual, residual, last - first);
    for (int64_t face = first; face < last; ++face) {
      params.cost[face] = sum_of_squares(params.residual + face * rows, rows);
    }
  }
}

// The gradient of one face's parameters from that of its features, (3, width).
template <class T>
inline void distance_parameters(const T* features, int64_t width, const T* parameters, int64_t modes_count, T scale,
                                T* output) {
  constexpr int64_t lanes = Vec<T>::lanes;
  const T *pose = parameters, *c = parameters + 12, *g = features + 3;
  Vec<T> sums[3][3];
#pragma GCC unroll 3
  for (int r = 0; r < 3; ++r) {
#pragma GCC unroll 3
    for (int x = 0; x < 3; ++x) sums[r][x] = broadcast(T(0));
  }
  T rest[3][3] = {};
  int64_t k = 0;
  for (; k + lanes <= modes_count; k += lanes) {
    const Vec<T> now = load(c + k);
    Vec<T> total = broadcast(T(0));
#pragma GCC unroll 3
    for (int r = 0; r < 3; ++r) {
      Vec<T> row[3];
      load_interleaved(g + r * width + 3 * k, row[0], row[1], row[2]);
#pragma GCC unroll 3
      for (int x = 0; x < 3; ++x) {
        sums[r][x] = fma(row[x], now, sums[r][x]);
        total = fma(row[x], broadcast(pose[4 * r + x]), total);
      }
    }
    store(output + 12 + k, mul(broadcast(scale), total));
  }
  for (; k < modes_count; ++k) {
    T total = T(0);
    for (int r = 0; r < 3; ++r) {
      for (int x = 0; x < 3; ++x) {
        const T value = g[r * width + 3 * k + x];
        rest[r][x] += value * c[k];
        total += value * pose[4 * r + x];
      }
    }
    output[12 + k] = scale * total;
  }
#pragma GCC unroll 3
  for (int r = 0; r < 3; ++r) {
    const T* row = features + r * width;
#pragma GCC unroll 3
    for (int x = 0; x < 3; ++x) output[4 * r + x] = scale * (row[x] + (rest[r][x] + sum(sums[r][x])));
    output[4 * r + 3] = scale * row[3 * (modes_count + 1)];
  }
}

template <class T>
void vertex_distance_cost_backward(const VertexDistanceBackwardParams<T>& params, int64_t begin, int64_t end) {
  const int64_t modes_count = params.modes_count, inputs = 12 + modes_count;
  const DistanceFactor<T> factor = distance_factor(params.factor, modes_count);
  const int64_t rows = 3 * factor.width;
  for (int64_t first = begin; first < end; first += kDistanceGroup) {
    const int64_t last = first + kDistanceGroup < end ? first + kDistanceGroup : end;
    distance_panels<FeatureGradientTile, kDistanceVectors>(factor, 0, params.residual + first * rows,
                                                           params.scratch + first * rows, last - first);
    for (int64_t face = first; face < last; ++face) {
      const T* features = params.scratch + face * rows;
      const T scale = T(2) * params.grad[face * params.grad_stride];
      for (int side = 0; side < 2; ++side) {
        const T* parameters = side == 0 ? params.predicted : params.target;
        if (parameters == nullptr) continue;
        T* output = (side == 0 ? params.grad_predicted : params.grad_target) + face * inputs;
        distance_parameters(features, factor.width, parameters + face * inputs, modes_count,
                            side == 0 ? scale : -scale, output);
        if (params.ignore_depth) output[11] = T(0);
      }
    }
  }
}

}  // namespace twodasl::cpu::TWODASL_LEVEL
