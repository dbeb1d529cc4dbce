// Adjacent numbers moved by one instruction, and rows of them written to any address.
#pragma once

#include <type_traits>

#include "number.h"

namespace twodasl::cuda {

// `Count` numbers aligned to their size, of at most 16 bytes: one LDG, STG, LDS or STS. Four doubles are two of them.
template <class S, int Count>
struct alignas(sizeof(S) * Count < 16 ? sizeof(S) * Count : 16) Pack {
  S value[Count];
};

template <class S>
using Pack4 = Pack<S, 4>;

// As many as 16 bytes hold.
template <class S>
inline constexpr int kWide = 16 / static_cast<int>(sizeof(S));
template <class S>
using Wide = Pack<S, kWide<S>>;

template <int Count, class S>
__device__ __forceinline__ Pack<S, Count> load_pack(const S* from) {
  return *reinterpret_cast<const Pack<S, Count>*>(from);
}
template <int Count, class S>
__device__ __forceinline__ void store_pack(S* to, const Pack<S, Count>& pack) {
  *reinterpret_cast<Pack<S, Count>*>(to) = pack;
}

// `Count` numbers as they are stored: those of two bytes two to a register until they are needed.
template <class S>
struct Pair {
  unsigned bits;
};
template <class S, int Count>
using Stored = Pack<std::conditional_t<sizeof(S) == 2, Pair<S>, S>, sizeof(S) == 2 ? Count / 2 : Count>;

template <int Count, class S>
__device__ __forceinline__ Stored<S, Count> load_stored(const S* from) {
  return *reinterpret_cast<const Stored<S, Count>*>(from);
}

template <class T, int Count>
__device__ __forceinline__ Pack<T, Count> widened(const Pack<T, Count>& stored) {
  return stored;
}
template <class T, class S, int Pairs>
__device__ __forceinline__ Pack<T, 2 * Pairs> widened(const Pack<Pair<S>, Pairs>& stored) {
  Pack<T, 2 * Pairs> wide;
#pragma unroll
  for (int i = 0; i < Pairs; ++i) {
    wide.value[2 * i] = widen(S{static_cast<uint16_t>(stored.value[i].bits)});
    wide.value[2 * i + 1] = widen(S{static_cast<uint16_t>(stored.value[i].bits >> 16)});
  }
  return wide;
}

// The numbers from `Head` on of the eight in a and b.
template <int Head, class T>
__device__ __forceinline__ Pack<T, 4> joined(const Pack<T, 4>& a, const Pack<T, 4>& b) {
  Pack<T, 4> result;
#pragma unroll
  for (int i = 0; i < 4; ++i) result.value[i] = i + Head < 4 ? a.value[(i + Head) & 3] : b.value[(i + Head) & 3];
  return result;
}

// to[Head + 4 q ...] = row[Head + 4 q ...] for q < quads, of which there are at most `Most`.
template <int Head, int Threads, int Most>
__device__ __forceinline__ void store_quads(const float* row, float* to, int quads, int thread) {
#pragma unroll
  for (int i = 0; i < (Most + Threads - 1) / Threads; ++i) {
    const int q = thread + i * Threads;
    if (q >= quads) break;
    Pack<float, 4> four = load_pack<4>(row + 4 * q);
    if constexpr (Head > 0) four = joined<Head>(four, load_pack<4>(row + 4 * q + 4));
    // Said outright: nvcc splits the assignment of a pack into four stores of four bytes (tests/cuda/test_machine_code.py
    // counts them). As a stream, so that results leave the second-level cache before the basis does, which is read again.
    __stcs(reinterpret_cast<float4*>(to + Head + 4 * q),
           make_float4(four.value[0], four.value[1], four.value[2], four.value[3]));
  }
}

// `count` numbers of a row in shared memory, 16-byte aligned there, to `to`, at any address, by `Threads`
// neighboring threads. The result of a batch is (B, N, 3) with an odd N more often than not, so that most rows begin
// in the middle of 16 bytes: the numbers before the first whole 16 bytes and after the last are written one by one, the
// rest 16 bytes at a time, in order. A whole tile is one of four cases, the same for every thread of a row.
template <int Threads, int Most>
__device__ __forceinline__ void store_row(const float* row, float* to, int count, int thread) {
  int head = static_cast<int>(-(reinterpret_cast<uintptr_t>(to) / 4) & 3);
  head = head < count ? head : count;
  const int quads = (count - head) / 4, tail = head + 4 * quads;
  if (thread < head) to[thread] = row[thread];
  if (thread < count - tail) to[tail + thread] = row[tail + thread];
  if (head == 0) store_quads<0, Threads, Most / 4>(row, to, quads, thread);
  if (head == 1) store_quads<1, Threads, Most / 4>(row, to, quads, thread);
  if (head == 2) store_quads<2, Threads, Most / 4>(row, to, quads, thread);
  if (head == 3) store_quads<3, Threads, Most / 4>(row, to, quads, thread);
}
template <int Threads, int Most>
__device__ __forceinline__ void store_row(const double* row, double* to, int count, int thread) {
  for (int i = thread; i < count; i += Threads) to[i] = row[i];
}

}  // namespace twodasl::cuda
