// Points of a batch of clouds in the order of a curve, by one sort: a key is the element, then the place on its curve.
#pragma once

#include "../common/params.h"
#include "sort.h"

namespace twodasl::cuda {

// Which bits a key has. One sort pass takes eight of them; where all fit into 32, keys are numbers of 32.
struct CurveBits {
  int axis;   // of a coordinate
  int total;  // with those of the element

  // As many as fit into `wanted`, but `least` of a coordinate where 64 bits hold them.
  static CurveBits of(int64_t batch, int wanted, int least) {
    int element = 0;
    while (element < 63 && (int64_t(1) << element) < batch) ++element;
    int axis = (wanted - element) / 3;
    if (axis < least) axis = (64 - element) / 3 < least ? (64 - element) / 3 : least;
    axis = axis < 0 ? 0 : axis > 20 ? 20 : axis;
    return {axis, 3 * axis + element};
  }
  bool short_keys() const { return total <= 32; }
};

// The layout of the caller's scratch memory.
template <class T>
struct CurveScratch {
  size_t box, keys, sorted_keys, values, sorted_values, sort, sort_bytes, bytes;

  CurveScratch(int64_t batch, int64_t count, const CurveBits& bits, bool own_result) {
    size_t end = 0;
    const auto take = [&end](size_t size) {
      const size_t begin = end;
      end += (size + 255) / 256 * 256;
      return begin;
    };
    const size_t all = static_cast<size_t>(batch * count);
    box = take(static_cast<size_t>(batch) * 6 * sizeof(T));
    const size_t key = bits.short_keys() ? sizeof(uint32_t) : sizeof(uint64_t);
    keys = take(all * key);
    sorted_keys = take(all * key);
    values = take(all * sizeof(int32_t));
    sorted_values = take(own_result ? all * sizeof(int32_t) : 0);
    sort_bytes = bits.short_keys() ? sort_pairs_scratch<uint32_t>(batch * count, bits.total)
                                   : sort_pairs_scratch<uint64_t>(batch * count, bits.total);
    sort = take(sort_bytes);
    bytes = end;
  }
  template <class Number>
  static Number* at(void* scratch, size_t offset) {  // one of the above
    return reinterpret_cast<Number*>(static_cast<unsigned char*>(scratch) + offset);
  }
};

// What is sorted: the first lengths[b] of the points of every element, the others behind them in their own order. An
// element whose length or points are wrong keeps its own order altogether.
template <class T>
struct CurveOrderParams {
  const T* points;         // (B, N, 3)
  const int64_t* lengths;  // (B) or null
  int32_t* order;          // (B, N)
  int64_t batch;
  int64_t count;  // N
};

// Leaves the elements' boxes in the scratch, which say whether their points are finite: see box_is_finite().
template <class T>
const char* launch_curve_order(const CurveOrderParams<T>& params, const CurveBits& bits,
                               const CurveScratch<T>& layout, void* scratch, void* stream);

}  // namespace twodasl::cuda
