// Every operator's schema. Packed tensors: mean (blocks, 3, 16), modes (blocks, K, 3, 16), see common/params.h.
#include "interruption.h"
#include "register.h"

namespace twodasl::ops {

std::atomic<int (*)()> interruption_hook{nullptr};

}  // namespace twodasl::ops

extern "C" __attribute__((visibility("default"))) void twodasl_set_interruption_hook(int (*hook)()) {
  twodasl::ops::interruption_hook = hook;
}

STABLE_TORCH_LIBRARY(twodasl, m) {
  using twodasl::ops::def_differentiable;
  def_differentiable(
      m, "vertices(Tensor mean, Tensor modes, SymInt count, Tensor coefficients, Tensor pose) -> Tensor");
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
  // factor (2, width, width), see common/params.h; the gradients need the residual (B, 3, width). In the
  // backward pass a tensor that is None needs no gradient and gets an empty one.
  def_differentiable(
      m,
      "vertex_distance_cost(Tensor factor, Tensor predicted, Tensor target, bool ignore_depth) -> (Tensor, Tensor)");
  m.def(
      "vertex_distance_cost_backward(Tensor grad, Tensor factor, Tensor residual, Tensor? predicted, Tensor? target, "
      "bool ignore_depth) -> (Tensor, Tensor)");
  // Steps of iterative_closest_point, see cpu/kernels/icp.h: a pose is 13 numbers [R row by row | t | s], a frame 4,
  // float64.
  m.def("nearest_rotation(Tensor matrices) -> Tensor");
  m.def("icp_frame(Tensor points, Tensor counts) -> Tensor");
  // The same cloud, sorted so that neighbors follow one another.
  m.def("icp_sorted(Tensor points, Tensor counts) -> Tensor");
  // One iteration: the pairs at a pose, with those of the last one as hints, and the pose that follows from them:
  // next pose, statistics, squared distances (B, N), indices (B, N).
  m.def(
      "icp_step(Tensor source, Tensor target, Tensor? normals, Tensor leaves, Tensor ids, Tensor boxes, Tensor lowest, "
      "Tensor? hint, Tensor counts, Tensor pose, Tensor source_frame, Tensor target_frame, float trim, "
      "float max_squared, bool scale, bool recenter) -> (Tensor, Tensor, Tensor, Tensor)");
  // All iterations, without waiting for the device: the best pose, its error, the matched fraction, converged,
  // iterations, history (B, max_iterations + 1). CUDA only.
  m.def(
      "icp_run(Tensor source, Tensor target, Tensor? normals, Tensor leaves, Tensor ids, Tensor boxes, Tensor lowest, "
      "Tensor counts, Tensor start, Tensor source_frame, Tensor target_frame, float trim, float max_squared, "
      "bool scale, bool recenter, int max_iterations, float? tolerance, float? mse_tolerance) "
      "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)");
  // The problem is stated in common/fit_params.h. mean (R, 3), modes (K, R, 3), candidates (L, C) rows of every point,
  // outward (L, 2) or (0, 2); intrinsics (B, 4) or (0); offsets (G + 1) or (0). Of what belongs to a face dimension 0 may
  // have a stride of zero. -> parameters, deviations, unknowns, cost, residuals, chosen, steps, converged.
  def_differentiable(
      m,
      "fit_landmarks(Tensor mean, Tensor modes, Tensor candidates, Tensor outward, Tensor center, Tensor points, "
      "Tensor sigma, Tensor start, Tensor pose_sigma, Tensor prior_mean, Tensor prior_precision, Tensor intrinsics, "
      "Tensor offsets, int shared, float robust, int iterations, float tolerance) "
      "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)");
  // `grad` is the parameters'; unknowns and chosen are what the fit found. -> the gradients of points, sigma, start,
  // pose_sigma, prior_mean and prior_precision (empty unless needed); and for the basis's (empty unless needed) pull
  // (B, L, 3), twist (B, L, 3) and solved (B, K): of a row of the mean, the sum of pull over the points that used it; of
  // one of mode k, that of c_k pull + solved_k twist.
  m.def(
      "fit_landmarks_backward(Tensor grad, Tensor mean, Tensor modes, Tensor center, Tensor points, Tensor sigma, "
      "Tensor start, Tensor pose_sigma, Tensor prior_mean, Tensor prior_precision, Tensor intrinsics, Tensor offsets, "
      "int shared, float robust, Tensor unknowns, Tensor chosen, bool need_precision, bool need_basis) "
      "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)");
  // weights (N, J), transforms (B, J, 3, 4). In the backward pass None for the vertices says that no gradient of the
  // transforms is needed, None for the transforms that none of the vertices is; what is not needed is empty.
  def_differentiable(m, "skin(Tensor vertices, Tensor weights, Tensor transforms) -> Tensor");
  m.def(
      "skin_backward(Tensor grad, Tensor? vertices, Tensor weights, Tensor? transforms) -> (Tensor, Tensor)");
  m.def("skin_backward_weights(Tensor grad, Tensor vertices, Tensor transforms) -> Tensor");
  m.def("huge_copy(Tensor source) -> Tensor");
  m.def("release_memory() -> ()");
  m.def(
      "rasterize(Tensor vertices, Tensor triangles, SymInt height, SymInt width) -> (Tensor, Tensor, Tensor)");
  // points (B, P, 3), lengths (B) -> leaves (B, L, 3, 16), ids (B, L, 16), boxes (B, N, 6, 16), lowest (B, N, 16): the
  // tree of common/params.h, which the search takes back. A tight one takes longer to build and less to search.
  m.def("neighbor_tree(Tensor points, Tensor? lengths, bool tight) -> (Tensor, Tensor, Tensor, Tensor)");
  def_differentiable(
      m,
      "nearest_neighbors(Tensor query, Tensor points, Tensor leaves, Tensor ids, Tensor boxes, Tensor lowest, "
      "Tensor? lengths, Tensor? query_lengths, Tensor? hint) -> (Tensor, Tensor)");
  m.def(
      "nearest_neighbors_backward(Tensor grad, Tensor query, Tensor points, Tensor index, bool need_query, "
      "bool need_points) -> (Tensor, Tensor)");
  // -> (B, M, k) each. The gradients are those of nearest_neighbors, of k queries each.
  def_differentiable(
      m,
      "k_nearest_neighbors(Tensor query, Tensor points, Tensor leaves, Tensor ids, Tensor boxes, Tensor lowest, "
      "Tensor? lengths, SymInt k) -> (Tensor, Tensor)");
  // points (B, M, 3), vertices (B, N, 3), triangles (F, 3) -> squared distances (B, M), triangles (B, M), weights of their
  // corners at the closest point (B, M, 3). The gradients are those of the distances.
  def_differentiable(
      m, "closest_point_on_mesh(Tensor points, Tensor vertices, Tensor triangles) -> (Tensor, Tensor, Tensor)");
  m.def(
      "closest_point_on_mesh_backward(Tensor grad, Tensor points, Tensor vertices, Tensor triangles, Tensor triangle, "
      "Tensor barycentrics, bool need_points, bool need_vertices) -> (Tensor, Tensor)");
}
