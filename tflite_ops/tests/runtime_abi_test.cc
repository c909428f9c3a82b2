// Holds the structs of tflite/runtime_structs.inc against TFLite's own headers, all at compile time: sizes, offsets,
// the kind of every field, the parameters of every function pointer, and the values of the enumerators.
#include <stddef.h>
#include <stdint.h>

#include <type_traits>

#include "tensorflow/lite/builtin_ops.h"
#include "tensorflow/lite/c/common.h"
#include "tflite/runtime_abi.h"

#if !defined(KERAS_STE_TFLITE_HEADERS)
#error "runtime_abi.h is to leave the structs to TFLite's headers here"
#endif

namespace ours {
#include "tflite/runtime_structs.inc"
}  // namespace ours

namespace {

// How a value is passed: by its size, its alignment and its kind of register. Pointers are equal whatever they point
// to; functions, below, where all that they take and give is, and a field that we never call may be a plain pointer.
enum class Kind { kVoid, kPointer, kFloat, kInteger, kStruct };

template <typename T>
constexpr Kind KindOf() {
  if (std::is_void<T>::value) return Kind::kVoid;
  if (std::is_pointer<T>::value) return Kind::kPointer;
  if (std::is_floating_point<T>::value) return Kind::kFloat;
  return std::is_integral<T>::value || std::is_enum<T>::value ? Kind::kInteger : Kind::kStruct;
}

template <typename T>
struct Value {
  static constexpr size_t kSize = sizeof(T), kAlignment = alignof(T);
};
template <typename T>
struct Value<T[]> : Value<T> {};
template <>
struct Value<void> {
  static constexpr size_t kSize = 0, kAlignment = 0;
};

template <typename A, typename B>
struct Same {
  static constexpr bool value = KindOf<A>() == KindOf<B>() && Value<A>::kSize == Value<B>::kSize &&
                                Value<A>::kAlignment == Value<B>::kAlignment;
};

template <typename... T>
struct List {};

template <typename A, typename B>
struct SameList : std::false_type {};
template <>
struct SameList<List<>, List<>> : std::true_type {};
template <typename A, typename... As, typename B, typename... Bs>
struct SameList<List<A, As...>, List<B, Bs...>>
    : std::integral_constant<bool, Same<A, B>::value && SameList<List<As...>, List<Bs...>>::value> {};

template <typename R, typename... A, typename S, typename... B>
struct Same<R (*)(A...), S (*)(B...)> : SameList<List<R, A...>, List<S, B...>> {};
template <typename R, typename... A, typename S, typename... B>
struct Same<R (*)(A..., ...), S (*)(B..., ...)> : SameList<List<R, A...>, List<S, B...>> {};
template <typename R, typename... A, typename S, typename... B>
struct Same<R (*)(A...), S (*)(B..., ...)> : std::false_type {};
template <typename R, typename... A, typename S, typename... B>
struct Same<R (*)(A..., ...), S (*)(B...)> : std::false_type {};

#define SIZE(type) static_assert(sizeof(ours::type) == sizeof(::type), "size of " #type)
#define FIELD(type, field)                                                                                      \
  static_assert(offsetof(ours::type, field) == offsetof(::type, field), "offset of " #type "." #field);         \
  static_assert(Same<decltype(ours::type::field), decltype(::type::field)>::value, "kind of " #type "." #field)
#define ENUMERATOR(name) static_assert(int{ours::name} == int{::name}, "value of " #name)

SIZE(TfLiteStatus);
ENUMERATOR(kTfLiteOk);
ENUMERATOR(kTfLiteError);

SIZE(TfLiteType);
ENUMERATOR(kTfLiteNoType);
ENUMERATOR(kTfLiteFloat32);
ENUMERATOR(kTfLiteInt32);
ENUMERATOR(kTfLiteUInt8);
ENUMERATOR(kTfLiteInt16);
ENUMERATOR(kTfLiteInt8);

SIZE(TfLiteAllocationType);
ENUMERATOR(kTfLiteMemNone);
ENUMERATOR(kTfLiteMmapRo);
ENUMERATOR(kTfLiteArenaRw);
ENUMERATOR(kTfLiteArenaRwPersistent);
ENUMERATOR(kTfLiteDynamic);
ENUMERATOR(kTfLitePersistentRo);

SIZE(TfLiteIntArray);
FIELD(TfLiteIntArray, size);
FIELD(TfLiteIntArray, data);

SIZE(TfLiteQuantizationParams);
FIELD(TfLiteQuantizationParams, scale);
FIELD(TfLiteQuantizationParams, zero_point);

SIZE(TfLitePtrUnion);
FIELD(TfLitePtrUnion, raw);
FIELD(TfLitePtrUnion, data);

SIZE(TfLiteQuantization);
FIELD(TfLiteQuantization, type);
FIELD(TfLiteQuantization, params);

SIZE(TfLiteTensor);
FIELD(TfLiteTensor, type);
FIELD(TfLiteTensor, data);
FIELD(TfLiteTensor, dims);
FIELD(TfLiteTensor, params);
FIELD(TfLiteTensor, allocation_type);
FIELD(TfLiteTensor, bytes);
FIELD(TfLiteTensor, allocation);
FIELD(TfLiteTensor, name);
FIELD(TfLiteTensor, delegate);
FIELD(TfLiteTensor, buffer_handle);
FIELD(TfLiteTensor, data_is_stale);
FIELD(TfLiteTensor, is_variable);
FIELD(TfLiteTensor, quantization);
FIELD(TfLiteTensor, sparsity);
FIELD(TfLiteTensor, dims_signature);

SIZE(TfLiteNode);
FIELD(TfLiteNode, inputs);
FIELD(TfLiteNode, outputs);
FIELD(TfLiteNode, intermediates);
FIELD(TfLiteNode, temporaries);
FIELD(TfLiteNode, user_data);
FIELD(TfLiteNode, builtin_data);
FIELD(TfLiteNode, custom_initial_data);
FIELD(TfLiteNode, custom_initial_data_size);
FIELD(TfLiteNode, delegate);
FIELD(TfLiteNode, might_have_side_effect);

SIZE(TfLiteRegistration);
FIELD(TfLiteRegistration, init);
FIELD(TfLiteRegistration, free);
FIELD(TfLiteRegistration, prepare);
FIELD(TfLiteRegistration, invoke);
FIELD(TfLiteRegistration, profiling_string);
FIELD(TfLiteRegistration, builtin_code);
FIELD(TfLiteRegistration, custom_name);
FIELD(TfLiteRegistration, version);
FIELD(TfLiteRegistration, registration_external);
FIELD(TfLiteRegistration, async_kernel);
FIELD(TfLiteRegistration, inplace_operator);

SIZE(TfLiteDelegateParams);
FIELD(TfLiteDelegateParams, delegate);
FIELD(TfLiteDelegateParams, nodes_to_replace);
FIELD(TfLiteDelegateParams, input_tensors);
FIELD(TfLiteDelegateParams, output_tensors);

// The runtime makes contexts, and ours ends with the last field that is used.
static_assert(sizeof(ours::TfLiteContext) <= sizeof(::TfLiteContext), "size of TfLiteContext");
FIELD(TfLiteContext, tensors_size);
FIELD(TfLiteContext, GetExecutionPlan);
FIELD(TfLiteContext, tensors);
FIELD(TfLiteContext, impl_);
FIELD(TfLiteContext, ResizeTensor);
FIELD(TfLiteContext, ReportError);
FIELD(TfLiteContext, AddTensors);
FIELD(TfLiteContext, GetNodeAndRegistration);
FIELD(TfLiteContext, ReplaceNodeSubsetsWithDelegateKernels);
FIELD(TfLiteContext, recommended_num_threads);

SIZE(TfLiteDelegateFlags);
ENUMERATOR(kTfLiteDelegateFlagsNone);
ENUMERATOR(kTfLiteDelegateFlagsAllowDynamicTensors);

SIZE(TfLiteDelegate);
FIELD(TfLiteDelegate, data_);
FIELD(TfLiteDelegate, Prepare);
FIELD(TfLiteDelegate, CopyFromBufferHandle);
FIELD(TfLiteDelegate, CopyToBufferHandle);
FIELD(TfLiteDelegate, FreeBufferHandle);
FIELD(TfLiteDelegate, flags);
FIELD(TfLiteDelegate, opaque_delegate_builder);

static_assert(kCustomOpCode == kTfLiteBuiltinCustom, "value of kCustomOpCode");

}  // namespace
