// The problem of fit_landmarks as tensors: checked, where the kernels read them; and what a fit and its gradients write.
#pragma once

#include <limits>
#include <tuple>

#include "../common/fit_params.h"
#include "device.h"

namespace twodasl::ops {

// A tensor whose rows, one a face, are dense; the stride between them may be anything, zero included.
inline Tensor dense_rows(const Tensor& tensor) {
  int64_t stride = 1;
  bool is_dense = true;
  for (int64_t axis = tensor.dim(); axis-- > 1;) {
    is_dense = is_dense && (tensor.size(axis) == 1 || tensor.stride(axis) == stride);
    stride *= tensor.size(axis);
  }
  return is_dense ? tensor : torch::stable::contiguous(tensor);
}

template <class T>
FaceRows<T> face_rows(const Tensor& tensor) {
  return {in<T>(tensor), tensor.size(0) > 1 ? tensor.stride(0) : 0};
}

// The problem's tensors, checked and dense; they live as long as the kernels read them.
struct FitTensors {
  Tensor mean, modes, center, points, sigma, start, pose_sigma, prior_mean, precision, intrinsics, offsets;
  int64_t shared;
  double robust;

  FitTensors(const Tensor& mean_in, const Tensor& modes_in, const Tensor& center_in, const Tensor& points_in,
             const Tensor& sigma_in, const Tensor& start_in, const Tensor& pose_sigma_in, const Tensor& prior_mean_in,
             const Tensor& precision_in, const Tensor& intrinsics_in, const Tensor& offsets_in, int64_t shared,
             double robust)
      : mean(dense(mean_in)), modes(dense(modes_in)), center(dense(center_in)), points(dense_rows(points_in)),
        sigma(dense_rows(sigma_in)), start(dense_rows(start_in)), pose_sigma(dense_rows(pose_sigma_in)),
        prior_mean(dense_rows(prior_mean_in)), precision(dense_rows(precision_in)),
        intrinsics(dense_rows(intrinsics_in)), offsets(dense(offsets_in)), shared(shared), robust(robust) {
    check();
  }

  int64_t batch() const { return points.size(0); }
  int64_t count() const { return points.size(1); }
  int64_t dimensions() const { return points.size(2); }
  int64_t modes_count() const { return modes.size(0); }
  bool grouped() const { return shared > 0 && offsets.size(0) > 0; }
  int64_t groups() const { return grouped() ? offsets.size(0) - 1 : batch(); }

  void check() const {
    check_shape(mean, "mean", {-1, 3});
    check_shape(modes, "modes", {-1, mean.size(0), 3});
    check_shape(center, "center", {3});
    check_shape(points, "points", {-1, -1, -1});
    const int64_t faces = batch(), k = modes_count();
    STD_TORCH_CHECK(dimensions() == 2 || dimensions() == 3, "twodasl: points has the wrong shape");
    check_shape(sigma, "sigma", {faces, count()});
    check_shape(start, "start", {faces, 3, 4});
    check_shape(pose_sigma, "pose_sigma", {faces, kFitPose});
    check_shape(prior_mean, "prior_mean", {faces, k});
    if (precision.dim() == 2) {
      check_shape(precision, "prior_precision", {faces, k});
    } else {
      check_shape(precision, "prior_precision", {faces, k, k});
    }
    if (intrinsics.dim() != 1 || intrinsics.size(0) != 0) {
      check_shape(intrinsics, "intrinsics", {faces, 4});
      STD_TORCH_CHECK(dimensions() == 2, "twodasl: intrinsics are given for points in space");
    }
    for (const Tensor* tensor : {&modes, &center, &points, &sigma, &start, &pose_sigma, &prior_mean, &precision,
                                 &intrinsics}) {
      check_type(*tensor, "a tensor of the fit", mean.scalar_type());
      check_same_device(*tensor, "a tensor of the fit", mean);
    }
    check_shape(offsets, "offsets", {-1});
    check_type(offsets, "offsets", ScalarType::Long);
    check_same_device(offsets, "offsets", mean);
    STD_TORCH_CHECK(shared >= 0 && shared <= k, "twodasl: shared is not within the modes");
    STD_TORCH_CHECK(robust > 0.0, "twodasl: robust is not above 0");
    STD_TORCH_CHECK(mean.size(0) < std::numeric_limits<int32_t>::max(), "twodasl: mean has too many rows");
  }

  template <class T>
  FitProblem<T> problem() const {
    const bool perspective = intrinsics.dim() == 2;
    return {in<T>(mean),
            in<T>(modes),
            in<T>(center),
            face_rows<T>(points),
            face_rows<T>(sigma),
            face_rows<T>(start),
            face_rows<T>(pose_sigma),
            face_rows<T>(prior_mean),
            face_rows<T>(precision),
            face_rows<T>(intrinsics),
            grouped() ? in<int64_t>(offsets) : nullptr,
            batch(),
            groups(),
            count(),
            mean.size(0),
            modes_count(),
            grouped() ? shared : 0,
            perspective ? FitCamera::perspective : dimensions() == 3 ? FitCamera::space : FitCamera::orthographic,
            precision.dim() == 3,
            robust};
  }
};

// candidates (L, C) and outward, without their values.
inline void check_candidates(const Tensor& candidates, const Tensor& outward, const FitTensors& given) {
  check_shape(candidates, "candidates", {given.count(), -1});
  check_type(candidates, "candidates", ScalarType::Long);
  STD_TORCH_CHECK(candidates.size(1) >= 1, "twodasl: candidates has the wrong shape");
  check_type(outward, "outward", given.mean.scalar_type());
  check_same_device(candidates, "candidates", given.mean);
  check_same_device(outward, "outward", given.mean);
  if (candidates.size(1) > 1) {
    check_shape(outward, "outward", {given.count(), 2});
    STD_TORCH_CHECK(given.dimensions() == 2, "twodasl: points in space have several candidates");
  }
}

// The results of a fit.
struct FitResults {
  Tensor parameters, deviations, unknowns, cost, residuals, chosen, steps, converged;

