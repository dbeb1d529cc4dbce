// A CUDA grid on the CPU, for running kernels without a GPU and for finding faults that a GPU would hide. Kernel files
// (csrc/cuda/*.cu) are compiled as plain C++ against this header instead of cuda_runtime.h.
//
// Every CUDA thread is a fiber that runs until it waits: at __syncthreads, or at an operation of its warp. A warp runs
// ahead of the others as far as it comes. Lanes, warps and blocks take turns in an order drawn from
// TWODASL_EMULATOR_ORDER (0: by number, 1: from the last to the first, any other number: shuffled by it, and a warp may
// give way at any of its operations), so the effect of a missing barrier changes with the order. Shared arrays are heap
// blocks of exactly their size, filled with NaN for every block: AddressSanitizer sees an index outside of them.
// A launch reports, as an error: threads that wait at different barriers; a warp operation that some lane of its mask
// never reaches, or reaches at another line or with another mask; a shuffle from a lane outside of the mask. That is
// stricter than a GPU, which does not wait for threads that have returned: full masks want full warps here.
// Tensor cores and copies beside the program (csrc/cuda/tensor.h) are here too.
//
// What it cannot show: threads run one at a time between their waits, so a sum without an atomic operation comes out
// right; blocks run one after the other, so none may wait for another; __launch_bounds__ and registers mean nothing.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <math.h>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __grid_constant__

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct uint3 {
  unsigned x, y, z;
};
#define TWODASL_VECTOR(type, name)                                                                            \
  struct alignas(2 * sizeof(type)) name##2 { type x, y; };                                                    \
  struct alignas(sizeof(type) < 8 ? 4 * sizeof(type) : 16) name##4 { type x, y, z, w; };                      \
  inline name##2 make_##name##2(type x, type y) { return {x, y}; }                                            \
  inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
TWODASL_VECTOR(float, float)
TWODASL_VECTOR(double, double)
TWODASL_VECTOR(int, int)
TWODASL_VECTOR(unsigned, uint)
#undef TWODASL_VECTOR

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

