// What the language of csrc/cuda/grid.h means, lane by lane: operations of a warp, votes of a block, atomics, bits and
// launches, against the CUDA C++ Programming Guide; and of csrc/cuda/tensor.h, which no GPU before 8.0 has. Compiled for the emulator it tests the emulator;
// compiled by nvcc (benchmarks/gpu.sh does) it tests that a GPU agrees.
//
//   semantics      prints the number of checks; lines of what was expected and what came, and exit code 1
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "../../../csrc/cuda/tensor.h"

namespace twodasl::cuda {

namespace {

int checks = 0, wrong = 0;

void expect(const char* what, int argument, int lane, long long expected, long long found) {
  ++checks;
  if (expected == found) return;
  ++wrong;
  std::printf("%s, argument %d, lane %d: expected %lld, got %lld\n", what, argument, lane, expected, found);
}

// Numbers that both sides see.
class Numbers {
 public:
  explicit Numbers(int count, int value = 0) : count_(count) {
#if defined(TWODASL_EMULATED)
    data_ = static_cast<int*>(std::malloc(sizeof(int) * static_cast<size_t>(count)));
#else
    if (cudaMallocManaged(&data_, sizeof(int) * static_cast<size_t>(count)) != cudaSuccess) std::abort();
#endif
    for (int i = 0; i < count; ++i) data_[i] = value;
  }
  ~Numbers() {
#if defined(TWODASL_EMULATED)
    std::free(data_);
#else
    cudaFree(data_);
#endif
  }
  Numbers(const Numbers&) = delete;
  Numbers& operator=(const Numbers&) = delete;
  int* data() const { return data_; }
  int operator[](int i) const { return data_[i]; }

