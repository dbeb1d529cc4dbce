// Gradients with respect to the vertices as autograd provides them: with any strides, including zero.
#pragma once

#include "oracle.h"

namespace twodasl::test {

enum class Layout {
  dense,       // (B, N, 3)
  one_number,  // of a sum: every stride zero
  one_face,    // the same for all faces: expanded
  one_vertex,  // the same for all vertices, such as the gradient of a mean
  transposed,  // (3, N, B)
  every_other, // every second number of rows of six
  cut_out,     // some vertices of more, from the middle
};
inline constexpr Layout kLayouts[] = {Layout::dense,      Layout::one_number,  Layout::one_face, Layout::one_vertex,
                                      Layout::transposed, Layout::every_other, Layout::cut_out};

inline const char* name(Layout layout) {
  constexpr const char* names[] = {"dense",      "one number",  "one face", "one vertex",
                                   "transposed", "every other", "cut out"};
  return names[static_cast<int>(layout)];
}

// The storage ends with the last number of the view.
template <class T>
class Gradient {
 public:
  Gradient(Place place, Layout layout, const Sizes& sizes)
      : offset_(layout == Layout::cut_out ? 7 : 0),
        stride_(strides(layout, sizes)),
        storage_(place, sizes.batch > 0 && sizes.vertices > 0
                            ? offset_ + (sizes.batch - 1) * stride_[0] + (sizes.vertices - 1) * stride_[1] +
                                  2 * stride_[2] + 1
                            : 0) {
    Random(3).fill(storage_);
  }

  GradView<T> view() const {
    const T* data = storage_.size() > 0 ? storage_.data() + offset_ : storage_.data();
    return {data, {stride_[0], stride_[1], stride_[2]}};
  }
  double at(int64_t face, int64_t vertex, int64_t component) const {
    return widen(storage_[offset_ + face * stride_[0] + vertex * stride_[1] + component * stride_[2]]);
  }

 private:
  static std::vector<int64_t> strides(Layout layout, const Sizes& sizes) {
    const int64_t batch = sizes.batch, vertices = sizes.vertices;
    switch (layout) {
      case Layout::one_number: return {0, 0, 0};
      case Layout::one_face: return {0, 3, 1};
      case Layout::one_vertex: return {3, 0, 1};
      case Layout::transposed: return {1, batch, vertices * batch};
      case Layout::every_other: return {6 * vertices, 6, 2};
      case Layout::cut_out: return {3 * vertices + 11, 3, 1};
      default: return {3 * vertices, 3, 1};
    }
  }

  int64_t offset_;
  std::vector<int64_t> stride_;
  Array<T> storage_;
};

// Component c of M^T g for one vertex.
template <class T>
Sum turned_back(const Array<T>& pose, const Gradient<T>& gradient, int64_t face, int64_t vertex, int64_t c) {
  Sum sum;
  for (int64_t r = 0; r < 3; ++r) sum.add(widen(pose[12 * face + 4 * r + c]) * gradient.at(face, vertex, r));
  return sum;
}

}  // namespace twodasl::test