namespace twodasl::emulator {

// The line of a kernel.
struct Site {
  const char* file = "";
  int line = 0;
};
#define TWODASL_SITE ::twodasl::emulator::Site{__FILE__, __LINE__}

// Blocks until every living thread of the block has come here; how many voted for, and how many voted.
struct Votes {
  int in_favor, of;
};
Votes wait_for_block(const Site& site, bool vote);

// Blocks until the lanes of `mask` have come to an operation of the same kind; gives what each of them brought.
enum class Operation { sync, shuffle, ballot, match, multiply };
const uint64_t* wait_for_warp(Operation operation, unsigned mask, uint64_t value, const Site& site);

// Where this thread is in its warp.
int lane();

// d += a b of a warp on tensor cores, as csrc/cuda/tensor.h states it. How a GPU rounds is not documented: this one
// loses as much as any is known to. Exact products and what is there already are aligned to the largest, cut towards
// zero below its 24 bits, added, and cut to 24 bits. Newer GPUs keep a few more bits. Numbers that are not of tf32 are an
// error, where a GPU would cut them.
void multiply_add(float (&d)[4], const float (&a)[4], const float (&b)[2], const char* file = __builtin_FILE(),
                  int line = __builtin_LINE());

// Copies to shared memory that run beside the program. A GPU may do them at any time up to the wait: by number it is
// the wait, from the last to the first it is at once, and in a shuffled order either.
void copy_async(void* to, const void* from, size_t bytes, bool real);
template <int Bytes>
void copy_async(void* to, const void* from, bool real) {
  static_assert(Bytes == 4 || Bytes == 16, "what cp.async has");
  copy_async(to, from, Bytes, real);
}
void commit_copies();
void wait_copies(size_t pending);
template <int Pending>
void wait_copies() {
  wait_copies(size_t(Pending));
}

// The current block's memory for `key`: fresh memory of `bytes`, filled with ones.
void* shared_block(const void* key, size_t bytes);
void* dynamic_shared_block();

// An error of the kernel: ends the launch, which returns the message.
[[noreturn]] void fail(const char* message);

using Entry = void (*)(const void* arguments);
const char* run(Entry entry, const void* arguments, dim3 grid, dim3 block, size_t shared);

template <class T>
uint64_t bits_of(T value) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}
template <class T>
T from_bits(uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}
inline void sync_warp(const Site& site, unsigned mask = 0xffffffffu) {
  wait_for_warp(Operation::sync, mask, 0, site);
}
template <class T>
T shuffle(const Site& site, unsigned mask, T value, int source, int width) {
  if (width < 1 || width > 32 || (width & (width - 1)) != 0) fail("the width of a shuffle is a power of two up to 32");
  const uint64_t* values = wait_for_warp(Operation::shuffle, mask, bits_of(value), site);
  if ((mask >> source & 1u) == 0) fail("a shuffle reads from a lane outside of its mask");
  return from_bits<T>(values[source]);
}
// Subsections of `width` lanes: the first lane of this thread's, and the first past it.
inline int section(int width) { return lane() & ~(width - 1); }
inline int section_end(int width) { return section(width) + width; }
template <class T>
T shuffle_to(const Site& site, unsigned mask, T value, int source, int width = 32) {
  return shuffle(site, mask, value, section(width) + (source & (width - 1)), width);
}
template <class T>
T shuffle_xor(const Site& site, unsigned mask, T value, int by, int width = 32) {
  const int source = lane() ^ (by & 31);
  return shuffle(site, mask, value, source < section_end(width) ? source : lane(), width);
}
template <class T>
T shuffle_up(const Site& site, unsigned mask, T value, unsigned by, int width = 32) {
  const int source = lane() - static_cast<int>(by & 31u);
  return shuffle(site, mask, value, source >= section(width) ? source : lane(), width);
}
template <class T>
T shuffle_down(const Site& site, unsigned mask, T value, unsigned by, int width = 32) {
  const int source = lane() + static_cast<int>(by & 31u);
  return shuffle(site, mask, value, source < section_end(width) ? source : lane(), width);
}
inline unsigned ballot(const Site& site, unsigned mask, int predicate) {
  const uint64_t* values = wait_for_warp(Operation::ballot, mask, predicate != 0 ? 1 : 0, site);
  unsigned votes = 0;
  for (int other = 0; other < 32; ++other) {
    if ((mask >> other & 1u) != 0 && values[other] != 0) votes |= 1u << other;
  }
  return votes;
}
template <class T>
unsigned match(const Site& site, unsigned mask, T value) {
  const uint64_t* values = wait_for_warp(Operation::match, mask, bits_of(value), site);
  unsigned same = 0;
  for (int other = 0; other < 32; ++other) {
    if ((mask >> other & 1u) != 0 && values[other] == bits_of(value)) same |= 1u << other;
  }
  return same;
}

}  // namespace twodasl::emulator