 private:
  int* data_ = nullptr;
  int count_;
};

void finish(Error error) {
  if (error == nullptr) {
#if !defined(TWODASL_EMULATED)
    const cudaError_t found = cudaDeviceSynchronize();
    if (found != cudaSuccess) error = cudaGetErrorString(found);
#endif
  }
  if (error == nullptr) return;
  std::printf("a launch failed: %s\n", error);
  std::exit(1);
}

enum Kind { kIndexed, kXor, kUp, kDown };

template <class T>
__global__ void shuffles(Kind kind, int argument, int width, int* out) {
  const int lane = static_cast<int>(threadIdx.x);
  const T value = static_cast<T>(1000 + lane);
  T found = 0;
  if (kind == kIndexed) found = __shfl_sync(kFullMask, value, argument, width);
  if (kind == kXor) found = __shfl_xor_sync(kFullMask, value, argument, width);
  if (kind == kUp) found = __shfl_up_sync(kFullMask, value, static_cast<unsigned>(argument), width);
  if (kind == kDown) found = __shfl_down_sync(kFullMask, value, static_cast<unsigned>(argument), width);
  out[lane] = static_cast<int>(found) - 1000;
}

// The guide: a subsection of `width` lanes is a warp of its own that begins at lane 0. Indexed: beyond [0, width) the
// lane modulo width. Up and down do not wrap: lanes past the end keep their own. Xor: earlier subsections may be read,
// later ones give the own value.
int source(Kind kind, int lane, int argument, int width) {
  const int section = lane / width * width, within = lane % width;
  switch (kind) {
    case kIndexed: return section + ((argument % width) + width) % width;
    case kUp: return within - argument >= 0 ? lane - argument : lane;
    case kDown: return within + argument < width ? lane + argument : lane;
    case kXor: return (lane ^ argument) >= section + width ? lane : lane ^ argument;
  }
  return -1;
}

template <class T>
void check_shuffles(const char* what) {
  for (const Kind kind : {kIndexed, kXor, kUp, kDown}) {
    for (int width = 1; width <= 32; width *= 2) {
      for (int argument = 0; argument < 32; ++argument) {
        Numbers out(kWarp, -1);
        finish(launch(&shuffles<T>, 1, kWarp, 0, nullptr, kind, argument, width, out.data()));
        for (int lane = 0; lane < kWarp; ++lane) {
          expect(what, 100000 * kind + 1000 * width + argument, lane, source(kind, lane, argument, width), out[lane]);
        }
      }
    }
  }
}

// Every lane of the mask votes; the others do not take part.
__global__ void votes(unsigned mask, unsigned predicate, int* out) {
  const int lane = static_cast<int>(threadIdx.x);
  if ((mask >> lane & 1u) == 0) return;
  const int mine = static_cast<int>(predicate >> lane & 1u);
  out[lane] = static_cast<int>(__ballot_sync(mask, mine * 7));
  out[kWarp + lane] = __any_sync(mask, mine) != 0;
  out[2 * kWarp + lane] = __all_sync(mask, mine) != 0;
  out[3 * kWarp + lane] = static_cast<int>(__match_any_sync(mask, lane % 3));
  out[4 * kWarp + lane] = __shfl_sync(mask, lane, __ffs(static_cast<int>(mask)) - 1);
}

void check_votes() {
  for (const unsigned mask : {kFullMask, 0x1u, 0x80000000u, 0x0f0f0f0fu, 0xfffffffeu, 0x00018000u}) {
    for (const unsigned predicate : {0u, kFullMask, 0x12345678u, 0x80000001u}) {
      Numbers out(5 * kWarp, -7);
      finish(launch(&votes, 1, kWarp, 0, nullptr, mask, predicate, out.data()));
      unsigned same[3] = {};
      int first = -1;
      for (int lane = 0; lane < kWarp; ++lane) {
        if ((mask >> lane & 1u) == 0) continue;
        same[lane % 3] |= 1u << lane;
        if (first < 0) first = lane;
      }
      for (int lane = 0; lane < kWarp; ++lane) {
        const bool in = (mask >> lane & 1u) != 0;
        const int argument = static_cast<int>(mask ^ predicate);
        expect("ballot", argument, lane, in ? static_cast<int>(mask & predicate) : -7, out[lane]);
        expect("any", argument, lane, in ? (mask & predicate) != 0 : -7, out[kWarp + lane]);
        expect("all", argument, lane, in ? (mask & predicate) == mask : -7, out[2 * kWarp + lane]);
        expect("match", argument, lane, in ? static_cast<int>(same[lane % 3]) : -7, out[3 * kWarp + lane]);
        expect("broadcast", argument, lane, in ? first : -7, out[4 * kWarp + lane]);
      }
    }
  }
}

// Threads in three axes: x runs fastest, and warps are cut from that order. Grids in three axes.
__global__ void places(int* out) {
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned lane = __popc(__ballot_sync(kFullMask, 1) & ((1u << thread % 32u) - 1u));
  out[block * 96u + thread] = static_cast<int>(1000 * block + 10 * lane + thread / 32u);
}

void check_places() {
  const dim3 grid(3, 2, 2), block(4, 3, 8);
  Numbers out(12 * 96, -1);
  finish(launch(&places, grid, block, 0, nullptr, out.data()));
  for (int i = 0; i < 12 * 96; ++i) {
    expect("places", i, i % 32, 1000 * (i / 96) + 10 * (i % 96 % 32) + i % 96 / 32, out[i]);
  }
}

__global__ void atomics(int* out, unsigned* counters, unsigned long long* wide) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int ticket = atomicAdd(out, 1);  // every number once
  atomicMin(out + 1, (i * 37) % 101 - 50);
  atomicMax(out + 2, (i * 37) % 101 - 50);
  atomicOr(counters, 1u << i % 32);
  atomicMin(counters + 1, 4000000000u + static_cast<unsigned>(i));
  atomicMax(counters + 2, 4000000000u + static_cast<unsigned>(i));
  atomicCAS(out + 3, -1, 5);
  atomicAdd(wide, 1ull << 33);
  out[8 + ticket] = 1;
}

void check_atomics() {
  const int threads = 4 * 64;
  Numbers out(8 + threads), counters(4), wide(2);
  out.data()[3] = -1;
  counters.data()[1] = -1;  // the largest unsigned number
  finish(launch(&atomics, 4, 64, 0, nullptr, out.data(), reinterpret_cast<unsigned*>(counters.data()),
                reinterpret_cast<unsigned long long*>(wide.data())));
  expect("atomicAdd", 0, 0, threads, out[0]);
  expect("atomicMin", 0, 0, -50, out[1]);
  expect("atomicMax", 0, 0, 50, out[2]);
  expect("atomicCAS", 0, 0, 5, out[3]);
  expect("atomicOr", 0, 0, -1, counters[0]);
  expect("atomicMin of unsigned", 0, 0, static_cast<int>(4000000000u), counters[1]);
  expect("atomicMax of unsigned", 0, 0, static_cast<int>(4000000000u + 255u), counters[2]);
  expect("atomicAdd of 64 bits, low", 0, 0, 0, wide[0]);
  expect("atomicAdd of 64 bits, high", 0, 0, 2 * threads, wide[1]);
  for (int i = 0; i < threads; ++i) expect("tickets", i, 0, 1, out[8 + i]);
}

__global__ void bits(int* out) {
  out[0] = __popc(0xf0f00001u);
  out[1] = __ffs(0);
  out[2] = __ffs(8);
  out[3] = __clz(0);
  out[4] = __clz(1);
  out[5] = __clz(-1);
  out[6] = static_cast<int>(__float_as_uint(1.0f));
  out[7] = __float_as_int(-0.0f) == static_cast<int>(0x80000000u);
  out[8] = __uint_as_float(0x7f800001u) != __uint_as_float(0x7f800001u);
  out[9] = __popcll(0xf000000000000001ull);
  out[10] = __clzll(1);
  out[11] = __ffsll(1ll << 40);
  out[12] = __longlong_as_double(__double_as_longlong(2.5)) == 2.5;
  // 1 + 2^-12 squared is 1 + 2^-11 + 2^-24: rounded, the last term is lost; contracted, it stays.
  const float x = 1.0f + 0x1p-12f;
  out[13] = sub_rn(mul_rn(x, x), 1.0f + 0x1p-11f) == 0.0f;
  out[14] = fma(x, x, -(1.0f + 0x1p-11f)) == 0x1p-24f;
}

void check_bits() {
  const int expected[] = {9, 0, 4, 32, 31, 0, 0x3f800000, 1, 1, 5, 63, 41, 1, 1, 1};
  const int count = static_cast<int>(sizeof(expected) / sizeof(expected[0]));
  Numbers out(count, -1);
  finish(launch(&bits, 1, 1, 0, nullptr, out.data()));
  for (int i = 0; i < count; ++i) expect("bits", i, 0, expected[i], out[i]);
}

// Sums over a block through both kinds of shared memory, round after round in the same arrays.
__global__ void shared_sums(int* out) {
  TWODASL_SHARED(int, totals, 4);
  int* const tile = dynamic_shared<int>();
  const int thread = static_cast<int>(threadIdx.x);
  int result = 0;
  for (int round = 1; round <= 3; ++round) {
    tile[thread] = thread * round;
    __syncthreads();
    int sum = tile[127 - thread];
    for (int by = 16; by > 0; by /= 2) sum += __shfl_xor_sync(kFullMask, sum, by);
    if (thread % kWarp == 0) totals[thread / kWarp] = sum;
    __syncthreads();
    result += totals[0] + totals[1] + totals[2] + totals[3];
    __syncthreads();
  }
  out[blockIdx.x * 128 + threadIdx.x] = result;
}

void check_shared() {
  Numbers out(3 * 128, -1);
  finish(launch(&shared_sums, 3, 128, 128 * sizeof(int), nullptr, out.data()));
  for (int i = 0; i < 3 * 128; ++i) expect("shared sums", i / 128, i % 128, 127 * 64 * 6, out[i]);
}

void check_clear() {
  Numbers out(8, 3);
  finish(clear(out.data(), 0xff, 4 * sizeof(int), nullptr));
  for (int i = 0; i < 8; ++i) expect("clear", i, 0, i < 4 ? -1 : 3, out[i]);
  finish(launch(&bits, dim3(0, 1, 1), 1, 0, nullptr, out.data()));  // no blocks: nothing runs
  expect("an empty grid", 0, 0, -1, out[0]);
}

// Small whole numbers are exact however they are rounded: where every number of a product is.
__global__ void products(int* out) {
  if constexpr (kHasTensorCores) {
    const int lane = static_cast<int>(threadIdx.x);
    float a[4], b[2], d[4];
    for (int i = 0; i < 4; ++i) a[i] = static_cast<float>((lane / 4 + i % 2 * 8) * 8 + lane % 4 + i / 2 * 4 - 60);
    for (int i = 0; i < 2; ++i) b[i] = static_cast<float>((lane % 4 + 4 * i) * 8 + lane / 4 - 20);
    for (int i = 0; i < 4; ++i) d[i] = static_cast<float>(1000 * lane + i);
    multiply_add(d, a, b);
    for (int i = 0; i < 4; ++i) out[4 * lane + i] = static_cast<int>(d[i]);
  }
}

// Numbers of tf32 that need all their bits, and of very different sizes: parts of 2^-24 of the sum of the absolute
// values, rounded up, by which every result is off.
__global__ void cut_products(int* out) {
  if constexpr (kHasTensorCores) {
    const int lane = static_cast<int>(threadIdx.x);
    const auto number = [](int row, int column) {
      const unsigned mixed = static_cast<unsigned>(row * 37 + column * 101 + 11) * 2654435761u;
      const unsigned exponent = 120u + (mixed >> 28);
      return __uint_as_float((mixed & 0x80000000u) | exponent << 23 | (mixed & 0x007fe000u));
    };
    float a[4], b[2], d[4] = {};
    for (int i = 0; i < 4; ++i) a[i] = number(lane / 4 + i % 2 * 8, lane % 4 + i / 2 * 4);
    for (int i = 0; i < 2; ++i) b[i] = number(100 + lane % 4 + 4 * i, lane / 4);
    multiply_add(d, a, b);
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + i / 2 * 8, column = 2 * (lane % 4) + i % 2;
      double sum = 0.0, magnitude = 0.0;
      for (int k = 0; k < 8; ++k) {
        const double term = static_cast<double>(number(row, k)) * static_cast<double>(number(100 + k, column));
        sum += term;
        magnitude += term < 0.0 ? -term : term;
      }
      const double off = static_cast<double>(d[i]) - sum;
      out[4 * lane + i] = static_cast<int>(ceil((off < 0.0 ? -off : off) / magnitude * 0x1p24));
    }
  }
}

