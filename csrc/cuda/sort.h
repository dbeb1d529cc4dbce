// Sorting on a GPU: pairs of a key and a value by the key, stably.
#pragma once

#include <cstddef>
#include <cstdint>

namespace twodasl::cuda {

struct SortParams {
  const uint64_t* keys;        // (N)
  const int32_t* values;  // (N)
  uint64_t* sorted_keys;       // (N)
  int32_t* sorted_values; // (N)
  int64_t count;
  int bits;  // of a key that count: the lowest ones
};

// Bytes of scratch, aligned to 256.
size_t sort_pairs_scratch(int64_t count, int bits);

const char* sort_pairs(const SortParams& params, void* scratch, size_t scratch_bytes, void* stream);

}  // namespace twodasl::cuda