#define TWODASL_SHARED(type, name, count)                                            \
  static const char name##_key = 0;                                                  \
  type(&name)[count] = *static_cast<type(*)[count]>(                                 \
      ::twodasl::emulator::shared_block(&name##_key, sizeof(type) * size_t(count)))

#define __syncthreads() static_cast<void>(::twodasl::emulator::wait_for_block(TWODASL_SITE, false))
#define __syncthreads_count(predicate) \
  (::twodasl::emulator::wait_for_block(TWODASL_SITE, (predicate) != 0).in_favor)
#define __syncthreads_or(predicate) int(__syncthreads_count(predicate) > 0)
#define __syncthreads_and(predicate) int(__syncthreads_count((predicate) == 0) == 0)
#define __syncwarp(...) ::twodasl::emulator::sync_warp(TWODASL_SITE __VA_OPT__(, ) __VA_ARGS__)
#define __shfl_sync(...) ::twodasl::emulator::shuffle_to(TWODASL_SITE, __VA_ARGS__)
#define __shfl_xor_sync(...) ::twodasl::emulator::shuffle_xor(TWODASL_SITE, __VA_ARGS__)
#define __shfl_up_sync(...) ::twodasl::emulator::shuffle_up(TWODASL_SITE, __VA_ARGS__)
#define __shfl_down_sync(...) ::twodasl::emulator::shuffle_down(TWODASL_SITE, __VA_ARGS__)
#define __ballot_sync(mask, predicate) ::twodasl::emulator::ballot(TWODASL_SITE, mask, predicate)
#define __any_sync(mask, predicate) int(::twodasl::emulator::ballot(TWODASL_SITE, mask, predicate) != 0)
#define __all_sync(mask, predicate) int(::twodasl::emulator::ballot(TWODASL_SITE, mask, !(predicate)) == 0)
#define __match_any_sync(mask, value) ::twodasl::emulator::match(TWODASL_SITE, mask, value)

// One thread of the machine runs them all, so a plain operation is atomic.
inline void __threadfence() {}
inline void __threadfence_block() {}
template <class T, class U>
T atomicAdd(T* address, U value) {
  static_assert(std::is_integral_v<T>, "sums of floating-point numbers would depend on the order of the threads");
  const T old = *address;
  *address = static_cast<T>(old + static_cast<T>(value));
  return old;
}
template <class T, class U>
T atomicMin(T* address, U value) {
  const T old = *address;
  *address = std::min(old, static_cast<T>(value));
  return old;
}
template <class T, class U>
T atomicMax(T* address, U value) {
  const T old = *address;
  *address = std::max(old, static_cast<T>(value));
  return old;
}
template <class T, class U>
T atomicOr(T* address, U value) {
  const T old = *address;
  *address = old | static_cast<T>(value);
  return old;
}
template <class T, class U>
T atomicExch(T* address, U value) {
  const T old = *address;
  *address = static_cast<T>(value);
  return old;
}
template <class T, class U, class V>
T atomicCAS(T* address, U expected, V value) {
  const T old = *address;
  if (old == static_cast<T>(expected)) *address = static_cast<T>(value);
  return old;
}

template <class T>
T __ldg(const T* address) {
  return *address;
}
template <class T>
T __ldcg(const T* address) {
  return *address;
}
inline void __stcs(float4* address, float4 value) { *address = value; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return x == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(x)); }
inline float __uint_as_float(unsigned x) { return twodasl::emulator::from_bits<float>(x); }
inline unsigned __float_as_uint(float x) { return static_cast<unsigned>(twodasl::emulator::bits_of(x)); }
inline int __float_as_int(float x) { return static_cast<int>(twodasl::emulator::bits_of(x)); }
inline float __int_as_float(int x) { return twodasl::emulator::from_bits<float>(static_cast<unsigned>(x)); }
inline long long __double_as_longlong(double x) { return static_cast<long long>(twodasl::emulator::bits_of(x)); }
inline double __longlong_as_double(long long x) {
  return twodasl::emulator::from_bits<double>(static_cast<uint64_t>(x));
}
using std::max;
using std::min;

namespace twodasl::cuda {

template <class T>
T* dynamic_shared() {
  return static_cast<T*>(emulator::dynamic_shared_block());
}

template <class... Parameters, class... Arguments>
const char* launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared, void*,
                   Arguments&&... arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments), "one argument for each of the kernel's parameters");
  const auto start = [&](Parameters... parameters) {
    // Every thread gets its own copies, as on a GPU.
    const auto call = [=] { kernel(parameters...); };
    const auto entry = [](const void* given) { (*static_cast<const decltype(call)*>(given))(); };
    return emulator::run(entry, &call, grid, block, shared);
  };
  return start(static_cast<Parameters>(arguments)...);
}

inline const char* clear(void* data, int value, size_t bytes, void*) {
  if (bytes > 0) std::memset(data, value, bytes);
  return nullptr;
}
inline size_t shared_limit() { return 99 * 1024; }

// Compiled without contraction.
template <class T>
T mul_rn(T a, T b) { return a * b; }
template <class T>
T add_rn(T a, T b) { return a + b; }
template <class T>
T sub_rn(T a, T b) { return a - b; }

}  // namespace twodasl::cuda
