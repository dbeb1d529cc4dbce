// The faces whose shape before the pose can be taken from the forward's result come first: see common/recover.h.
#pragma once

#include <cstddef>
#include <vector>

#include "../../common/params.h"
#include "../../common/recover.h"

namespace twodasl::cpu {

using twodasl::invert;
using twodasl::recoverable;

// The order of the faces in which those whose shape can be recovered come first, with copies of what is read in
// that order; no copies where the order is that of the batch.
template <class T>
struct FaceOrder {
  std::vector<int64_t> faces;
  std::vector<T> coefficients, pose;
  int64_t recovered = 0;

  // `posed` is the forward's result (B, N, 3) or null. Fills the params' part that depends on the order.
  template <class S>
  void apply(VerticesBackwardParams<T, S>& params, const T* posed) {
    const int64_t batch = params.batch, modes_count = params.basis.modes_count, size = params.basis.vertices * 3;
    std::vector<int64_t> others;
    faces.reserve(static_cast<std::size_t>(batch));
    for (int64_t face = 0; face < batch; ++face) {
      const bool first = posed != nullptr && recoverable(params.pose + 12 * face, posed + size * face, size / 3);
      (first ? faces : others).push_back(face);
    }
    recovered = static_cast<int64_t>(faces.size());
    faces.insert(faces.end(), others.begin(), others.end());
    if (recovered != 0 && recovered != batch) {
      for (const int64_t face : faces) {
        coefficients.insert(coefficients.end(), params.coefficients + modes_count * face,
                            params.coefficients + modes_count * (face + 1));
        pose.insert(pose.end(), params.pose + 12 * face, params.pose + 12 * (face + 1));
      }
      params.coefficients = coefficients.data();
      params.pose = pose.data();
    }
    params.faces = faces.data();
    params.vertices = recovered != 0 ? posed : nullptr;
    params.recovered = recovered;
  }
};

}  // namespace twodasl::cpu
