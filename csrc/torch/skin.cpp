// skin: checks, allocation, parameters, and the launch on the device that this is compiled for.
#include "basis.h"
#include "device.h"

#if defined(TWODASL_FOR_CUDA)
#include "../cuda/skin.h"
#else
#include "../cpu/kernels/skin.h"
#include "tasks.h"
#endif

namespace twodasl::ops {

namespace {

#if defined(TWODASL_FOR_CUDA)

// Transforms as the kernels read them.
template <class T>
class Transforms {
 public:
  explicit Transforms(const Tensor& any) : tensor_(dense(any)) {}
  const T* get() { return in<T>(tensor_); }

 private:
  const Tensor tensor_;
};

template <class T>
void launch(const SkinParams<T>& params, const OnDevice& device) {
  check_launch(cuda::launch_skin(params, device.stream()));
}

template <class T>
void launch_backward(SkinBackwardParams<T>& params, const Tensor& like, const OnDevice& device) {
  const int64_t numbers = params.grad_transforms ? cuda::skin_scratch(params.count, params.joints, params.batch) : 0;
  const Tensor partial = empty_like_type({numbers}, like);
  params.partial = out<T>(partial);
  check_launch(cuda::launch_skin_backward(params, device.stream()));
}

template <class T>
void launch_backward_weights(const SkinWeightsParams<T>& params, const OnDevice& device) {
  check_launch(cuda::launch_skin_backward_weights(params, device.stream()));
}

#else

// Transforms as the kernels read them. They are few, and often three rows of four: one of torch's copies would take
// longer to start than this loop to end.
template <class T>
class Transforms {
 public:
  explicit Transforms(const Tensor& any)
      : from_(in<T>(any)), copy_(any.is_contiguous() ? 0 : static_cast<size_t>(any.numel()) * sizeof(T)) {
    if (any.is_contiguous()) return;
    const int64_t faces = any.size(0), joints = any.size(1), row = any.stride(2), column = any.stride(3);
    const int64_t face = any.stride(0), joint = any.stride(1);
    T* to = reinterpret_cast<T*>(copy_.keys());
    for (int64_t b = 0; b < faces; ++b) {
      for (int64_t j = 0; j < joints; ++j) {
        const T* const rows = from_ + b * face + j * joint;
        for (int64_t k = 0; k < 12; ++k) *to++ = rows[k / 4 * row + k % 4 * column];
      }
    }
    from_ = reinterpret_cast<const T*>(copy_.keys());
  }
  const T* get() { return from_; }

