// Memory on the CPU: a copy in large pages, and releasing what is kept for reuse.
#include <cstring>

#include "device.h"

namespace twodasl::ops {

namespace {

// The same numbers in large pages: every call reads the whole basis, and with small pages a fifth of that time is
// address translation.
Tensor huge_copy(const Tensor& source_in) {
  check_shape(source_in, "source", {-1, -1, -1, -1});
  const Tensor source = dense(source_in);
  const Tensor result = empty_result({source.size(0), source.size(1), source.size(2), source.size(3)}, source);
  const size_t bytes = static_cast<size_t>(source.numel()) * source.element_size();
  if (bytes > 0) std::memcpy(result.mutable_data_ptr(), source.const_data_ptr(), bytes);
  return result;
}

void release_memory() { cpu::release_idle(); }

}  // namespace

TWODASL_OPERATORS(m) { m.impl("huge_copy", TORCH_BOX(&huge_copy)); }
STABLE_TORCH_LIBRARY_IMPL(twodasl, CompositeExplicitAutograd, m) {
  m.impl("release_memory", TORCH_BOX(&release_memory));
}

}  // namespace twodasl::ops
