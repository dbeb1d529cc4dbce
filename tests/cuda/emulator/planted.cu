// Kernels with one fault each, and the same kernels without it: test_emulator.py shows that each fault is found.
//
//   planted NAME fault|sound     prints the numbers that the kernel wrote, or "error: " and what the launch returned
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include "../../../csrc/cuda/tensor.h"

namespace twodasl::cuda {

namespace {

constexpr int kThreads = 64;

__global__ void copy(const float* in, float* out, int last) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i <= last) out[i] = in[i] + 1;
}

// Each thread takes its right neighbor's number through shared memory.
template <bool Fault>
__global__ void shared_index(const float* in, float* out) {
  TWODASL_SHARED(float, tile, kThreads);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = in[i];
  __syncthreads();
  out[i] = tile[Fault || i + 1 < kThreads ? i + 1 : 0];
}

__global__ void dynamic_index(const float* in, float* out, int reach) {
  float* const tile = dynamic_shared<float>();
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = in[i];
  __syncthreads();
  out[i] = tile[i + reach];
}

template <bool Fault>
__global__ void no_barrier(const float* in, float* out) {
  TWODASL_SHARED(float, tile, kThreads);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = in[i];
  if (!Fault) __syncthreads();
  out[i] = tile[kThreads - 1 - i];
}

// The same, where waiting for the own warp is not enough.
template <bool Fault>
__global__ void only_the_warp(const float* in, float* out) {
  TWODASL_SHARED(float, tile, kThreads);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = in[i];
  __syncwarp();
  if (!Fault) __syncthreads();
  out[i] = tile[kThreads - 1 - i];
}

// The second use of a tile begins before all have read the first.
template <bool Fault>
__global__ void tile_used_again(const float* in, float* out) {
  TWODASL_SHARED(float, tile, kThreads);
  const int i = static_cast<int>(threadIdx.x);
  float sum = 0;
  for (int round = 0; round < 3; ++round) {
    tile[i] = in[i] * static_cast<float>(round + 1);
    __syncthreads();
    sum += tile[kThreads - 1 - i];
    if (!Fault) __syncthreads();
  }
  out[i] = sum;
}

template <bool Fault>
__global__ void no_syncwarp(const float* in, float* out) {
  TWODASL_SHARED(float, tile, kThreads);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = in[i];
  if (!Fault) __syncwarp();
  out[i] = tile[i ^ 1];
}

template <bool Fault>
__global__ void shuffle_outside(const float* in, float* out) {
  const int i = static_cast<int>(threadIdx.x), lane = i % kWarp;
  out[i] = in[i];
  if (lane < 16) out[i] = __shfl_sync(0xffffu, in[i], Fault ? lane + 1 : (lane + 1) % 16);
}

template <bool Fault>
__global__ void lane_left(const float* in, float* out) {
  const int i = static_cast<int>(threadIdx.x);
  out[i] = in[i];
  if (Fault && i == 5) return;
  out[i] += __shfl_xor_sync(kFullMask, in[i], 16);
}

template <bool Fault>
__global__ void lane_not_named(const float* in, float* out) {
  const int i = static_cast<int>(threadIdx.x);
  out[i] = in[i] + static_cast<float>(__any_sync(Fault ? 0x7fffffffu : kFullMask, 1));
}