// Copies beside the program, two rounds under way: 16 bytes of every lane and 4 of others, or zeros.
__global__ void copies(const int* in, int* out) {
  if constexpr (kHasTensorCores) {
    TWODASL_SHARED(int4, wide, 2 * kWarp);
    TWODASL_SHARED(int, narrow, 2 * kWarp);
    const int lane = static_cast<int>(threadIdx.x);
    for (int round = 0; round < 2; ++round) {
      copy_async<16>(wide + round * kWarp + lane, in + 4 * lane + round * 128, lane % 3 != round);
      copy_async<4>(narrow + round * kWarp + lane, in + lane + 7 * round, lane % 5 != 0);
      commit_copies();
    }
    for (int round = 0; round < 2; ++round) {
      if (round == 0) {
        wait_copies<1>();
      } else {
        wait_copies<0>();
      }
      __syncwarp();
      const int other = kWarp - 1 - lane;  // what another lane has copied
      const int4 four = wide[round * kWarp + other];
      int* const to = out + (round * kWarp + lane) * 5;
      to[0] = four.x, to[1] = four.y, to[2] = four.z, to[3] = four.w, to[4] = narrow[round * kWarp + other];
    }
  }
}

bool has_tensor_cores() {
#if defined(TWODASL_EMULATED)
  return true;
#else
  int major = 0;
  return cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0) == cudaSuccess && major >= 8;
