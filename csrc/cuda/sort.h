// Sorting on a GPU: pairs of a key and a value by the key, stably. A Key is uint32_t or uint64_t.
#pragma once

#include <cstddef>
#include <cstdint>

namespace twodasl::cuda {

template <class Key>
struct SortParams {
  const Key* keys;         // (N)
  const int32_t* values;   // (N)
  Key* sorted_keys;        // (N)
  int32_t* sorted_values;  // (N)
  int64_t count;
  int bits;  // of a key that count: the lowest ones
};

// Bytes of scratch, aligned to 256.
template <class Key>
size_t sort_pairs_scratch(int64_t count, int bits);

template <class Key>
const char* sort_pairs(const SortParams<Key>& params, void* scratch, size_t scratch_bytes, void* stream);

}  // namespace twodasl::cuda
