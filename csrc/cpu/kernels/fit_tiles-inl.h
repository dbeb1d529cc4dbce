// Dense linear algebra of fit_landmarks on small matrices: products in tiles of registers, and on them a Cholesky
// factorization by rows, U^T U = H, with the right side as one column more. Rows are `width` numbers, whole vectors.
// Sums run in an order that depends on sizes alone.
#pragma once

namespace twodasl::cpu::TWODASL_LEVEL {

// Tile of a product: rows whose factors are broadcast, by vectors. Accumulators, vectors and a factor fill the registers.
#if defined(__AVX512F__) || defined(__aarch64__)
inline constexpr int kTileSums = 24, kTileRows = 12, kTileVectors = 4;
#else
inline constexpr int kTileSums = 10, kTileRows = 8, kTileVectors = 2;
#endif
// So many rows of a tile that is so many vectors wide.
constexpr int tile_rows(int vectors) { return kTileSums / vectors < kTileRows ? kTileSums / vectors : kTileRows; }
// Rows of a factor that are made together.
inline constexpr int kPanel = tile_rows(kTileVectors) < 6 ? tile_rows(kTileVectors) : 6;

// A matrix whose rows [first, last) are here.
template <class T>
struct RowsOf {
  T* data;  // of row `first`
  int64_t first, last, width;
  T* row(int64_t i) const { return data + (i - first) * width; }
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

// `rows` is at most tile_rows(Vectors), of which Rows are tried first.
template <int Rows, int Vectors, bool Subtract, class T>
inline void product_rows(int64_t rows, const T* left, const T* right, int64_t count, int64_t width, T* output) {
  if constexpr (Rows > 1) {
    if (rows < Rows) return product_rows<Rows - 1, Vectors, Subtract>(rows, left, right, count, width, output);
  }
  product_tile<Rows, Vectors, Subtract>(left, right, count, width, output);
}

// `rows` rows by `vectors` vectors, in tiles: wide ones first, the rows split evenly.
template <int Vectors, bool Subtract, class T>
inline void product_block(int64_t rows, int64_t vectors, const T* left, const T* right, int64_t count, int64_t width,
                          T* output) {
  constexpr int lanes = Vec<T>::lanes, kRows = tile_rows(Vectors);
  int64_t v = 0;
  for (; v + Vectors <= vectors; v += Vectors) {
    int64_t pieces = (rows + kRows - 1) / kRows;
    for (int64_t i = 0; i < rows; --pieces) {
      const int64_t some = (rows - i + pieces - 1) / pieces;
      product_rows<kRows, Vectors, Subtract>(some, left + i, right + v * lanes, count, width,
                                             output + i * width + v * lanes);
      i += some;
    }
  }
  if constexpr (Vectors > 1) {
    if (v < vectors) {
      product_block<Vectors - 1, Subtract>(rows, vectors - v, left, right + v * lanes, count, width, output + v * lanes);
    }
  }
}

// output[i, j] += or -= sum_r left[r, i] right[r, j] for rows [begin, end) and the vectors of columns that hold
// [from, to): with `upper` those from the diagonal on. `left` and `right` have `count` rows of the output's width.
template <bool Subtract, class T>
void add_product(const T* left, const T* right, int64_t count, const RowsOf<T>& output, int64_t begin, int64_t end,
                 int64_t from, int64_t to, bool upper) {
  constexpr int64_t lanes = Vec<T>::lanes, block = lanes < 8 ? 8 : lanes;
  const int64_t width = output.width, last = (to + lanes - 1) / lanes;
  for (int64_t i = begin; i < end;) {
    // With `upper`, rows as far as the next block's diagonal.
    const int64_t next = upper ? (i / block + 1) * block : end, stop = next < end ? next : end;
    const int64_t first = (upper && i > from ? i : from) / lanes;
    product_block<kTileVectors, Subtract>(stop - i, last - first, left + i, right + first * lanes, count, width,
                                          output.row(i) + first * lanes);
    i = stop;
  }
}

// output -= factor * row, over vectors [first, last).
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

// The triangle of a panel's rows [begin, begin + rows): numbers one by one, since each waits for the last. u[i][k] for
// i < k, inverse[k] = 1 / u[k][k]. False where a pivot is not positive.
template <class T>
inline bool factor_triangle(const T* const* row, int64_t begin, int rows, T (&u)[kPanel][kPanel], T* inverse) {
  for (int k = 0; k < rows; ++k) {
    T pivot = row[k][begin + k];
    for (int r = 0; r < k; ++r) pivot -= u[r][k] * u[r][k];
    if (!(pivot > T(0))) return false;
    const T scale = T(1) / root(pivot);
    inverse[k] = scale;
    for (int j = k + 1; j < rows; ++j) {
      T sum = row[k][begin + j];
      for (int r = 0; r < k; ++r) sum -= u[r][k] * u[r][j];
      u[k][j] = sum * scale;
    }
  }
  return true;
}

// Solves for a panel's rows, a vector of columns at a time: row_k = (row_k - sum_{r < k} u_rk row_r) / u_kk.
template <int Rows, class T>
inline void solve_panel(T* const* row, const T (&u)[kPanel][kPanel], const T* inverse, int64_t first, int64_t last) {
  constexpr int lanes = Vec<T>::lanes;
  for (int64_t v = first * lanes; v < last * lanes; v += lanes) {
    Vec<T> x[Rows];
    for (int k = 0; k < Rows; ++k) x[k] = load(row[k] + v);
    for (int k = 0; k < Rows; ++k) {
      x[k] = mul(x[k], broadcast(inverse[k]));
      for (int i = k + 1; i < Rows; ++i) x[i] = fma(broadcast(-u[k][i]), x[k], x[i]);
    }
    for (int k = 0; k < Rows; ++k) store(row[k] + v, x[k]);
  }
}
template <int Rows, class T>
inline void solve_panel_of(int rows, T* const* row, const T (&u)[kPanel][kPanel], const T* inverse, int64_t first,
                           int64_t last) {
  if constexpr (Rows > 1) {
    if (rows < Rows) return solve_panel_of<Rows - 1>(rows, row, u, inverse, first, last);
  }
  solve_panel<Rows>(row, u, inverse, first, last);
}

// Factors rows [first, last) of H in place, all columns up to `columns`, zeros left of the diagonal. inverse[i] = 1 / U_ii.
// False where a pivot is not positive; what was written then means nothing.
template <class T>
bool factor(const RowsOf<T>& h, int64_t columns, T* inverse) {
  constexpr int lanes = Vec<T>::lanes;
  const int64_t last = (columns + lanes - 1) / lanes;
  for (int64_t begin = h.first; begin < h.last; begin += kPanel) {
    const int rows = static_cast<int>(begin + kPanel < h.last ? kPanel : h.last - begin);
    add_product<true>(static_cast<const T*>(h.data), static_cast<const T*>(h.data), begin - h.first, h, begin,
                      begin + rows, begin, columns, false);
    T u[kPanel][kPanel] = {};
    T* row[kPanel];
    for (int k = 0; k < rows; ++k) row[k] = h.row(begin + k);
    if (!factor_triangle<T>(row, begin, rows, u, inverse + begin)) return false;
    solve_panel_of<kPanel>(rows, static_cast<T* const*>(row), u, static_cast<const T*>(inverse + begin), begin / lanes,
                           last);
    for (int k = 0; k < rows; ++k) {
      for (int64_t j = begin / lanes * lanes; j < begin + k; ++j) row[k][j] = T(0);
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
  for (int64_t begin = 0; begin < count; begin += kPanel) {
    const int64_t end = begin + kPanel < count ? begin + kPanel : count;
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
