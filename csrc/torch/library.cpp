// Every operator's schema. Packed tensors: mean (blocks, 3, 16), modes (blocks, K, 3, 16), see common/params.h.
#include "stable.h"

STABLE_TORCH_LIBRARY(twodasl, m) {
  m.def("vertices(Tensor mean, Tensor modes, SymInt count, Tensor coefficients, Tensor pose) -> Tensor");
  m.def(
      "vertices_out(Tensor mean, Tensor modes, SymInt count, Tensor coefficients, Tensor pose, Tensor(a!) out) "
      "-> ()");
  m.def(
      "vertices_backward(Tensor grad, Tensor mean, Tensor modes, Tensor coefficients, Tensor pose, Tensor? posed, "
      "bool need_coefficients, bool need_pose) -> (Tensor, Tensor)");
  m.def(
      "vertices_backward_basis(Tensor grad, Tensor coefficients, Tensor pose, bool need_mean, bool need_modes) "
      "-> (Tensor, Tensor)");
  m.def(
      "importance_weights(Tensor mean, Tensor modes, SymInt count, Tensor predicted, Tensor target, bool planar, "
      "bool by_maximum) -> Tensor");
  m.def("huge_copy(Tensor source) -> Tensor");
  m.def("release_memory() -> ()");
  m.def(
      "rasterize(Tensor vertices, Tensor triangles, SymInt height, SymInt width) -> (Tensor, Tensor, Tensor)");
}