#endif
}

void check_tensor_cores() {
  if (!has_tensor_cores()) return;
  Numbers out(128, -1);
  finish(launch(&products, 1, kWarp, 0, nullptr, out.data()));
  for (int lane = 0; lane < kWarp; ++lane) {
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + i / 2 * 8, column = 2 * (lane % 4) + i % 2;
      int expected = 1000 * lane + i;
      for (int k = 0; k < 8; ++k) expected += (row * 8 + k - 60) * (k * 8 + column - 20);
      expect("multiply_add", i, lane, expected, out[4 * lane + i]);
    }
  }
  finish(launch(&cut_products, 1, kWarp, 0, nullptr, out.data()));
  for (int i = 0; i < 128; ++i) expect("multiply_add loses at most 24 units", i % 4, i / 4, 1, out[i] <= 24);

  Numbers in(256), copied(2 * kWarp * 5, -1);
  for (int i = 0; i < 256; ++i) in.data()[i] = 1 + i;
  finish(launch(&copies, 1, kWarp, 0, nullptr, in.data(), copied.data()));
  for (int round = 0; round < 2; ++round) {
    for (int lane = 0; lane < kWarp; ++lane) {
      const int other = kWarp - 1 - lane;
      for (int i = 0; i < 5; ++i) {
        const int narrow = other % 5 != 0 ? 1 + other + 7 * round : 0;
        const int wide = other % 3 != round ? 1 + 4 * other + 128 * round + i : 0;
        expect("copy_async", 5 * round + i, lane, i == 4 ? narrow : wide, copied[(round * kWarp + lane) * 5 + i]);
      }
    }
  }
}

}  // namespace

int run_all() {
  check_shuffles<int>("shuffle of int");
  check_shuffles<double>("shuffle of double");
  check_votes();
  check_places();
  check_atomics();
  check_bits();
  check_shared();
  check_clear();
  check_tensor_cores();
  std::printf("%d checks, %d wrong\n", checks, wrong);
  return wrong == 0 ? 0 : 1;
}

}  // namespace twodasl::cuda

int main() { return twodasl::cuda::run_all(); }
