// skin on the CPU: how the work is divided, the memory that a task works in, and the last step of a gradient.
#pragma once

#include "../../common/skin_params.h"

namespace twodasl::cpu {

// A task is one part of the vertices for one group of faces. A part's weights are sorted once for all faces of the group,
// and stay in the first- or second-level cache meanwhile.
struct SkinPartition {
  int64_t blocks;       // vertex blocks in all
  int64_t part_blocks;  // in one part
  int64_t parts;
  int64_t groups;
  int64_t tasks() const { return parts * groups; }
};

inline constexpr int64_t kSkinGroupFaces = 64;

// The levels call what is inlined here: a copy of its own, see dispatch/level-inl.h, must not be left to the linker.
#define TWODASL_INLINED inline __attribute__((always_inline))

TWODASL_INLINED SkinPartition skin_partition(int64_t count, int64_t batch) {
  constexpr int64_t kFewest = 8, kMost = 32, kParts = 32;
  SkinPartition p{};
  p.blocks = block_count(count);
  const int64_t even = (p.blocks + kParts - 1) / kParts;
  p.part_blocks = even < kFewest ? kFewest : (even > kMost ? kMost : even);
  p.parts = (p.blocks + p.part_blocks - 1) / p.part_blocks;
  p.groups = (batch + kSkinGroupFaces - 1) / kSkinGroupFaces;
  return p;
}

// What a task sorts a part's weights into. `joint` has room for one more, which is written and dropped.
template <class T>
struct SkinScratch {
  T* weight;        // (entries, 16): the weights of one joint in one block; zeros past the last vertex
  T* planes;        // (6, part_blocks * 16): x, y, z of the gradient, then of the vertices
  int64_t* joint;   // (entries)
  int64_t* block;   // (entries), in the part
  int64_t* order;   // (entries), sorted by joint
  int64_t* first;   // (part_blocks + 1): a block's first entry
  int64_t* starts;  // (J + 1): a joint's first entry of `order`
  T* seen;          // (J) of bits

  static TWODASL_INLINED int64_t entries(int64_t part_blocks, int64_t joints) { return part_blocks * joints; }
  static int64_t bytes(int64_t part_blocks, int64_t joints) {
    const int64_t many = entries(part_blocks, joints);
    return int64_t(sizeof(T)) * ((many + 6 * part_blocks) * kBlock + joints) +
           int64_t(sizeof(int64_t)) * (3 * many + part_blocks + joints + 4);
  }
  TWODASL_INLINED SkinScratch(void* memory, int64_t part_blocks, int64_t joints) {
    const int64_t many = entries(part_blocks, joints);
    joint = static_cast<int64_t*>(memory);
    block = joint + many + 1;
    order = block + many;
    first = order + many;
    starts = first + part_blocks + 1;
    weight = reinterpret_cast<T*>(starts + joints + 1);
    planes = weight + many * kBlock;
    seen = planes + 6 * part_blocks * kBlock;
  }
};

// The gradient of the weights takes faces in chunks, whose products with the gradient fit into the first-level cache.
inline constexpr int64_t kSkinChunkFaces = 16;
template <class T>
int64_t skin_weights_bytes(int64_t joints) {
  return int64_t(sizeof(T)) * (12 * kSkinChunkFaces + joints) * kBlock;
}

// partial (parts, B, J, 12) -> grad_transforms (B, J, 3, 4) of faces and joints [begin, end) of B * J.
template <class T>
void skin_reduce(const SkinBackwardParams<T>& params, int64_t parts, int64_t begin, int64_t end) {
  const int64_t stride = params.batch * params.joints * 12;
  for (int64_t i = begin; i < end; ++i) {
    double total[12] = {};  // a joint may sum 50,000 vertices
    for (int64_t part = 0; part < parts; ++part) {
      if (!params.used[part * params.joints + i % params.joints]) continue;
      for (int64_t k = 0; k < 12; ++k) total[k] += static_cast<double>(params.partial[part * stride + i * 12 + k]);
    }
    for (int64_t k = 0; k < 12; ++k) params.grad_transforms[i * 12 + k] = static_cast<T>(total[k]);
  }
}

}  // namespace twodasl::cpu
