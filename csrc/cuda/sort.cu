// CUB's radix sort on a GPU; in the emulator the standard library's stable sort, which gives the same order.
#include "sort.h"

#if defined(TWODASL_EMULATED)
#include <algorithm>
#include <numeric>
#include <vector>
#else
#include <cub/device/device_radix_sort.cuh>
#endif

namespace twodasl::cuda {

#if defined(TWODASL_EMULATED)

template <class Key>
size_t sort_pairs_scratch(int64_t, int) {
  return 1;
}

template <class Key>
const char* sort_pairs(const SortParams<Key>& params, void*, size_t, void*) {
  const Key mask = params.bits >= 8 * int(sizeof(Key)) ? ~Key(0) : (Key(1) << params.bits) - 1;
  std::vector<int64_t> order(static_cast<size_t>(params.count));
  std::iota(order.begin(), order.end(), int64_t(0));
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return (params.keys[a] & mask) < (params.keys[b] & mask); });
  for (int64_t i = 0; i < params.count; ++i) {
    params.sorted_keys[i] = params.keys[order[static_cast<size_t>(i)]];
    params.sorted_values[i] = params.values[order[static_cast<size_t>(i)]];
  }
  return nullptr;
}

#else

template <class Key>
size_t sort_pairs_scratch(int64_t count, int bits) {
  size_t bytes = 0;
  const Key* keys = nullptr;
  const int32_t* values = nullptr;
  const cudaError_t error = cub::DeviceRadixSort::SortPairs(nullptr, bytes, keys, const_cast<Key*>(keys), values,
                                                            const_cast<int32_t*>(values), count, 0, bits);
  return error == cudaSuccess && bytes > 0 ? bytes : 1;  // an error comes again from the sort itself
}

template <class Key>
const char* sort_pairs(const SortParams<Key>& params, void* scratch, size_t scratch_bytes, void* stream) {
  const cudaError_t error = cub::DeviceRadixSort::SortPairs(
      scratch, scratch_bytes, params.keys, params.sorted_keys, params.values, params.sorted_values, params.count, 0,
      params.bits, static_cast<cudaStream_t>(stream));
  if (error == cudaSuccess) return nullptr;
  cudaGetLastError();  // it has been reported
  return cudaGetErrorString(error);
}

#endif

template size_t sort_pairs_scratch<uint32_t>(int64_t, int);
template size_t sort_pairs_scratch<uint64_t>(int64_t, int);
template const char* sort_pairs(const SortParams<uint32_t>&, void*, size_t, void*);
template const char* sort_pairs(const SortParams<uint64_t>&, void*, size_t, void*);

}  // namespace twodasl::cuda
