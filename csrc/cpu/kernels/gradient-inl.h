// What every gradient of the vertices starts with: the incoming gradient, read with any strides and rotated back.
#pragma once

namespace twodasl::cpu::TWODASL_LEVEL {

// The gradient of one vector of vertices of one face; lanes past the last vertex become zero.
template <class T>
inline void load_grad(const GradView<T>& grad, int64_t face, int64_t vertex, int64_t vertices, Vec<T> (&g)[3]) {
  constexpr int lanes = Vec<T>::lanes;
  const T* data = grad.data + face * grad.stride[0] + vertex * grad.stride[1];
  if (grad.stride[2] == 1 && grad.stride[1] == 3) {
    const int64_t left = vertices - vertex;
    if (left >= lanes) {
      load_interleaved(data, g[0], g[1], g[2]);
    } else {
      T tail[3 * lanes] = {};
      for (int64_t i = 0; i < 3 * left; ++i) tail[i] = data[i];
      load_interleaved(tail, g[0], g[1], g[2]);
    }
    return;
  }
  T buffer[3][lanes];
  for (int i = 0; i < lanes; ++i) {
    for (int c = 0; c < 3; ++c) {
      buffer[c][i] = vertex + i < vertices ? data[i * grad.stride[1] + c * grad.stride[2]] : T(0);
    }
  }
  for (int c = 0; c < 3; ++c) g[c] = load(buffer[c]);
}

// Asks for what load_grad() will read of a block, where the vertices lie one after the other.
template <class T>
inline void prefetch_grad(const GradView<T>& grad, int64_t face, int64_t vertex) {
  if (grad.stride[2] != 1 || grad.stride[1] != 3) return;
  const char* data = reinterpret_cast<const char*>(grad.data + face * grad.stride[0] + vertex * 3);
  for (int64_t i = 0; i < kBlockRow * static_cast<int64_t>(sizeof(T)); i += 64) __builtin_prefetch(data + i, 0, 2);
}

// Column c of M, applied as a row of M^T.
template <class T>
inline Vec<T> turn_back(const T* pose, int column, const Vec<T> (&g)[3]) {
  return fma(broadcast(pose[column]), g[0],
             fma(broadcast(pose[4 + column]), g[1], mul(broadcast(pose[8 + column]), g[2])));
}

// The sums over the lanes of `Count` vectors, four at a time where possible, which share additions.
template <int Count, class T>
inline __attribute__((always_inline)) void sum_each(const Vec<T>* a, T* output) {
  constexpr int fours = Count / 4 * 4;
#pragma GCC unroll 8
  for (int i = 0; i < fours; i += 4) sum_four(a[i], a[i + 1], a[i + 2], a[i + 3], output + i);
#pragma GCC unroll 4
  for (int i = fours; i < Count; ++i) output[i] = sum(a[i]);
}

}  // namespace twodasl::cpu::TWODASL_LEVEL
