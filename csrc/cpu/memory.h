// Memory for large results. A new block from the system costs a page fault for every 4 KB at its first touch,
// about 0.4 ms a megabyte on a virtual machine: several times the arithmetic that fills it. So blocks are aligned
// to 2 MB and ask for pages of that size (a quarter of the cost), and a block that is given back is kept for the
// next result of its size (an eighth).
#pragma once

#include <cstddef>

namespace twodasl::cpu {

// Results below this size are left to torch's allocator: the C library reuses such memory by itself.
inline constexpr size_t kSmallestBlock = 256 * 1024;

// A block of at least `bytes`, or null where there is none (another system than Linux, no memory).
void* acquire(size_t bytes);

// Releases a block that acquire(bytes) returned. It is kept for reuse. Of what is kept beyond 32 MB, the oldest first,
// the system may reclaim the pages in the meantime if it runs short of memory.
void release(void* data, size_t bytes);

// Returns all kept blocks to the system.
void release_idle();

// Bytes of the kept blocks.
size_t idle_bytes();

// Asks for large pages inside memory that torch allocated and that is still untouched.
void prefer_huge_pages(void* data, size_t bytes);

}  // namespace twodasl::cpu
