// Dense linear algebra of fit_landmarks on small matrices: products in tiles of registers, and on them a Cholesky
// factorization by rows, U^T U = H, with the right side as one column more. Rows are `width` numbers, whole vectors.
// Sums run in an order that depends on sizes alone.
#pragma once

namespace twodasl::cpu::TWODASL_LEVEL {

// Tile of a product: rows whose factors are broadcast, by vectors. Accumulators, vectors and a factor fill the registers.
#if defined(__AVX512F__) || defined(__aarch64__)
inline constexpr int kTileRows = 6;
inline constexpr int kTileVectors = 4;
#else
inline constexpr int kTileRows = 4;
inline constexpr int kTileVectors = 2;
#endif

// A matrix whose rows [first, last) are here.
template <class T>
struct RowsOf {
  T* data;  // of row `first`
  int64_t first, last, width;
  T* row(int64_t i) const { return data + (i - first) * width; }
};

template <int N>
struct Size {
  static constexpr int value = N;
};

// Adds sum_r left[r, i] right[r, j] to `output`, or subtracts it.
template <int Rows, int Vectors, bool Subtract, class T>
inline void product_tile(const T* left, const T* right, int64_t count, int64_t width, T* output) {
  constexpr int lanes = Vec<T>::lanes;
  Vec<T> sums[Rows][Vectors];
  for (int i = 0; i < Rows; ++i) {
    for (int v = 0; v < Vectors; ++v) sums[i][v] = load(output + i * width + v * lanes);
  }
  for (int64_t r = 0; r < count; ++r, left += width, right += width) {
    Vec<T> vectors[Vectors];
    for (int v = 0; v < Vectors; ++v) vectors[v] = load(right + v * lanes);
    for (int i = 0; i < Rows; ++i) {
      const Vec<T> factor = broadcast(Subtract ? -left[i] : left[i]);
      for (int v = 0; v < Vectors; ++v) sums[i][v] = fma(factor, vectors[v], sums[i][v]);
    }
  }
  for (int i = 0; i < Rows; ++i) {
    for (int v = 0; v < Vectors; ++v) store(output + i * width + v * lanes, sums[i][v]);
  }
}

template <int Rows, int Vectors, bool Subtract, class T>
inline void product_row_of_tiles(const T* left, const T* right, int64_t count, int64_t width, int64_t vectors,
                                 T* output) {
  constexpr int lanes = Vec<T>::lanes;
  int64_t v = 0;
  for (; v + Vectors <= vectors; v += Vectors) {
    product_tile<Rows, Vectors, Subtract>(left, right + v * lanes, count, width, output + v * lanes);
  }
  if constexpr (Vectors > 1) {
    if (v < vectors) {
      product_row_of_tiles<Rows, Vectors - 1, Subtract>(left, right + v * lanes, count, width, vectors - v,
                                                        output + v * lanes);
    }
  }
}

// output[i, j] += or -= sum_r left[r, i] right[r, j] for rows [begin, end) and the vectors of columns that hold
// [from, to): with `upper` those from the diagonal on. `left` and `right` have `count` rows of the output's width.
template <bool Subtract, class T>
void add_product(const T* left, const T* right, int64_t count, const RowsOf<T>& output, int64_t begin, int64_t end,
                 int64_t from, int64_t to, bool upper) {
  constexpr int lanes = Vec<T>::lanes;
  const int64_t width = output.width, last = (to + lanes - 1) / lanes;
  const auto rows = [&](auto size, int64_t i) {
    constexpr int kRows = decltype(size)::value;
    const int64_t first = (upper && i > from ? i : from) / lanes;
    product_row_of_tiles<kRows, kTileVectors, Subtract>(left + i, right + first * lanes, count, width, last - first,
                                                        output.row(i) + first * lanes);
  };
  int64_t i = begin;
  for (; i + kTileRows <= end; i += kTileRows) rows(Size<kTileRows>{}, i);
  for (; i + 2 <= end; i += 2) rows(Size<2>{}, i);
  for (; i < end; ++i) rows(Size<1>{}, i);
}

// Row `row` of U^-T out of those before it, or of U: output -= factor * row, over vectors [first, last).
template <class T>
inline void subtract_row(T factor, const T* row, int64_t first, int64_t last, T* output) {
  constexpr int lanes = Vec<T>::lanes;
  const Vec<T> by = broadcast(-factor);
  for (int64_t v = first * lanes; v < last * lanes; v += lanes) {
    store(output + v, fma(by, load(row + v), load(output + v)));
  }
}

template <class T>
inline void scale_row(T factor, int64_t first, int64_t last, T* row) {
  constexpr int lanes = Vec<T>::lanes;
  const Vec<T> by = broadcast(factor);
  for (int64_t v = first * lanes; v < last * lanes; v += lanes) store(row + v, mul(by, load(row + v)));
}

// Factors rows [first, last) of H in place, all columns up to `columns`, zeros left of the diagonal. inverse[i] = 1 / U_ii.
// False where a pivot is not positive; what was written then means nothing.
template <class T>
bool factor(const RowsOf<T>& h, int64_t columns, T* inverse) {
  constexpr int lanes = Vec<T>::lanes;
  const int64_t last = (columns + lanes - 1) / lanes;
  for (int64_t begin = h.first; begin < h.last; begin += kTileRows) {
    const int64_t end = begin + kTileRows < h.last ? begin + kTileRows : h.last;
    add_product<true>(h.data, h.data, begin - h.first, h, begin, end, begin, columns, false);
    for (int64_t k = begin; k < end; ++k) {
      T* const row = h.row(k);
      const T pivot = row[k];
      if (!(pivot > T(0))) return false;
      const T scale = T(1) / root(pivot);
      inverse[k] = scale;
      for (int64_t j = k / lanes * lanes; j < k; ++j) row[j] = T(0);
      scale_row(scale, k / lanes, last, row);
      for (int64_t i = k + 1; i < end; ++i) subtract_row(row[i], row, k / lanes, last, h.row(i));
    }
  }
  return true;
}

// U x = y for rows [first, last), y in the column `right`; x of later columns is known, and zero from `right` on.
template <class T>
void back_substitute(const RowsOf<T>& u, int64_t right, const T* inverse, T* x) {
  constexpr int lanes = Vec<T>::lanes;
  for (int64_t i = u.first; i < u.last; ++i) x[i] = T(0);
  const int64_t first_block = u.first / kBlock, last_block = block_count(u.last);
  for (int64_t block = last_block; block-- > first_block;) {
    const int64_t from = block * kBlock > u.first ? block * kBlock : u.first, past = (block + 1) * kBlock;
    const int64_t to = past < u.last ? past : u.last;
    T left[kBlock];  // of every row of the block, less what the later columns take
    for (int64_t i = from; i < to; ++i) {
      Vec<T> sums = broadcast(T(0));
      const T* const row = u.row(i);
      for (int64_t j = past; j < u.width; j += lanes) sums = fma(load(row + j), load(x + j), sums);
      T rest = row[right] - sum(sums);
      for (int64_t j = to; j < past && j < u.width; ++j) rest -= row[j] * x[j];
      left[i - from] = rest;
    }
    for (int64_t i = to; i-- > from;) {
      const T value = left[i - from] * inverse[i];
      x[i] = value;
      for (int64_t j = from; j < i; ++j) left[j - from] -= u.row(j)[i] * value;
    }
  }
}

// The diagonal of (U^T U)^-1 from the `count` rows of U, whose width the scratch `v` (count, width) has too.
template <class T>
void inverse_diagonal(const T* u, int64_t count, int64_t width, const T* inverse, T* v, T* diagonal) {
  constexpr int lanes = Vec<T>::lanes;
  const RowsOf<T> output{v, 0, count, width};
  for (int64_t i = 0; i < count * width; ++i) v[i] = T(0);
  // V = U^-T by rows: V_k = (e_k - sum_{r < k} U_rk V_r) / U_kk.
  for (int64_t begin = 0; begin < count; begin += kTileRows) {
    const int64_t end = begin + kTileRows < count ? begin + kTileRows : count;
    add_product<true>(u, static_cast<const T*>(v), begin, output, begin, end, 0, end, false);
    for (int64_t k = begin; k < end; ++k) {
      T* const row = output.row(k);
      row[k] += T(1);
      const int64_t vectors = k / lanes + 1;
      scale_row(inverse[k], 0, vectors, row);
      for (int64_t i = k + 1; i < end; ++i) subtract_row(u[k * width + i], row, 0, vectors, output.row(i));
    }
  }
  for (int64_t j = 0; j < width; j += lanes) {
    Vec<T> sums = broadcast(T(0));
    for (int64_t k = j; k < count; ++k) sums = fma(load(v + k * width + j), load(v + k * width + j), sums);
    store(diagonal + j, sums);
  }
}

}  // namespace twodasl::cpu::TWODASL_LEVEL
