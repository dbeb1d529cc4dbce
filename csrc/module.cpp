// twodasl_ext._native: what was built and what this processor runs. No torch header here: torch's stable ABI and
// pybind11 do not share a translation unit.
#include <pybind11/pybind11.h>

#include "build_info.h"
#include "cpu/isa.h"

namespace py = pybind11;

namespace {

py::list isa_levels() {
  int count = 0;
  const char* const* names = twodasl::cpu::compiled_levels(&count);
  py::list levels;
  for (int i = 0; i < count; ++i) levels.append(names[i]);
  return levels;
}

py::str level_name(int level) {
  int count = 0;
  return py::str(twodasl::cpu::compiled_levels(&count)[level]);
}

py::dict build_info() {
  py::dict info;
  info["interface"] = TWODASL_INTERFACE;
  info["version"] = TWODASL_VERSION;
  info["compiler"] = TWODASL_COMPILER;
  info["built_with_torch"] = TWODASL_BUILT_WITH_TORCH;
  info["isa_levels"] = isa_levels();
  info["cuda"] = static_cast<bool>(TWODASL_HAS_CUDA);
  info["cuda_request"] = TWODASL_CUDA_REQUEST;
  info["cuda_architectures"] = TWODASL_COMPILED_FOR;
  return info;
}

}  // namespace

PYBIND11_MODULE(_native, m) {
  m.doc() = "What the operator libraries were built with and which kernels this processor uses.";
  m.attr("INTERFACE") = TWODASL_INTERFACE;
  m.def("build_info", &build_info, "Version, compiler, torch built against, compiled ISA levels, CUDA architectures.");
  m.def(
      "cpu_capability",
      [] {
        py::dict capability;
        capability["best"] = level_name(twodasl::cpu::best_level());
        capability["active"] = level_name(twodasl::cpu::chosen_level());
        return capability;
      },
      "The highest compiled ISA level that this processor runs, and the one that TWODASL_ISA leaves in use.");
}
