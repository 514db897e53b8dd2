#include "device/strict_device.h"

#include <ATen/EmptyTensor.h>
#include <ATen/NativeFunctions.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>
#include <torch/torch.h>
#include <torch/version.h>

#include <cstdlib>
#include <cstring>
#include <vector>

namespace rebound {
namespace {

const at::Device kStrict(at::kPrivateUse1, 0);

// No address of a process has this bit.
constexpr uintptr_t kFarBit = uintptr_t{1} << 62;

void* far_pointer(void* near) {
  return near == nullptr ? nullptr
                         : reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(near) | kFarBit);
}

void* near_pointer(const void* far) {
  return reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(far) & ~kFarBit);
}

class FarAllocator : public c10::Allocator {
 public:
#if TORCH_VERSION_MAJOR >= 2
  c10::DataPtr allocate(size_t bytes) override { return make(bytes); }
  void copy_data(void* to, const void* from, size_t count) const override {
    std::memcpy(near_pointer(to), near_pointer(from), count);
  }
#else
  c10::DataPtr allocate(size_t bytes) const override { return make(bytes); }
#endif

 private:
  static c10::DataPtr make(size_t bytes) {
    void* near = bytes == 0 ? nullptr : std::malloc(bytes);
    return {far_pointer(near), near, &std::free, kStrict};
  }
};

FarAllocator far_allocator;
const c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);

at::Tensor empty_far(at::IntArrayRef size,
                     c10::optional<at::ScalarType> dtype,
                     c10::optional<at::Layout>,
                     c10::optional<at::Device>,
                     c10::optional<bool>,
                     c10::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(
      size, &far_allocator, kKeys, c10::dtype_or_default(dtype), format);
}

at::Tensor empty_strided_far(at::IntArrayRef size,
                             at::IntArrayRef stride,
                             c10::optional<at::ScalarType> dtype,
                             c10::optional<at::Layout>,
                             c10::optional<at::Device>,
                             c10::optional<bool>) {
  return at::detail::empty_strided_generic(
      size, stride, &far_allocator, kKeys, c10::dtype_or_default(dtype));
}

bool is_far(const at::Tensor& x) { return x.defined() && x.device().type() == at::kPrivateUse1; }

// The same memory as a CPU tensor; `x` must outlive it.
at::Tensor near_view(const at::Tensor& x) {
  if (!is_far(x)) return x;
  return at::from_blob(near_pointer(x.data_ptr()),
                       x.sizes(),
                       x.strides(),
                       at::TensorOptions(x.scalar_type()).device(at::kCPU));
}

at::Tensor as_far(const at::Tensor& x) {
  if (!x.defined() || is_far(x)) return x;
  const at::Tensor out = empty_strided_far(x.sizes(), x.strides(), x.scalar_type(), {}, {}, {});
  near_view(out).copy_(x);
  return out;
}

at::Tensor copy_from(const at::Tensor& self, const at::Tensor& to, bool) {
  near_view(to).copy_(near_view(self));
  return to;
}

at::Tensor view_far(const at::Tensor& self, at::IntArrayRef size) {
  return at::native::view(self, size);
}

at::Tensor reshape_alias_far(const at::Tensor& self, at::IntArrayRef size, at::IntArrayRef stride) {
  return at::native::_reshape_alias(self, size, stride);
}

at::Tensor as_strided_far(const at::Tensor& self,
                          at::IntArrayRef size,
                          at::IntArrayRef stride,
                          c10::optional<int64_t> offset) {
  return at::native::as_strided_tensorimpl(self, size, stride, offset);
}

template <class Function>
c10::IValue mapped(const c10::IValue& value, const Function& function) {
  if (value.isTensor()) return function(value.toTensor());
  if (!value.isList()) return value;
  const c10::List<c10::IValue> list = value.toList();
  c10::impl::GenericList out(list.elementType());
  for (const c10::IValue& element : list) out.push_back(mapped(element, function));
  return out;
}

void check_place(const c10::OperatorHandle& op, const at::Tensor& x) {
  TORCH_CHECK(!x.defined() || is_far(x) || x.dim() == 0,
              op.schema().name(),
              ": got a tensor of sizes ",
              x.sizes(),
              " on the ",
              x.device().str(),
              " beside one on the strict device");
}

