// The block-arrow system of a group of faces. What a face has to itself is eliminated first; the Schur complements of the
// faces add up to the system of what they share.
#pragma once

#include "fit_normal-inl.h"

namespace twodasl::cpu::TWODASL_LEVEL {

// Hands out pieces of a task's scratch, whole cache lines each.
struct FitArena {
  unsigned char* next;
  template <class N>
  N* take(int64_t count) {
    N* const piece = reinterpret_cast<N*>(next);
    next += (count * int64_t(sizeof(N)) + 63) / 64 * 64;
    return piece;
  }
};

template <class T>
void lay_out_face(const FitMemory<T>& memory, FitArena& arena, FitFace<T>& face) {
  const int64_t width = memory.width(), points = memory.padded_points, local = memory.layout.local();
  face.rows = {arena.take<T>(memory.matrix(local)), 0, local, width};
  face.inverse = arena.take<T>(width), face.diagonal = arena.take<T>(width), face.step = arena.take<T>(width);
  for (T*& target : face.target) target = arena.take<T>(points);
  face.weight = arena.take<T>(points);
  for (FitState<T>& state : face.states) {
    state.coefficients = arena.take<T>(width), state.pull = arena.take<T>(width);
    for (T*& arm : state.arm) arm = arena.take<T>(points);
    for (T*& error : state.error) error = arena.take<T>(points);
    state.size = arena.take<T>(points);
    state.chosen = arena.take<int32_t>(points);
  }
}

template <class T>
void lay_out_work(const FitMemory<T>& memory, FitArena& arena, FitWork<T>& work) {
  const FitLayout& layout = memory.layout;
  const int64_t width = memory.width(), rows = memory.matrix(3 * memory.kChunkPoints);
  work.rows = arena.take<T>(rows), work.products = arena.take<T>(rows);
  work.face_shared = {arena.take<T>(memory.matrix(layout.shared)), layout.local(), layout.unknowns(), width};
  work.shared = work.face_shared;
  work.shared.data = arena.take<T>(memory.matrix(layout.shared));
  work.inverse = arena.take<T>(width), work.diagonal = arena.take<T>(width);
  work.apart = arena.take<T>(width);
  work.whole = arena.take<T>(memory.matrix(layout.unknowns()));
  work.scratch = arena.take<T>(memory.matrix(layout.unknowns()));
  work.points = arena.take<T>(3 * memory.padded_points), work.scale = arena.take<T>(memory.padded_points);
}

// A group of faces and the memory of its task, on a 64-byte boundary: see fit_scratch_bytes().
template <class T>
struct FitSystem {
  FitLayout layout;
  FitFace<T>* faces;
  int64_t count;
  FitWork<T> work;

  FitSystem(const FitLayout& layout, int64_t points, int64_t first, int64_t last, FitArena& arena)
      : layout(layout), count(last - first) {
    static_assert(sizeof(FitFace<T>) <= 1024, "fit_scratch_bytes() counts on it");
    const FitMemory<T> memory(layout, points);
    faces = arena.take<FitFace<T>>(count);
    lay_out_work(memory, arena, work);
    for (int64_t f = 0; f < count; ++f) {
      lay_out_face(memory, arena, faces[f]);
      faces[f].index = first + f;
    }
  }

  // Raises the diagonal by its own `damping`; of what nothing is known the row becomes the identity's.
  static void damp(const RowsOf<T>& rows, const T* diagonal, double damping) {
    const T by = static_cast<T>(1.0 + damping);
    for (int64_t i = rows.first; i < rows.last; ++i) rows.row(i)[i] = diagonal[i] == T(0) ? T(1) : by * diagonal[i];
  }

  // The damped system's factor, by faces and then of what they share; false where it is not positive definite.
  // `assemble(f)` fills a face's part of the normal equations.
  template <class Assemble>
  bool factor_system(double damping, const Assemble& assemble) {
    const int64_t local = layout.local(), columns = layout.right() + 1, shared = layout.shared;
    clear_rows(work.shared);
    for (int64_t i = local; i < layout.unknowns(); ++i) work.diagonal[i] = T(0);
    bool good = true;
    for (int64_t f = 0; f < count; ++f) {
      FitFace<T>& face = faces[f];
      assemble(f);
      for (int64_t i = 0; i < local; ++i) face.diagonal[i] = face.rows.row(i)[i];
      damp(face.rows, face.diagonal, damping);
      good = factor(face.rows, columns, face.inverse) && good;
      if (shared == 0) continue;
      for (int64_t i = local; i < layout.unknowns(); ++i) work.diagonal[i] += work.face_shared.row(i)[i];
      add_product<true>(face.rows.data, face.rows.data, local, work.face_shared, local, layout.unknowns(), 0, columns,
                        true);
      for (int64_t i = 0; i < shared * layout.width(); ++i) work.shared.data[i] += work.face_shared.data[i];
    }
    if (!good || shared == 0) return good;
    for (int64_t i = local; i < layout.unknowns(); ++i) {
      T& pivot = work.shared.row(i)[i];
      pivot = work.diagonal[i] == T(0) ? T(1) : pivot + static_cast<T>(damping) * work.diagonal[i];
    }
    return factor(work.shared, columns, work.inverse);
  }

  // The steps of all faces; false where one is not finite.
  bool solve() {
    bool good = true;
    for (int64_t f = 0; f < count; ++f) {
      T* const step = faces[f].step;
      for (int64_t j = layout.right(); j < layout.width(); ++j) step[j] = T(0);
      if (f == 0) {
        back_substitute(work.shared, layout.right(), work.inverse, step);
      } else {
        for (int64_t j = layout.local(); j < layout.right(); ++j) step[j] = faces[0].step[j];
      }
      back_substitute(faces[f].rows, layout.right(), faces[f].inverse, step);
      for (int64_t j = 0; j < layout.right(); ++j) good = good && finite(step[j]);
    }
    return good;
  }

  // What rounding may take from a diagonal of 1.
  static constexpr double epsilon() { return sizeof(T) == 4 ? 1.1920928955078125e-07 : 2.220446049250313e-16; }
  static constexpr double little() { return 64.0 * epsilon(); }

  // The diagonal of the inverse of a factored system in a face's columns, into its step.
  void inverse_of(int64_t f) {
    FitFace<T>& face = faces[f];
    const int64_t local = layout.local(), width = layout.width();
    const T* u = face.rows.data;
    if (layout.shared > 0) {
      for (int64_t i = 0; i < local * width; ++i) work.whole[i] = u[i];
      for (int64_t i = 0; i < layout.shared * width; ++i) work.whole[local * width + i] = work.shared.data[i];
      for (int64_t i = local; i < layout.unknowns(); ++i) face.inverse[i] = work.inverse[i];
      u = work.whole;
    }
    inverse_diagonal(u, layout.unknowns(), width, static_cast<const T*>(face.inverse), work.scratch, face.step);
  }

  // Whether anything is known of the unknown in a face's column i.
  bool known(int64_t f, int64_t i) const { return (i < layout.local() ? faces[f].diagonal : work.diagonal)[i] > T(0); }
};

}  // namespace twodasl::cpu::TWODASL_LEVEL
