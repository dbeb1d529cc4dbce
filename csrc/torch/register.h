// An operator with a derivative has two names for one kernel: `name`, to which Python adds the derivative, and
// `name_forward`, which has none. Eager mode calls the latter below its own autograd function: the generic wrapper
// around a registered derivative costs more than a batch of landmarks.
#pragma once

#include <string>

namespace twodasl::ops {

template <class Library>
void def_differentiable(Library& m, const std::string& schema) {
  const size_t end = schema.find('(');
  m.def(schema.c_str());
  m.def((schema.substr(0, end) + "_forward" + schema.substr(end)).c_str());
}

// `kernel` is TORCH_BOX(&function).
template <class Library, class Kernel>
void impl_differentiable(Library& m, const std::string& name, Kernel kernel) {
  m.impl(name.c_str(), kernel);
  m.impl((name + "_forward").c_str(), kernel);
}

}  // namespace twodasl::ops