// An argument that the operation may resize.
bool is_empty_result(const c10::Argument& argument, const c10::IValue& value) {
  const auto* alias = argument.alias_info();
  return alias != nullptr && alias->isWrite() && value.isTensor() && value.toTensor().defined() &&
         value.toTensor().numel() == 0;
}

void take_memory(const at::Tensor& into, const at::Tensor& from) {
  const at::Tensor made = as_far(from);
  at::TensorImpl* impl = into.unsafeGetTensorImpl();
  impl->set_storage_keep_dtype(made.storage());
  impl->set_sizes_and_strides(made.sizes(), made.strides());
}

// The part of `base` that an operation on its near view returned as a view.
at::Tensor far_view(const at::Tensor& base, const at::Tensor& part) {
  const auto size = static_cast<std::ptrdiff_t>(base.element_size());
  const auto* start = static_cast<const char*>(near_pointer(base.data_ptr()));
  const std::ptrdiff_t offset = (static_cast<const char*>(part.data_ptr()) - start) / size;
  return at::native::as_strided_tensorimpl(
      base, part.sizes(), part.strides(), base.storage_offset() + offset);
}

// The argument that an operation returns, written to or as a view of it; null for a new tensor.
const c10::IValue* returned_argument(const c10::FunctionSchema& schema,
                                     const c10::Argument& result,
                                     const std::vector<c10::IValue>& arguments) {
  if (result.alias_info() == nullptr) return nullptr;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const auto* alias = schema.arguments()[i].alias_info();
    if (alias != nullptr && *alias == *result.alias_info()) return &arguments[i];
  }
  TORCH_CHECK(false, schema.name(), ": got a result that is part of no argument");
}

// Every operation that is not composed of others: on the CPU, in the same memory.
void run_on_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const c10::FunctionSchema& schema = op.schema();
  const auto first = stack->end() - static_cast<std::ptrdiff_t>(schema.arguments().size());
  const std::vector<c10::IValue> arguments(first, stack->end());
  stack->erase(first, stack->end());
  for (size_t i = 0; i < arguments.size(); ++i) {
    const bool may_grow = is_empty_result(schema.arguments()[i], arguments[i]);
    stack->push_back(arguments[i].isDevice() ? c10::IValue(at::Device(at::kCPU))
                                             : mapped(arguments[i], [&](const at::Tensor& x) {
                                                 check_place(op, x);
                                                 return may_grow ? at::empty_like(x, at::kCPU)
                                                                 : near_view(x);
                                               }));
  }
  const std::vector<c10::IValue> given(stack->begin(), stack->end());
  op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (!is_empty_result(schema.arguments()[i], arguments[i])) continue;
    const at::Tensor& grown = given[given.size() - arguments.size() + i].toTensor();
    if (grown.numel() > 0) take_memory(arguments[i].toTensor(), grown);
  }
  const size_t n = schema.returns().size();
  for (size_t i = 0; i < n; ++i) {
    c10::IValue& result = (*stack)[stack->size() - n + i];
    const c10::IValue* argument = returned_argument(schema, schema.returns()[i], arguments);
    if (argument == nullptr) {
      result = mapped(result, as_far);
    } else if (schema.returns()[i].alias_info()->isWrite()) {
      result = *argument;
    } else {
      result = far_view(argument->toTensor(), result.toTensor());
    }
  }
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", TORCH_FN(empty_far));
  m.impl("empty_strided", TORCH_FN(empty_strided_far));
  m.impl("_copy_from", TORCH_FN(copy_from));
  m.impl("view", TORCH_FN(view_far));
  m.impl("_reshape_alias", TORCH_FN(reshape_alias_far));
  m.impl("as_strided", TORCH_FN(as_strided_far));
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&run_on_cpu>());
}

C10_REGISTER_GUARD_IMPL(PrivateUse1, c10::impl::NoOpDeviceGuardImpl<c10::DeviceType::PrivateUse1>);

at::Device strict_device() { return kStrict; }

}  // namespace rebound
