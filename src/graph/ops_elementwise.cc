// Types and shapes of elementwise operators. Inputs are broadcast; each output element depends on
// one element of each input.
#include <algorithm>

#include "graph/inference.h"

namespace sinter::graph {
namespace {

using Kind = AttributeSpec::Kind;

constexpr std::initializer_list<DType> kCastable = {
    DType::kF32, DType::kF16, DType::kBF16, DType::kF64, DType::kI64, DType::kI32, DType::kI16,
    DType::kI8,  DType::kU8,  DType::kU16,  DType::kU32, DType::kU64, DType::kBool};

Shape BroadcastInputs(const Inference& in) {
  Shape shape = in.shape(0);
  for (size_t i = 1; i < in.num_inputs(); ++i) {
    Shape wider;
    if (!Broadcast(shape, in.shape(i), &wider)) {
      in.Fail("inputs: got shapes {} and {}, want shapes that broadcast", ShapeText(shape),
              ShapeText(in.shape(i)));
    }
    shape = std::move(wider);
  }
  return shape;
}

void InferSameTypes(Inference& in, std::initializer_list<DType> allowed, DType result) {
  in.WantDType(0, allowed);
  for (size_t i = 1; i < in.num_inputs(); ++i) in.WantSameDType(i, 0);
  in.Out(0, result == DType::kUndefined ? in.dtype(0) : result, BroadcastInputs(in));
}

void InferArithmetic(Inference& in) { InferSameTypes(in, kNumbers, DType::kUndefined); }
void InferFloat(Inference& in) { InferSameTypes(in, kFloats, DType::kUndefined); }
void InferOrder(Inference& in) { InferSameTypes(in, kNumbers, DType::kBool); }
void InferLogic(Inference& in) { InferSameTypes(in, {DType::kBool}, DType::kBool); }

void InferEqual(Inference& in) {
  InferSameTypes(in,
                 {DType::kF32, DType::kF16, DType::kF64, DType::kI64, DType::kI32, DType::kBool},
                 DType::kBool);
}

// The exponent's type may differ from the base's.
void InferPow(Inference& in) {
  in.WantDType(0, kNumbers);
  in.WantDType(1, kNumbers);
  in.Out(0, in.dtype(0), BroadcastInputs(in));
}

void InferCast(Inference& in) {
  in.WantDType(0, kCastable);
  const int64_t to = in.node().Int("to", 0);
  const auto dtype = static_cast<DType>(to);
  if (to <= 0 || to > 255 ||
      std::find(kCastable.begin(), kCastable.end(), dtype) == kCastable.end()) {
    in.Fail("attribute 'to': got type {}, want a numeric type or bool", to);
  }
  in.Out(0, dtype, in.shape(0));
}

void InferWhere(Inference& in) {
  in.WantDType(0, {DType::kBool});
  in.WantSameDType(2, 1);
  in.Out(0, in.dtype(1), BroadcastInputs(in));
}

// The optional bias runs along the last dimension.
void InferFastGelu(Inference& in) {
  in.WantDType(0, kFloats);
  if (in.has(1)) {
    in.WantSameDType(1, 0);
    if (in.rank(0) == 0) in.Fail("input: got a scalar, want at least one dimension");
    in.WantShape(1, {in.shape(0).back()});
  }
  in.Out(0, in.dtype(0), in.shape(0));
}

}  // namespace

std::vector<OpSpec> ElementwiseOps() {
  std::vector<OpSpec> ops;
  for (const std::string_view name : {"Add", "Sub", "Mul", "Div"}) {
    ops.push_back({"", name, 7, kMaxOpset, "A B", "C", {}, InferArithmetic});
  }
  for (const std::string_view name : {"Min", "Max"}) {
    ops.push_back({"", name, 8, kMaxOpset, "data_0*", "reduced", {}, InferArithmetic});
  }
  ops.push_back({"", "Neg", 6, kMaxOpset, "X", "Y", {}, InferArithmetic});
  for (const std::string_view name : {"Sqrt", "Reciprocal", "Sigmoid", "Tanh", "Relu", "Erf"}) {
    ops.push_back({"", name, 6, kMaxOpset, "X", "Y", {}, InferFloat});
  }
  ops.push_back({"",
                 "Gelu",
                 20,
                 kMaxOpset,
                 "X",
                 "Y",
                 {attr::String("approximate", {"none", "tanh"})},
                 InferFloat});
  ops.push_back({"com.microsoft", "Gelu", 1, 1, "X", "Y", {}, InferFloat});
  ops.push_back({"com.microsoft", "FastGelu", 1, 1, "X bias?", "Y", {}, InferFastGelu});
  ops.push_back({"com.microsoft", "QuickGelu", 1, 1, "X", "Y", {attr::Float("alpha")}, InferFloat});
  ops.push_back({"", "Pow", 12, kMaxOpset, "X Y", "Z", {}, InferPow});
  ops.push_back({"", "Equal", 7, kMaxOpset, "A B", "C", {}, InferEqual});
  for (const std::string_view name : {"Greater", "Less"}) {
    ops.push_back({"", name, 7, kMaxOpset, "A B", "C", {}, InferOrder});
  }
  for (const std::string_view name : {"GreaterOrEqual", "LessOrEqual"}) {
    ops.push_back({"", name, 12, kMaxOpset, "A B", "C", {}, InferOrder});
  }
  for (const std::string_view name : {"And", "Or"}) {
    ops.push_back({"", name, 7, kMaxOpset, "A B", "C", {}, InferLogic});
  }
  ops.push_back({"", "Not", 1, kMaxOpset, "X", "Y", {}, InferLogic});
  ops.push_back({"", "Where", 9, kMaxOpset, "condition X Y", "output", {}, InferWhere});
  // `saturate` and `round_mode` matter only for 8-bit floats, which Sinter does not have.
  ops.push_back(
      {"",
       "Cast",
       6,
       kMaxOpset,
       "input",
       "output",
       {attr::RequiredInt("to"), attr::Int("saturate", {1}), attr::String("round_mode", {"up"})},
       InferCast});
  return ops;
}

}  // namespace sinter::graph