template <bool Fault>
__global__ void divergent_barrier(const float* in, float* out) {
  const int i = static_cast<int>(threadIdx.x);
  out[i] = in[i];
  if (Fault && i < kThreads / 2) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

template <bool Fault>
__global__ void divergent_shuffle(const float* in, float* out) {
  const int i = static_cast<int>(threadIdx.x);
  if (Fault && i % 2 == 0) {
    out[i] = __shfl_xor_sync(kFullMask, in[i], 1);
  } else {
    out[i] = __shfl_xor_sync(kFullMask, in[i], 1);
  }
}

__global__ void wide_load(const float* in, float* out, int first) {
  const int i = static_cast<int>(threadIdx.x);
  if (i >= kThreads / 8) return;
  const float4 four = *reinterpret_cast<const float4*>(in + first + 4 * i);
  out[i] = four.x + four.y + four.z + four.w;
}

template <bool Fault>
__global__ void never_written(const float* in, float* out) {
  TWODASL_SHARED(float, tile, kThreads);
  const int i = static_cast<int>(threadIdx.x);
  if (!Fault || i % 2 == 0) tile[i] = in[i];
  __syncthreads();
  out[i] = tile[i];
}

// Nobody waits for the copies.
template <bool Fault>
__global__ void no_wait(const float* in, float* out) {
  TWODASL_SHARED(float, tile, kThreads);
  const int i = static_cast<int>(threadIdx.x);
  copy_async<4>(tile + i, in + i, true);
  commit_copies();
  if (!Fault) wait_copies<0>();
  __syncthreads();
  out[i] = tile[kThreads - 1 - i];
}

// The copies of the second round begin before all have read the first.
template <bool Fault>
__global__ void copied_too_early(const float* in, float* out) {
  TWODASL_SHARED(float, tile, kThreads);
  const int i = static_cast<int>(threadIdx.x);
  float sum = 0;
  for (int round = 0; round < 3; ++round) {
    copy_async<4>(tile + i, in + (i + round) % kThreads, true);
    commit_copies();
    wait_copies<0>();
    __syncthreads();
    sum += tile[kThreads - 1 - i];
    if (!Fault) __syncthreads();
  }
  out[i] = sum;
}

template <bool Fault>
__global__ void not_tf32(const float* in, float* out) {
  const int i = static_cast<int>(threadIdx.x);
  const float odd = Fault ? 1.0f + 0x1p-20f : 1.0f + 0x1p-10f;
  const float a[4] = {in[i], in[i], in[i], odd}, b[2] = {1.0f, 2.0f};
  float d[4] = {};
  multiply_add(d, a, b);
  out[i] = d[0] + d[3];
}

template <bool Fault>
__global__ void misaligned_copy(const float* in, float* out) {
  TWODASL_SHARED(float4, tile, kThreads);
  const int i = static_cast<int>(threadIdx.x);
  const int first = i < kThreads / 8 ? 4 * i : 0;
  copy_async<16>(tile + i, in + first + (Fault ? 1 : 0), true);
  commit_copies();
  wait_copies<0>();
  out[i] = tile[i].x + tile[i].w;
}

template <bool Fault>
__global__ void much_shared(const float* in, float* out) {
  TWODASL_SHARED(float, tile, Fault ? 13 * 1024 : 12 * 1024);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = in[i];
  out[i] = tile[i];
}

template <class Sound, class Faulty>
Error either(bool fault, Sound sound, Faulty faulty, const float* in, float* out, size_t shared = 0) {
  return launch(fault ? faulty : sound, 1, kThreads, shared, nullptr, in, out);
}
#define TWODASL_PLANTED(name) either(fault, &name<false>, &name<true>, in, out)

Error run(const std::string& name, bool fault, const float* in, float* out) {
  if (name == "global_index") return launch(&copy, 1, 128, 0, nullptr, in, out, fault ? kThreads : kThreads - 1);
  if (name == "shared_index") return TWODASL_PLANTED(shared_index);
  if (name == "dynamic_index") {
    return launch(&dynamic_index, 1, kThreads, kThreads * sizeof(float), nullptr, in, out, fault ? 1 : 0);
  }
  if (name == "no_barrier") return TWODASL_PLANTED(no_barrier);
  if (name == "only_the_warp") return TWODASL_PLANTED(only_the_warp);
  if (name == "tile_used_again") return TWODASL_PLANTED(tile_used_again);
  if (name == "no_syncwarp") return TWODASL_PLANTED(no_syncwarp);
  if (name == "shuffle_outside") return TWODASL_PLANTED(shuffle_outside);
  if (name == "lane_left") return TWODASL_PLANTED(lane_left);
  if (name == "lane_not_named") return TWODASL_PLANTED(lane_not_named);
  if (name == "divergent_barrier") return TWODASL_PLANTED(divergent_barrier);
  if (name == "divergent_shuffle") return TWODASL_PLANTED(divergent_shuffle);
  if (name == "wide_load") return launch(&wide_load, 1, kThreads, 0, nullptr, in, out, fault ? 1 : 0);
  if (name == "never_written") return TWODASL_PLANTED(never_written);
  if (name == "no_wait") return TWODASL_PLANTED(no_wait);
  if (name == "copied_too_early") return TWODASL_PLANTED(copied_too_early);
  if (name == "not_tf32") return TWODASL_PLANTED(not_tf32);
  if (name == "misaligned_copy") return TWODASL_PLANTED(misaligned_copy);
  if (name == "much_shared") return TWODASL_PLANTED(much_shared);
  if (name == "block_size") return launch(&copy, 1, fault ? 1025 : 1024, 0, nullptr, in, out, kThreads - 1);
  return "no such kernel";
}

}  // namespace

}  // namespace twodasl::cuda

int main(int count, char** words) {
  if (count != 3) return 2;
  using twodasl::cuda::kThreads;
  const auto in = std::make_unique<float[]>(kThreads), out = std::make_unique<float[]>(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    in[i] = static_cast<float>(i * i % 97);
    out[i] = 0;
  }
  if (const char* error = twodasl::cuda::run(words[1], std::strcmp(words[2], "fault") == 0, in.get(), out.get())) {
    std::printf("error: %s\n", error);
    return 0;
  }
  for (int i = 0; i < kThreads; ++i) std::printf("%g ", static_cast<double>(out[i]));
  std::printf("\n");
  return 0;
}
