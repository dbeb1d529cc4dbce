// importance_weights: w_i = |p_i - p*_i| * || dH / dp_i || at the target, H the posed landmarks; then normalized.
// H is linear in any single parameter, so the derivative's norm is exact and nothing is reconstructed 12 + K times.
#pragma once

namespace twodasl::cpu::TWODASL_LEVEL {

template <class T>
inline T magnitude(T x) { return x < T(0) ? -x : x; }

// For mode k, || dH / dc_k || = || M [x y z]^T || with x, y, z the mode's components at all landmarks: of these
// (L, 3) numbers only the triangular factor R of a QR decomposition matters, || M R^T ||, and it is the same for
// every face. Six numbers a mode in place of 3 L. Gram-Schmidt, in passes over the landmarks; a squared sum
// (the moments themselves) would lose the digits of a mode that moves along the line of sight.
template <class T>
void importance_factor(const ImportanceWeightsParams<T>& params, int64_t begin, int64_t end) {
  constexpr int lanes = Vec<T>::lanes;
  const int64_t modes_count = params.basis.modes_count, blocks = block_count(params.basis.vertices);
  const int64_t stride = padded(modes_count);
  for (int64_t k = begin; k < end; ++k) {
    const T* mode = params.basis.modes + k * kBlockRow;
    T xy = T(0), xz = T(0), yz = T(0);  // what is subtracted: y -= xy x, z -= xz x, then z -= yz y
    T* factor = params.factor + k;
    for (int pass = 0; pass < 3; ++pass) {
      Vec<T> a = broadcast(T(0)), b = a, c = a;
      for (int64_t block = 0; block < blocks; ++block) {
        for (int lane = 0; lane < kBlock; lane += lanes) {
          const T* row = mode + block * modes_count * kBlockRow + lane;
          const Vec<T> x = load(row);
          Vec<T> y = load(row + kBlock), z = load(row + 2 * kBlock);
          if (pass == 0) {
            a = fma(x, x, a), b = fma(x, y, b), c = fma(x, z, c);
            continue;
          }
          y = fma(broadcast(-xy), x, y), z = fma(broadcast(-xz), x, z);
          if (pass == 1) {
            a = fma(y, y, a), b = fma(y, z, b);
          } else {
            z = fma(broadcast(-yz), y, z);
            a = fma(z, z, a);
          }
        }
      }
      const T square = sum(a), norm = root(square), inverse = square > T(0) ? T(1) / square : T(0);
      if (pass == 0) {
        xy = sum(b) * inverse, xz = sum(c) * inverse;
        factor[0] = norm, factor[stride] = xy * norm, factor[2 * stride] = xz * norm;
      } else if (pass == 1) {
        yz = sum(b) * inverse;
        factor[3 * stride] = norm, factor[4 * stride] = yz * norm;
      } else {
        factor[5 * stride] = norm;
      }
    }
  }
}

// || M R^T || of one vector of modes; `rows` of M. `factor` points at the first of them.
template <class T>
inline Vec<T> turned_norm(const T* pose, int rows, const T* factor, int64_t stride) {
  const Vec<T> xx = load(factor), xy = load(factor + stride), xz = load(factor + 2 * stride);
  const Vec<T> yy = load(factor + 3 * stride), yz = load(factor + 4 * stride), zz = load(factor + 5 * stride);
  Vec<T> total = broadcast(T(0));
  for (int r = 0; r < rows; ++r) {
    const Vec<T> m0 = broadcast(pose[4 * r]), m1 = broadcast(pose[4 * r + 1]), m2 = broadcast(pose[4 * r + 2]);
    const Vec<T> x = fma(xx, m0, fma(xy, m1, mul(xz, m2))), y = fma(yy, m1, mul(yz, m2)), z = mul(zz, m2);
    total = fma(x, x, fma(y, y, fma(z, z, total)));
  }
  return root(total);
}

// The weights of one face from the squared norms of its shape's components.
template <class T>
void weigh(const ImportanceWeightsParams<T>& params, int64_t face, const T (&squares)[3]) {
  const int64_t modes_count = params.basis.modes_count, width = 12 + modes_count;
  const T* predicted = params.predicted + face * width;
  const T* target = params.target + face * width;
  T* output = params.output + face * width;
  // || dH / dM_rc || is the norm of the target shape's component c, whatever the row; of t_r, sqrt(L).
  const T norm[4] = {root(squares[0]), root(squares[1]), root(squares[2]),
                     root(static_cast<T>(params.basis.vertices))};
  for (int i = 0; i < 12; ++i) output[i] = magnitude(predicted[i] - target[i]) * norm[i % 4];
  // An image does not determine depth: in the plane the whole third row gets weight 0, in space only t_z.
  for (int i = params.planar ? 8 : 11; i < 12; ++i) output[i] = T(0);
  for (int64_t k = 0; k < modes_count; k += Vec<T>::lanes) {
    T size[Vec<T>::lanes];
    store(size, turned_norm(target, params.planar ? 2 : 3, params.factor + k, padded(modes_count)));
    for (int64_t i = 0; i < Vec<T>::lanes && k + i < modes_count; ++i) {
      output[12 + k + i] = magnitude(predicted[12 + k + i] - target[12 + k + i]) * size[i];
    }
  }
  double whole = 0.0;
  for (int64_t i = 0; i < width; ++i) {
    const double w = static_cast<double>(output[i]);
    if (!params.by_maximum) {
      whole += w;
    } else if (w > whole || w != w) {  // a NaN reaches every weight instead of disappearing
      whole = w;
    }
  }
  if (params.by_maximum) whole += 1e-6;
  // A perfect prediction has zero weights, not zero over zero.
  const T scale = whole == 0.0 ? T(0) : static_cast<T>(1.0 / whole);
  for (int64_t i = 0; i < width; ++i) output[i] *= scale;
}

template <int Faces, class T>
void importance_tile(const ImportanceWeightsParams<T>& params, int64_t face, int64_t end) {
  constexpr int lanes = Vec<T>::lanes;
  const int64_t modes_count = params.basis.modes_count, blocks = block_count(params.basis.vertices);
  const int64_t width = 12 + modes_count;
  for (; face + Faces <= end; face += Faces) {
    const T* coefficients = params.target + face * width + 12;
    Vec<T> squares[Faces][3];
    for (int f = 0; f < Faces; ++f) {
      for (int c = 0; c < 3; ++c) squares[f][c] = broadcast(T(0));
    }
    for (int64_t block = 0; block < blocks; ++block) {
      for (int lane = 0; lane < kBlock; lane += lanes) {
        Vec<T> shape[Faces][3];
        synthesize<Faces>(params.basis.mean + block * kBlockRow, params.basis.modes + block * modes_count * kBlockRow,
                          lane, modes_count, coefficients, width, shape);
        for (int f = 0; f < Faces; ++f) {
          for (int c = 0; c < 3; ++c) squares[f][c] = fma(shape[f][c], shape[f][c], squares[f][c]);
        }
      }
    }
    for (int f = 0; f < Faces; ++f) {
      const T sums[3] = {sum(squares[f][0]), sum(squares[f][1]), sum(squares[f][2])};
      weigh(params, face + f, sums);
    }
  }
  if constexpr (Faces > 1) {
    if (face < end) importance_tile<Faces / 2>(params, face, end);
  }
}

template <class T>
void importance_weights(const ImportanceWeightsParams<T>& params, int64_t begin, int64_t end) {
  importance_tile<kFaces>(params, begin, end);
}

}  // namespace twodasl::cpu::TWODASL_LEVEL
