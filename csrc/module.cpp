// twodasl_ext._native: build information, this processor's level, and Python's signals for long calls. No torch header
// here: torch's stable ABI and pybind11 do not share a translation unit.
#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>

#include "build_info.h"
#include "cpu/dispatch/isa.h"

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

unsigned long main_thread = 0;

// Raises the exception again at Python's next step, in place of the error that ends the call.
int raise_later(void* exception) {
  std::unique_ptr<py::error_already_set> later(static_cast<py::error_already_set*>(exception));
  later->restore();
  return -1;
}

// Runs the handlers of signals that have come, as Python does between two of its own steps. Whether one has raised:
// then the call is to end. Only the main thread has signal handlers, and no other waits for Python here.
int signals_raise() {
  if (PyThread_get_thread_ident() != main_thread) return 0;
  const py::gil_scoped_acquire python;
  if (PyErr_CheckSignals() == 0) return 0;
  auto raised = std::make_unique<py::error_already_set>();
  if (Py_AddPendingCall(&raise_later, raised.get()) != 0) return 0;  // the queue of pending calls is full
  raised.release();
  return 1;
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
  main_thread = py::module_::import("threading").attr("main_thread")().attr("ident").cast<unsigned long>();
  m.def(
      "interruption_hook", [] { return reinterpret_cast<std::uintptr_t>(&signals_raise); },
      "The address of what the operators ask, in a call that takes long, whether a signal's handler raises.");
}
