// Whether `vertices` multiplies on tensor cores: a choice of the whole process and one device, never of a call, because
// it changes a result's bits.
#include "tensor.h"

#include <atomic>
#include <cstdlib>
#include <cstring>

// 1: yes, 0: no, -1: as the environment variable TWODASL_TENSOR_CORES says (1 or 0), or else by the device. Tests and the
// benchmark set it.
extern "C" __attribute__((visibility("default"))) int twodasl_tensor_cores;
int twodasl_tensor_cores = -1;

namespace twodasl::cuda {

namespace {

int asked_for() {
  if (twodasl_tensor_cores >= 0) return twodasl_tensor_cores;
  static const int given = [] {
    const char* word = std::getenv("TWODASL_TENSOR_CORES");
    return word == nullptr ? -1 : static_cast<int>(std::strcmp(word, "1") == 0);  // Python has checked it
  }();
  return given;
}

}  // namespace

#if defined(TWODASL_EMULATED)

Error tensor_cores(bool* chosen) {
  *chosen = asked_for() > 0;  // by default as on most GPUs, so that the operators' own tests reach those kernels
  return nullptr;
}

#else

namespace {

__global__ void as_compiled() {}

enum Answer { kUnasked = 0, kCannot, kCan, kShould };

// GPUs whose tensor cores multiply tf32 eight times as fast as their other cores float32, by the data sheets: 8.0 and
// 9.0. On those for consumers (8.6, 8.9, 12.0) both rates are the same, and three products for one lose; of 10.0 it is
// not known how fast it runs the instructions of its predecessors.
Answer ask(int device) {
  int major = 0, minor = 0;
  cudaFuncAttributes attributes{};
  if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) != cudaSuccess ||
      cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) != cudaSuccess ||
      cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(&as_compiled)) != cudaSuccess) {
    cudaGetLastError();  // the launch that follows has its own
    return kUnasked;
  }
  // A GPU may run code that was compiled for an older one.
  if (major < 8 || attributes.ptxVersion < 80) return kCannot;
  return (major == 8 || major == 9) && minor == 0 ? kShould : kCan;
}

}  // namespace

Error tensor_cores(bool* chosen) {
  constexpr int kDevices = 64;
  static std::atomic<int> answers[kDevices] = {};
  int device = 0;
  *chosen = false;
  if (cudaGetDevice(&device) != cudaSuccess) {
    cudaGetLastError();  // the launch that follows has its own
    return nullptr;
  }
  int answer = device < kDevices ? answers[device].load(std::memory_order_relaxed) : static_cast<int>(kUnasked);
  if (answer == kUnasked) {
    answer = ask(device);
    if (device < kDevices) answers[device].store(answer, std::memory_order_relaxed);
  }
  const int wanted = asked_for();
  if (wanted > 0 && answer == kCannot) {
    return "tensor cores were asked for, which need compute capability 8.0 or newer and code compiled for it";
  }
  *chosen = wanted < 0 ? answer == kShould : wanted > 0 && answer != kUnasked;
  return nullptr;
}

#endif

}  // namespace twodasl::cuda
