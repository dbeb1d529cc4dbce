// vertices, backward, for coefficients and pose: shared by its tests.
//   grad c_k = sum_n q[n] . modes_k[n],  q[n] = M^T g[n];   grad M = sum_n g[n] p[n]^T;   grad t = sum_n g[n].
#pragma once

#include "../../csrc/cpu/dispatch/kernels.h"
#include "checked.h"
#include "gradients.h"

namespace twodasl::test {

struct ExpectedGradients {
  std::vector<Sum> coefficients, pose;
};

template <class T, class S>
ExpectedGradients expected_gradients(const Basis<T, S>& basis, const Faces<T>& faces, const Gradient<T>& gradient) {
  const Sizes& sizes = basis.sizes;
  ExpectedGradients result;
  result.coefficients.resize(static_cast<size_t>(sizes.batch * sizes.modes));
  result.pose.resize(static_cast<size_t>(sizes.batch * 12));
  for (int64_t b = 0; b < sizes.batch; ++b) {
    Sum* pose = result.pose.data() + 12 * b;
    Sum* coefficients = result.coefficients.data() + sizes.modes * b;
    for (int64_t n = 0; n < sizes.vertices; ++n) {
      for (int64_t c = 0; c < 3; ++c) {
        const Sum p = basis.shape(faces.coefficients.data() + b * sizes.modes, n, c);
        const Sum q = turned_back(faces.pose, gradient, b, n, c);
        for (int64_t r = 0; r < 3; ++r) pose[4 * r + c].add(gradient.at(b, n, r), p);
        for (int64_t k = 0; k < sizes.modes; ++k) coefficients[k].add(basis.mode(k, n, c), q);
      }
      for (int64_t r = 0; r < 3; ++r) pose[4 * r + 3].add(gradient.at(b, n, r));
    }
  }
  return result;
}

template <class T>
struct Gradients {
  Array<T> coefficients, pose;

  // Outputs that are not needed have no storage.
  Gradients(Place place, const Sizes& sizes, bool need_coefficients, bool need_pose)
      : coefficients(place, need_coefficients ? sizes.batch * sizes.modes : 0),
        pose(place, need_pose ? sizes.batch * 12 : 0) {}
};

// The parameters of the kernel and of the sum of the parts, except the order of the faces; `partial` is scratch.
template <class T, class S>
VerticesBackwardParams<T, S> backward_params(const Basis<T, S>& basis, const Faces<T>& faces,
                                             const Gradient<T>& gradient, Array<T>& partial) {
  VerticesBackwardParams<T, S> params{};
  params.basis = basis.view();
  params.coefficients = faces.coefficients.data();
  params.pose = faces.pose.data();
  params.grad = gradient.view();
  params.partial = partial.data();
  params.batch = basis.sizes.batch;
  params.need_coefficients = params.need_pose = true;
  return params;
}

template <class S>
Partition partition_of(const Sizes& sizes) {
  return partition(sizes.vertices, sizes.modes, sizes.batch, sizeof(S));
}

// Partial sums of the tasks, then their sum, as the operator does it.
template <class T, class S>
void run_backward(const cpu::BasisKernels<T, S>& kernels, const VerticesBackwardParams<T, S>& params, Place place,
                  int threads, Gradients<T>& result) {
  const Sizes sizes{params.basis.vertices, params.basis.modes_count, params.batch};
  const Partition cut = partition_of<S>(sizes);
  split(cut.tasks(), threads, [&](int64_t begin, int64_t end) { kernels.backward(params, begin, end); });
  split(sizes.batch, threads, [&](int64_t begin, int64_t end) {
    Array<double> total(place, sizes.width());
    checked::reduce_parts(params, cut.parts, params.need_coefficients ? result.coefficients.data() : nullptr,
                          params.need_pose ? result.pose.data() : nullptr, total.data(), begin, end);
  });
}

}  // namespace twodasl::test