  explicit FitResults(const FitTensors& given)
      : parameters(empty_like_type({given.batch(), 12 + given.modes_count()}, given.mean)),
        deviations(empty_like_type({given.batch(), kFitPose + given.modes_count()}, given.mean)),
        unknowns(empty_like_type({given.batch(), kFitPose + given.modes_count()}, given.mean)),
        cost(empty_like_type({given.batch()}, given.mean)),
        residuals(empty_like_type({given.batch(), given.count(), given.dimensions()}, given.mean)),
        chosen(empty_of({given.batch(), given.count()}, ScalarType::Int, given.mean)),
        steps(empty_of({given.batch()}, ScalarType::Int, given.mean)),
        converged(empty_of({given.batch()}, ScalarType::Bool, given.mean)) {}

  template <class T>
  FitParams<T> params(const FitTensors& given, const Tensor& candidates, const Tensor& outward, int64_t iterations,
                      double tolerance) const {
    return {given.problem<T>(), nullptr,            in<int64_t>(candidates), in<T>(outward),   candidates.size(1),
            iterations,         tolerance,          out<T>(parameters),      out<T>(deviations), out<T>(unknowns),
            out<T>(cost),       out<T>(residuals),  out<int32_t>(chosen),    out<int32_t>(steps), out<bool>(converged)};
  }
  std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> all() const {
    return {parameters, deviations, unknowns, cost, residuals, chosen, steps, converged};
  }
};

// Of the backward: the parameters' gradient, and what the fit found.
inline void check_found(const Tensor& grad, const Tensor& unknowns, const Tensor& chosen, const FitTensors& given) {
  check_shape(grad, "grad", {given.batch(), 12 + given.modes_count()});
  check_shape(unknowns, "unknowns", {given.batch(), kFitPose + given.modes_count()});
  check_shape(chosen, "chosen", {given.batch(), given.count()});
  check_type(grad, "grad", given.mean.scalar_type());
  check_type(unknowns, "unknowns", given.mean.scalar_type());
  check_type(chosen, "chosen", ScalarType::Int);
  for (const Tensor* tensor : {&grad, &unknowns, &chosen}) {
    check_same_device(*tensor, "a tensor of the fit", given.mean);
  }
}

// The gradients; what is not needed has no rows.
struct FitGradients {
  Tensor points, sigma, start, pose_sigma, prior_mean, precision, pull, twist, solved;
  bool need_precision, need_basis;

  FitGradients(const FitTensors& given, bool need_precision, bool need_basis)
      : points(empty_like_type({given.batch(), given.count(), given.dimensions()}, given.mean)),
        sigma(empty_like_type({given.batch(), given.count()}, given.mean)),
        start(empty_like_type({given.batch(), 3, 4}, given.mean)),
        pose_sigma(empty_like_type({given.batch(), kFitPose}, given.mean)),
        prior_mean(empty_like_type({given.batch(), given.modes_count()}, given.mean)),
        precision(empty_precision(given, need_precision ? given.batch() : 0)),
        pull(empty_like_type({need_basis ? given.batch() : 0, given.count(), 3}, given.mean)),
        twist(empty_like_type({need_basis ? given.batch() : 0, given.count(), 3}, given.mean)),
        solved(empty_like_type({need_basis ? given.batch() : 0, given.modes_count()}, given.mean)),
        need_precision(need_precision), need_basis(need_basis) {}

  static Tensor empty_precision(const FitTensors& given, int64_t batch) {
    const int64_t k = given.modes_count();
    return given.precision.dim() == 3 ? empty_like_type({batch, k, k}, given.mean)
                                      : empty_like_type({batch, k}, given.mean);
  }

  template <class T>
  FitBackwardParams<T> params(const FitTensors& given, const Tensor& grad, const Tensor& unknowns,
                              const Tensor& chosen) const {
    return {given.problem<T>(),
            nullptr,
            in<T>(unknowns),
            in<int32_t>(chosen),
            in<T>(grad),
            out<T>(points),
            out<T>(sigma),
            out<T>(start),
            out<T>(pose_sigma),
            out<T>(prior_mean),
            need_precision ? out<T>(precision) : nullptr,
            need_basis ? out<T>(pull) : nullptr,
            need_basis ? out<T>(twist) : nullptr,
            need_basis ? out<T>(solved) : nullptr};
  }
  std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> all() const {
    return {points, sigma, start, pose_sigma, prior_mean, precision, pull, twist, solved};
  }
};

}  // namespace twodasl::ops
