// importance_weights: w_i = |p_i - p*_i| * || dH / dp_i || at the target, H the posed landmarks; then normalised.
// H is linear in any single parameter, so the derivative's norm is exact and nothing is reconstructed 12 + K times.
#pragma once

namespace twodasl::cpu::TWODASL_LEVEL {

// The norms are not negative and need no <cmath>: its inline functions would be shared between the levels.
inline float root(float x) { return __builtin_sqrtf(x); }
inline double root(double x) { return __builtin_sqrt(x); }
template <class T>
inline T magnitude(T x) { return x < T(0) ? -x : x; }

template <class T>
void importance_weights(const ImportanceWeightsParams<T>& params, int64_t begin, int64_t end) {
  constexpr int lanes = Vec<T>::lanes;
  const int64_t modes_count = params.basis.modes_count, blocks = block_count(params.basis.vertices);
  const int64_t width = 12 + modes_count;
  const int rows = params.planar ? 2 : 3;
  for (int64_t face = begin; face < end; ++face) {
    const T* predicted = params.predicted + face * width;
    const T* target = params.target + face * width;
    T* output = params.output + face * width;

    // || dH / dM_rc || is the norm of the target shape's component c, whatever the row; of t_r, sqrt(L).
    Vec<T> squares[3] = {broadcast(T(0)), broadcast(T(0)), broadcast(T(0))};
    for (int64_t block = 0; block < blocks; ++block) {
      for (int lane = 0; lane < kBlock; lane += lanes) {
        Vec<T> shape[1][3];
        synthesise<1>(params.basis.mean + block * kBlockRow + lane,
                      params.basis.modes + block * modes_count * kBlockRow + lane, modes_count, target + 12, shape);
        for (int c = 0; c < 3; ++c) squares[c] = fma(shape[0][c], shape[0][c], squares[c]);
      }
    }
    T norm[4];
    for (int c = 0; c < 3; ++c) norm[c] = root(sum(squares[c]));
    norm[3] = root(static_cast<T>(params.basis.vertices));
    for (int i = 0; i < 12; ++i) output[i] = magnitude(predicted[i] - target[i]) * norm[i % 4];
    // Nothing in an image supervises depth: in the plane the whole third row, in space t_z alone.
    for (int i = params.planar ? 8 : 11; i < 12; ++i) output[i] = T(0);

    for (int64_t k = 0; k < modes_count; ++k) {
      Vec<T> total = broadcast(T(0));
      for (int64_t block = 0; block < blocks; ++block) {
        const T* mode = params.basis.modes + (block * modes_count + k) * kBlockRow;
        for (int lane = 0; lane < kBlock; lane += lanes) {
          const Vec<T> x = load(mode + lane), y = load(mode + kBlock + lane), z = load(mode + 2 * kBlock + lane);
          for (int r = 0; r < rows; ++r) {
            const T* m = target + 4 * r;
            const Vec<T> moved = fma(broadcast(m[0]), x, fma(broadcast(m[1]), y, mul(broadcast(m[2]), z)));
            total = fma(moved, moved, total);
          }
        }
      }
      output[12 + k] = magnitude(predicted[12 + k] - target[12 + k]) * root(sum(total));
    }

    double whole = 0.0;
    for (int64_t i = 0; i < width; ++i) {
      const double w = static_cast<double>(output[i]);
      if (!params.by_maximum) {
        whole += w;
      } else if (w > whole || w != w) {  // a NaN shows in every weight instead of vanishing
        whole = w;
      }
    }
    if (params.by_maximum) whole += 1e-6;
    // A perfect prediction weighs nothing: zeros, not zero over zero.
    const T scale = whole == 0.0 ? T(0) : static_cast<T>(1.0 / whole);
    for (int64_t i = 0; i < width; ++i) output[i] *= scale;
  }
}

}  // namespace twodasl::cpu::TWODASL_LEVEL