 private:
  const T* from_;
  Scratch copy_;
};

// Tasks of so much work each, every thread with scratch memory of its own.
template <class Run>
void each_range(int64_t tasks, int64_t work, int64_t bytes, const Run& run) {
  torch::stable::parallel_for(0, tasks, grain(work), [&](int64_t begin, int64_t end) {
    Scratch scratch(static_cast<size_t>(bytes));
    run(scratch.keys(), begin, end);
  });
}

// Multiply-adds of a task if a fourth of the weights is not zero.
int64_t work_of(const cpu::SkinPartition& cut, int64_t batch, int64_t joints) {
  const int64_t faces = batch < cpu::kSkinGroupFaces ? batch : cpu::kSkinGroupFaces;
  return cut.part_blocks * kBlock * joints * (1 + 3 * faces);
}

template <class T>
void launch(const SkinParams<T>& params, const OnDevice&) {
  const cpu::SkinPartition cut = cpu::skin_partition(params.count, params.batch);
  const int64_t bytes = cpu::SkinScratch<T>::bytes(cut.part_blocks, params.joints);
  each_range(cut.tasks(), work_of(cut, params.batch, params.joints), bytes,
             [&](void* scratch, int64_t begin, int64_t end) { kernels<T>().skin(params, scratch, begin, end); });
}

template <class T>
void launch_backward(SkinBackwardParams<T>& params, const Tensor& like, const OnDevice&) {
  const cpu::SkinPartition cut = cpu::skin_partition(params.count, params.batch);
  const int64_t parts = params.grad_transforms ? cut.parts : 0, faces_joints = params.batch * params.joints;
  const Tensor partial = empty_result({parts, params.batch, params.joints, 12}, like);
  const Tensor used = empty_of({parts, params.joints}, ScalarType::Byte, like);
  params.partial = out<T>(partial);
  params.used = out<unsigned char>(used);
  const int64_t bytes = cpu::SkinScratch<T>::bytes(cut.part_blocks, params.joints);
  each_range(cut.tasks(), 2 * work_of(cut, params.batch, params.joints), bytes,
             [&](void* scratch, int64_t begin, int64_t end) { kernels<T>().skin_backward(params, scratch, begin, end); });
  if (!params.grad_transforms) return;
  torch::stable::parallel_for(0, faces_joints, grain(12 * parts), [&](int64_t begin, int64_t end) {
    cpu::skin_reduce(params, parts, begin, end);
  });
}

template <class T>
void launch_backward_weights(const SkinWeightsParams<T>& params, const OnDevice&) {
  const int64_t work = kBlock * 12 * params.joints * params.batch;
  each_range(block_count(params.count), work, cpu::skin_weights_bytes<T>(params.joints),
             [&](void* scratch, int64_t begin, int64_t end) {
               kernels<T>().skin_backward_weights(params, scratch, begin, end);
             });
}

#endif

void check_operand(const Tensor& tensor, const char* name, std::initializer_list<int64_t> sizes, const Tensor& like) {
  check_shape(tensor, name, sizes);
  check_type(tensor, name, like.scalar_type());
  check_same_device(tensor, name, like);
}

Tensor skin(const Tensor& vertices_in, const Tensor& weights_in, const Tensor& transforms_in) {
  check_shape(vertices_in, "vertices", {-1, -1, 3});
  const int64_t batch = vertices_in.size(0), count = vertices_in.size(1);
  check_operand(weights_in, "weights", {count, -1}, vertices_in);
  const int64_t joints = weights_in.size(1);
  check_operand(transforms_in, "transforms", {batch, joints, 3, 4}, vertices_in);
  const OnDevice device(vertices_in);
  const Tensor vertices = dense(vertices_in), weights = dense(weights_in);
  const Tensor output = empty_result({batch, count, 3}, vertices);
  if (batch == 0 || count == 0) return output;
  with_number(vertices, "vertices", [&](auto number) {
    using T = decltype(number);
    Transforms<T> transforms(transforms_in);
    launch(SkinParams<T>{in<T>(vertices), in<T>(weights), transforms.get(), out<T>(output), batch, count, joints},
           device);
  });
  return output;
}

std::tuple<Tensor, Tensor> skin_backward(const Tensor& grad, const std::optional<Tensor>& vertices_in,
                                         const Tensor& weights_in, const std::optional<Tensor>& transforms_in) {
  check_shape(grad, "grad", {-1, -1, 3});
  const int64_t batch = grad.size(0), count = grad.size(1);
  check_operand(weights_in, "weights", {count, -1}, grad);
  const int64_t joints = weights_in.size(1);
  if (vertices_in) check_operand(*vertices_in, "vertices", {batch, count, 3}, grad);
  if (transforms_in) check_operand(*transforms_in, "transforms", {batch, joints, 3, 4}, grad);
  const OnDevice device(grad);
  const Tensor weights = dense(weights_in);
  const std::optional<Tensor> vertices = dense(vertices_in), transforms = dense(transforms_in);
  Tensor grad_vertices = empty_result({transforms ? batch : 0, count, 3}, grad);
  Tensor grad_transforms = empty_like_type({vertices ? batch : 0, joints, 3, 4}, grad);
  if (batch == 0) return {grad_vertices, grad_transforms};
  with_number(grad, "grad", [&](auto number) {
    using T = decltype(number);
    SkinBackwardParams<T> params{};
    params.grad = grad_view<T>(grad);
    params.vertices = vertices ? in<T>(*vertices) : nullptr;
    params.weights = in<T>(weights);
    params.transforms = transforms ? in<T>(*transforms) : nullptr;
    params.grad_vertices = transforms ? out<T>(grad_vertices) : nullptr;
    params.grad_transforms = vertices ? out<T>(grad_transforms) : nullptr;
    params.batch = batch;
    params.count = count;
    params.joints = joints;
    launch_backward(params, grad, device);
  });
  return {grad_vertices, grad_transforms};
}

Tensor skin_backward_weights(const Tensor& grad, const Tensor& vertices_in, const Tensor& transforms_in) {
  check_shape(grad, "grad", {-1, -1, 3});
  const int64_t batch = grad.size(0), count = grad.size(1);
  check_operand(vertices_in, "vertices", {batch, count, 3}, grad);
  check_operand(transforms_in, "transforms", {batch, -1, 3, 4}, grad);
  const OnDevice device(grad);
  const Tensor vertices = dense(vertices_in), transforms = dense(transforms_in);
  const int64_t joints = transforms.size(1);
  const Tensor grad_weights = empty_result({count, joints}, grad);
  with_number(grad, "grad", [&](auto number) {
    using T = decltype(number);
    launch_backward_weights(SkinWeightsParams<T>{grad_view<T>(grad), in<T>(vertices), in<T>(transforms),
                                                 out<T>(grad_weights), batch, count, joints},
                            device);
  });
  return grad_weights;
}

}  // namespace

TWODASL_OPERATORS(m) {
  impl_differentiable(m, "skin", TORCH_BOX(&skin));
  m.impl("skin_backward", TORCH_BOX(&skin_backward));
  m.impl("skin_backward_weights", TORCH_BOX(&skin_backward_weights));
}

}  // namespace twodasl::ops
