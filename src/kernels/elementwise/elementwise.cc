#include "kernels/elementwise/elementwise.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/error.h"

namespace sinter::kernels {
namespace {

// WGSL expressions of an operator for each kind of element; null if it does not take that kind.
struct UnaryInfo {
  UnaryOp op;
  std::string_view name, onnx_name;
  const char *on_float, *on_int, *on_bool;
};

constexpr UnaryInfo kUnary[] = {
    {UnaryOp::kAbs, "abs", "Abs", "abs(x)", "abs(x)", nullptr},
    {UnaryOp::kCeil, "ceil", "Ceil", "ceil(x)", nullptr, nullptr},
    {UnaryOp::kCos, "cos", "Cos", "cos_accurate(x)", nullptr, nullptr},
    {UnaryOp::kErf, "erf", "Erf", "erf(x)", nullptr, nullptr},
    {UnaryOp::kExp, "exp", "Exp", "exp(x)", nullptr, nullptr},
    {UnaryOp::kFloor, "floor", "Floor", "floor(x)", nullptr, nullptr},
    {UnaryOp::kGelu, "gelu", "Gelu", "gelu(x)", nullptr, nullptr},
    {UnaryOp::kGeluTanh, "gelu_tanh", "FastGelu", "gelu_tanh(x)", nullptr, nullptr},
    {UnaryOp::kLog, "log", "Log", "log(x)", nullptr, nullptr},
    {UnaryOp::kNeg, "neg", "Neg", "-x", "-x", nullptr},
    {UnaryOp::kNot, "not", "Not", nullptr, nullptr, "select(0u, 1u, x == 0u)"},
    {UnaryOp::kQuickGelu, "quick_gelu", "QuickGelu", "quick_gelu(x, params.alpha)", nullptr,
     nullptr},
    {UnaryOp::kReciprocal, "reciprocal", "Reciprocal", "1.0 / x", nullptr, nullptr},
    {UnaryOp::kRelu, "relu", "Relu", "max_f32(x, 0.0)", "max(x, 0)", nullptr},
    {UnaryOp::kRound, "round", "Round", "round(x)", nullptr, nullptr},
    {UnaryOp::kSigmoid, "sigmoid", "Sigmoid", "sigmoid(x)", nullptr, nullptr},
    {UnaryOp::kSign, "sign", "Sign", "sign(x)", "sign(x)", nullptr},
    {UnaryOp::kSilu, "silu", "Swish", "silu(x)", nullptr, nullptr},
    {UnaryOp::kSin, "sin", "Sin", "sin_accurate(x)", nullptr, nullptr},
    {UnaryOp::kSoftplus, "softplus", "Softplus", "softplus(x)", nullptr, nullptr},
    {UnaryOp::kSqrt, "sqrt", "Sqrt", "sqrt(x)", nullptr, nullptr},
    {UnaryOp::kTanh, "tanh", "Tanh", "tanh_stable(x)", nullptr, nullptr},
};

struct BinaryInfo {
  BinaryOp op;
  std::string_view name, onnx_name;
  const char *on_float, *on_int, *on_bool;
  bool compares = false;
};

constexpr BinaryInfo kBinary[] = {
    {BinaryOp::kAdd, "add", "Add", "a + b", "a + b", nullptr},
    {BinaryOp::kAnd, "and", "And", nullptr, nullptr, "select(0u, 1u, a != 0u && b != 0u)"},
    {BinaryOp::kDiv, "div", "Div", "div_f32(a, b)", "div_i32(a, b)", nullptr},
    {BinaryOp::kEqual, "equal", "Equal", "a == b", "a == b", "(a != 0u) == (b != 0u)", true},
    {BinaryOp::kFastGelu, "fast_gelu", "FastGelu", "gelu_tanh(a + b)", nullptr, nullptr},
    {BinaryOp::kFmod, "fmod", "", "fmod_f32(a, b)", "fmod_i32(a, b)", nullptr},
    {BinaryOp::kGreater, "greater", "Greater", "a > b", "a > b", nullptr, true},
    {BinaryOp::kGreaterOrEqual, "greater_or_equal", "GreaterOrEqual", "a >= b", "a >= b", nullptr,
     true},
    {BinaryOp::kLess, "less", "Less", "a < b", "a < b", nullptr, true},
    {BinaryOp::kLessOrEqual, "less_or_equal", "LessOrEqual", "a <= b", "a <= b", nullptr, true},
    {BinaryOp::kMax, "max", "Max", "max_f32(a, b)", "max(a, b)", nullptr},
    {BinaryOp::kMin, "min", "Min", "min_f32(a, b)", "min(a, b)", nullptr},
    {BinaryOp::kMod, "mod", "Mod", nullptr, "mod_i32(a, b)", nullptr},
    {BinaryOp::kMul, "mul", "Mul", "a * b", "a * b", nullptr},
    {BinaryOp::kOr, "or", "Or", nullptr, nullptr, "select(0u, 1u, a != 0u || b != 0u)"},
    {BinaryOp::kPow, "pow", "Pow", "pow_f32(a, b)", "pow_i32(a, b)", nullptr},
    {BinaryOp::kSub, "sub", "Sub", "a - b", "a - b", nullptr},
    {BinaryOp::kXor, "xor", "Xor", nullptr, nullptr, "select(0u, 1u, (a != 0u) != (b != 0u))"},
};

// Returns the row of `op`. The tables are in the order of the enums.
const UnaryInfo& Info(UnaryOp op) { return kUnary[static_cast<size_t>(op)]; }
const BinaryInfo& Info(BinaryOp op) { return kBinary[static_cast<size_t>(op)]; }

template <typename Info>
const char* ExpressionOf(const Info& info, DType dtype) {
  switch (dtype) {
    case DType::kF32:
    case DType::kF16:
      return info.on_float;
    case DType::kI32:
    case DType::kI64:
      return info.on_int;
    case DType::kBool:
      return info.on_bool;
    default:
      return nullptr;
  }
}

template <typename Info>
const char* ExpressionOrThrow(const Info& info, DType dtype) {
  const char* expression = ExpressionOf(info, dtype);
  if (expression == nullptr) {
    throw Error("kernels", "{}: got elements of {}, want a type that it supports", info.name,
                DTypeName(dtype));
  }
  return expression;
}

// Returns the type that computations with elements of WGSL type `element` use.
std::string_view ComputeType(std::string_view element) {
  return element == "f16" ? "f32" : element;
}

// Returns the expression that notes results beyond 32 bits, or null if there are none.
const char* NotedExpression(BinaryOp op) {
  switch (op) {
    case BinaryOp::kAdd:
      return "add_noted(a, b)";
    case BinaryOp::kSub:
      return "sub_noted(a, b)";
    case BinaryOp::kMul:
      return "mul_noted(a, b)";
    case BinaryOp::kPow:
      return "pow_i32_noted(a, b)";
    default:
      return nullptr;
  }
}

// Returns a, b and y over the shape of y, in as few dimensions as possible.
StridedSpace BinarySpace(const BinaryShape& shape) {
  const std::vector<int64_t> y = BroadcastShape(shape.a, shape.b);
  NumElems(y);  // throws Error if y is too large
  return FoldDims(
      {y, {BroadcastStrides(shape.a, y), BroadcastStrides(shape.b, y), RowMajorStrides(y)}});
}

}  // namespace

std::optional<UnaryOp> UnaryOpFromName(std::string_view onnx_name) {
  for (const UnaryInfo& info : kUnary) {
    if (info.onnx_name == onnx_name) return info.op;
  }
  return std::nullopt;
}

std::optional<BinaryOp> BinaryOpFromName(std::string_view onnx_name) {
  if (onnx_name.empty()) return std::nullopt;
  for (const BinaryInfo& info : kBinary) {
    if (info.onnx_name == onnx_name) return info.op;
  }
  return std::nullopt;
}

std::string_view UnaryOpName(UnaryOp op) { return Info(op).name; }
std::string_view BinaryOpName(BinaryOp op) { return Info(op).name; }

std::vector<UnaryOp> AllUnaryOps() {
  std::vector<UnaryOp> ops;
  for (const UnaryInfo& info : kUnary) ops.push_back(info.op);
  return ops;
}

std::vector<BinaryOp> AllBinaryOps() {
  std::vector<BinaryOp> ops;
  for (const BinaryInfo& info : kBinary) ops.push_back(info.op);
  return ops;
}

bool UnaryOpTakes(UnaryOp op, DType dtype) { return ExpressionOf(Info(op), dtype) != nullptr; }
bool BinaryOpTakes(BinaryOp op, DType dtype) { return ExpressionOf(Info(op), dtype) != nullptr; }

DType BinaryResultDType(BinaryOp op, DType dtype) {
  return Info(op).compares ? DType::kBool : dtype;
}

KernelPlan PlanUnary(const Caps& caps, const UnaryShape& shape, std::string_view variant) {
  if (!variant.empty() && variant != "vec4") ThrowUnknownVariant("elementwise", variant, {"vec4"});
  const char* expression = ExpressionOrThrow(Info(shape.op), shape.dtype);
  const std::string_view type = WgslType(caps, shape.dtype);
  KernelPlan plan;
  plan.variant = fmt::format("elementwise.{}.{}.vec4", UnaryOpName(shape.op), type);
  plan.wgsl = "elementwise/elementwise_unary.wgsl";
  plan.prelude = fmt::format(
      "alias act_t = {};\nalias compute_t = {};\nfn op(x: compute_t) -> compute_t {{ return {}; "
      "}}\n",
      type, ComputeType(type), expression);
  if (type == "f16") plan.defines.push_back("f16");
  const int64_t elems = NumElems(std::array{shape.elems});
  const int64_t per_group = 4 * kElementwiseThreads;
  plan.workgroups = FoldGrid(caps, (elems + per_group - 1) / per_group);
  plan.SetParams(UnaryParams{static_cast<uint32_t>(elems), plan.workgroups[0], shape.alpha, 0});
  return plan;
}

std::vector<std::string> BinaryVariants(const BinaryShape& shape) {
  // Vectors would take the padding behind the last element for results.
  if (shape.fault_word == 0 && CanVectorize(BinarySpace(shape), true)) return {"vec4", "strided"};
  return {"strided"};
}

bool MayLeaveRange(BinaryOp op) { return NotedExpression(op) != nullptr; }

KernelPlan PlanBinary(const Caps& caps, const BinaryShape& shape, std::string_view variant) {
  const BinaryInfo& info = Info(shape.op);
  const char* expression = ExpressionOrThrow(info, shape.dtype);
  const DType b_dtype = shape.exponent_dtype.value_or(shape.dtype);
  ExpressionOrThrow(info, b_dtype);
  SINTER_CHECK(b_dtype == shape.dtype || shape.op == BinaryOp::kPow);
  if (!IsFloat(shape.dtype) && IsFloat(b_dtype)) expression = "pow_i32_f32(a, b)";
  const bool notes = shape.fault_word != 0;
  SINTER_CHECK(!notes || (shape.dtype == DType::kI64 && MayLeaveRange(shape.op)));
  if (notes && !IsFloat(b_dtype)) expression = NotedExpression(shape.op);
  StridedSpace space = BinarySpace(shape);
  const std::vector<std::string> known = BinaryVariants(shape);
  if (variant.empty()) variant = known.front();
  if (std::find(known.begin(), known.end(), variant) == known.end()) {
    ThrowUnknownVariant("elementwise", variant, known);
  }
  const std::string_view type = WgslType(caps, shape.dtype), b_type = WgslType(caps, b_dtype);
  const std::string_view out_type = WgslType(caps, BinaryResultDType(shape.op, shape.dtype));
  // A base of floats takes integer exponents as floats.
  const std::string_view b_compute = ComputeType(IsFloat(shape.dtype) ? type : b_type);
  KernelPlan plan;
  plan.variant = fmt::format("elementwise.{}.{}{}.{}", info.name, type,
                             type == b_type ? std::string() : fmt::format("_{}", b_type), variant);
  if (variant == "vec4") {
    plan.defines.push_back("vec4");
    plan.defines.push_back("a_vec4");
    plan.defines.push_back("b_vec4");
    if (!IsUnitStride(space, 0)) {
      std::erase(plan.defines, "a_vec4");
      plan.variant += ".splat_a";
    }
    if (!IsUnitStride(space, 1)) {
      std::erase(plan.defines, "b_vec4");
      plan.variant += ".splat_b";
    }
    space = ToVectors(space);
  }
  if (type == "f16" || b_type == "f16") plan.defines.push_back("f16");
  if (notes) {
    plan.defines.push_back("faults");
    plan.variant += ".faults";
  }
  plan.wgsl = "elementwise/elementwise_binary.wgsl";
  plan.prelude = fmt::format(
      "alias a_t = {};\nalias b_t = {};\nalias out_t = {};\nalias compute_t = {};\n"
      "alias b_compute_t = {};\n"
      "fn op(a: compute_t, b: b_compute_t) -> {} {{ return {}; }}\n",
      type, b_type, out_type, ComputeType(type), b_compute, info.compares ? "bool" : "compute_t",
      expression);
  const int64_t threads = NumElems(space.sizes);
  plan.workgroups = FoldGrid(caps, (threads + kElementwiseThreads - 1) / kElementwiseThreads);
  plan.SetParams(BinaryParams{.threads = static_cast<uint32_t>(threads),
                              .grid_x = plan.workgroups[0],
                              .rank = static_cast<uint32_t>(space.sizes.size()),
                              .fault_word = shape.fault_word,
                              .sizes = ToDeviceDims(space.sizes, 1),
                              .a_strides = ToDeviceDims(space.strides[0], 0),
                              .b_strides = ToDeviceDims(space.strides[1], 0)});
  return plan;
}

}  // namespace sinter::kernels
