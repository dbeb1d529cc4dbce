// The curve's order: boxes by integer atomics, a key for each point, one stable sort for the whole batch.
#include "neighbors_order.h"

#include "../common/curve.h"
#include "neighbors.h"
#include "neighbors_box.h"

namespace twodasl::cuda {

namespace {

// A thread keeps to one axis, because this is a multiple of three: reads of the points are those of flat numbers.
constexpr int kBoxThreads = 384;
constexpr int kBoxPoints = 1024;
constexpr int kKeyThreads = 256;

// The greatest of the ordered bits of every coordinate and of their complements; zeros before.
template <class T>
__global__ void __launch_bounds__(kBoxThreads) box_kernel(CurveOrderParams<T> params, typename Ordered<T>::Bits* box,
                                                          int64_t chunks) {
  using Bits = typename Ordered<T>::Bits;
  TWODASL_SHARED(Bits, least, kBoxThreads);
  TWODASL_SHARED(Bits, most, kBoxThreads);
  const int64_t element = blockIdx.x / chunks, first = blockIdx.x % chunks * kBoxPoints;
  const int64_t count = length_of(params.lengths, element, params.count);
  const int64_t left = count - first;
  const int numbers = 3 * static_cast<int>(left < 0 ? 0 : left < kBoxPoints ? left : kBoxPoints);
  const T* p = params.points + 3 * (element * params.count + first);
  const int thread = static_cast<int>(threadIdx.x);
  Bits low = 0, high = 0;
#pragma unroll
  for (int i = 0; i < 3 * kBoxPoints; i += kBoxThreads) {
    if (i + thread < numbers) {
      const Bits bits = to_ordered(p[i + thread]);
      low = max(low, ~bits);
      high = max(high, bits);
    }
  }
  least[thread] = low;
  most[thread] = high;
  for (int half = kBoxThreads / 2; half >= 3; half /= 2) {
    __syncthreads();
    if (thread < half) {
      least[thread] = max(least[thread], least[thread + half]);
      most[thread] = max(most[thread], most[thread + half]);
    }
  }
  if (thread < 3 && numbers > 0) {
    atomicMax(box + 6 * element + thread, least[thread]);
    atomicMax(box + 6 * element + 3 + thread, most[thread]);
  }
}

template <class T, class Key>
__global__ void __launch_bounds__(kKeyThreads) key_kernel(CurveOrderParams<T> params, CurveBits bits,
                                                          const typename Ordered<T>::Bits* box, Key* keys,
                                                          int32_t* values, int64_t chunks) {
  const int64_t element = blockIdx.x / chunks, n = blockIdx.x % chunks * kKeyThreads + threadIdx.x;
  if (n >= params.count) return;
  const int64_t at = element * params.count + n;
  uint64_t place = (uint64_t(1) << 3 * bits.axis) - 1;  // padding comes last
  if (n < length_of(params.lengths, element, params.count) && box_is_finite<T>(box + 6 * element)) {
    T bounds[6];
    read_box(box + 6 * element, bounds);
    const CurveCells cells(bounds, bits.axis);
    uint32_t cell[3];
#pragma unroll
    for (int c = 0; c < 3; ++c) cell[c] = cells.cell(static_cast<double>(params.points[3 * at + c]), c);
    CurveState state{0, 0};
    place = 0;
    for (int bit = bits.axis - 1; bit >= 0; --bit) {
      const uint32_t octant = (cell[0] >> bit & 1u) | (cell[1] >> bit & 1u) << 1 | (cell[2] >> bit & 1u) << 2;
      place = place << 3 | static_cast<uint64_t>(curve_step(state, static_cast<int>(octant)));
    }
  }
  keys[at] = static_cast<Key>(static_cast<uint64_t>(element) << 3 * bits.axis | place);
  values[at] = static_cast<int32_t>(n);
}

// The keys, and the order that they give.
template <class T, class Key>
Error sort_by_key(const CurveOrderParams<T>& params, const CurveBits& bits, const CurveScratch<T>& layout, void* scratch,
                  void* stream) {
  using Bits = typename Ordered<T>::Bits;
  Key* const keys = layout.template at<Key>(scratch, layout.keys);
  int32_t* const values = layout.template at<int32_t>(scratch, layout.values);
  const int64_t chunks = divide_up(params.count, kKeyThreads);
  const Error error = launch(&key_kernel<T, Key>, dim3(static_cast<unsigned>(params.batch * chunks)), kKeyThreads, 0,
                             stream, params, bits, layout.template at<Bits>(scratch, layout.box), keys, values, chunks);
  if (error != nullptr) return error;
  const SortParams<Key> sort{keys,         values, layout.template at<Key>(scratch, layout.sorted_keys),
                             params.order, params.batch * params.count, bits.total};
  return sort_pairs(sort, layout.template at<void*>(scratch, layout.sort), layout.sort_bytes, stream);
}

}  // namespace

template <class T>
Error launch_curve_order(const CurveOrderParams<T>& params, const CurveBits& bits, const CurveScratch<T>& layout,
                         void* scratch, void* stream) {
  using Bits = typename Ordered<T>::Bits;
  Bits* const box = layout.template at<Bits>(scratch, layout.box);
  Error error = clear(box, 0, static_cast<size_t>(params.batch) * 6 * sizeof(Bits), stream);
  if (error != nullptr) return error;
  const int64_t chunks = divide_up(params.count, kBoxPoints);
  error = launch(&box_kernel<T>, dim3(static_cast<unsigned>(params.batch * chunks)), kBoxThreads, 0, stream, params, box,
                 chunks);
  if (error != nullptr) return error;
  return bits.short_keys() ? sort_by_key<T, uint32_t>(params, bits, layout, scratch, stream)
                           : sort_by_key<T, uint64_t>(params, bits, layout, scratch, stream);
}

// Queries only share their way: 24 bits, three passes of the sort, tell a face's apart well enough.
constexpr int kQueryBits = 24, kQueryAxisBits = 7;

template <class T>
size_t query_order_scratch(int64_t batch, int64_t queries) {
  return CurveScratch<T>(batch, queries, CurveBits::of(batch, kQueryBits, kQueryAxisBits), false).bytes;
}

template <class T>
Error launch_query_order(const QueryOrderParams<T>& params, void* scratch, void* stream) {
  if (params.batch == 0 || params.queries == 0) return nullptr;
  const CurveBits bits = CurveBits::of(params.batch, kQueryBits, kQueryAxisBits);
  const CurveScratch<T> layout(params.batch, params.queries, bits, false);
  const CurveOrderParams<T> order{params.query, params.query_lengths, params.order, params.batch, params.queries};
  return launch_curve_order(order, bits, layout, scratch, stream);
}

#define TWODASL_INSTANTIATE(T)                                                                                       \
  template Error launch_curve_order(const CurveOrderParams<T>&, const CurveBits&, const CurveScratch<T>&, \
                                    void*, void*);                                                                   \
  template size_t query_order_scratch<T>(int64_t, int64_t);                                                          \
  template Error launch_query_order(const QueryOrderParams<T>&, void*, void*);
TWODASL_INSTANTIATE(float)
TWODASL_INSTANTIATE(double)
#undef TWODASL_INSTANTIATE

}  // namespace twodasl::cuda
