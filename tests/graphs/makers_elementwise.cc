// Makers of elementwise operators.
#include "graphs/builder.h"

namespace sinter::graphs {
namespace {

using Kind = Fill::Kind;

// Adds `op` on two operands that broadcast, in either order.
void Binary(Builder& b, std::string_view op, std::initializer_list<DType> types, Fill second = {}) {
  Value* x = b.Base(types);
  Value* y = b.Operand(b.dtype(x), b.Partner(b.shape(x)), second);
  if (second.kind == Kind::kAny && b.Chance(0.3)) std::swap(x, y);
  b.Add1("", op, {x, y});
}

constexpr std::initializer_list<DType> kFloats = {DType::kF32, DType::kF32, DType::kF16};
constexpr std::initializer_list<DType> kNumbers = {DType::kF32, DType::kF32, DType::kF16,
                                                   DType::kI64, DType::kI32};

Maker BinaryMaker(std::string_view op, std::initializer_list<DType> types) {
  return {"", op,
          [op, types = std::vector<DType>(types)](Builder& b) { Binary(b, op, {b.Pick(types)}); }};
}

Maker UnaryMaker(std::string_view domain, std::string_view op, double weight = 1) {
  return {domain, op, [domain, op](Builder& b) { b.Add1(domain, op, {b.Base(kFloats)}); }, weight};
}

// Max and Min take any number of inputs.
Maker ExtremeMaker(std::string_view op) {
  return {"", op, [op](Builder& b) {
            Value* x = b.Base(kNumbers);
            std::vector<Value*> inputs = {x};
            for (int64_t more = b.Pick({0, 1, 1, 1, 2, 3}); more > 0; --more) {
              Shape shape = b.Partner(b.shape(x));
              // Only one operand may be wider than the first, so that all of them broadcast.
              Shape common;
              if (inputs.size() > 1 &&
                  (!graph::Broadcast(b.shape(x), shape, &common) || common != b.shape(x)))
                shape = b.shape(x);
              inputs.push_back(b.Operand(b.dtype(x), shape));
            }
            b.Add1("", op, inputs);
          }};
}

void Div(Builder& b) {
  Value* x = b.Base(kNumbers);
  // Integer division by zero has no result in ONNX.
  const Fill fill = IsFloat(b.dtype(x)) ? Fill{} : Fill{Kind::kNonZero};
  b.Add1("", "Div", {x, b.Operand(b.dtype(x), b.Partner(b.shape(x)), fill)});
}

void Pow(Builder& b) {
  const DType base = b.Number();
  DType exponent = b.Chance(0.6) ? base : b.Number();
  Value* x = IsFloat(base) && b.Chance(0.4)
                 ? b.Base({base})
                 : b.Operand(base, b.RandomShape(0, 3),
                             IsFloat(base) ? Fill{Kind::kPositive} : Fill{Kind::kIndices, -3, 5});
  const Shape shape = b.Partner(b.shape(x));
  // A negative power of an integer zero has no result in ONNX.
  Value* y =
      IsFloat(exponent) && IsFloat(base)
          ? b.Operand(exponent, shape,
                      b.Chance(0.5) ? Fill{Kind::kConstant, b.Int(-1, 3)} : Fill{Kind::kMild})
          : b.Operand(exponent, shape, {Kind::kConstant, b.Int(0, 4)});
  b.Add1("", "Pow", {x, y});
}

void Cast(Builder& b) {
  Value* x = b.Base({b.AnyType()});
  DType to = b.AnyType();
  if (b.Chance(0.04)) to = b.WithoutKernel(b.Pick({DType::kF64, DType::kBF16, DType::kI16}));
  b.Add1("", "Cast", {x}, {{"to", static_cast<int64_t>(to)}});
}

void Where(Builder& b) {
  Value* x = b.Base({b.AnyType()});
  Value* y = b.Operand(b.dtype(x), b.Partner(b.shape(x)));
  Shape shape;
  graph::Broadcast(b.shape(x), b.shape(y), &shape);
  Value* condition = b.Operand(DType::kBool, b.Partner(shape));
  b.Add1("", "Where", {condition, x, y});
}

void Gelu(Builder& b) {
  Attributes attributes;
  if (b.Chance(0.7)) attributes["approximate"] = std::string(b.Chance(0.5) ? "tanh" : "none");
  b.Add1("", "Gelu", {b.Base(kFloats)}, attributes);
}

void QuickGelu(Builder& b) {
  Attributes attributes;
  if (b.Chance(0.6)) attributes["alpha"] = b.Pick({1.0f, 1.5f, -0.5f});
  b.Add1("com.microsoft", "QuickGelu", {b.Base(kFloats)}, attributes);
}

void FastGelu(Builder& b) {
  Value* x = b.Base(kFloats, 1);
  std::vector<Value*> inputs = {x};
  if (b.Chance(0.6)) inputs.push_back(b.Operand(b.dtype(x), {b.shape(x).back()}));
  b.Add1("com.microsoft", "FastGelu", inputs);
}

}  // namespace

std::vector<Maker> ElementwiseMakers() {
  std::vector<Maker> makers;
  for (const std::string_view op : {"Add", "Sub", "Mul"})
    makers.push_back(BinaryMaker(op, kNumbers));
  for (const std::string_view op : {"Greater", "Less", "GreaterOrEqual", "LessOrEqual"}) {
    makers.push_back(BinaryMaker(op, kNumbers));
    makers.back().weight = 0.5;
  }
  makers.push_back(
      BinaryMaker("Equal", {DType::kF32, DType::kF16, DType::kI64, DType::kI32, DType::kBool}));
  for (const std::string_view op : {"And", "Or"}) {
    makers.push_back(BinaryMaker(op, {DType::kBool}));
    makers.back().weight = 0.5;
  }
  for (const std::string_view op : {"Sqrt", "Reciprocal", "Sigmoid", "Tanh", "Relu", "Erf"})
    makers.push_back(UnaryMaker("", op, 0.7));
  makers.push_back(UnaryMaker("com.microsoft", "Gelu", 0.5));
  makers.push_back({"", "Neg", [](Builder& b) { b.Add1("", "Neg", {b.Base(kNumbers)}); }, 0.7});
  makers.push_back(
      {"", "Not", [](Builder& b) { b.Add1("", "Not", {b.Base({DType::kBool})}); }, 0.5});
  makers.push_back(ExtremeMaker("Max"));
  makers.push_back(ExtremeMaker("Min"));
  makers.push_back({"", "Div", Div});
  makers.push_back({"", "Pow", Pow});
  makers.push_back({"", "Cast", Cast, 2});
  makers.push_back({"", "Where", Where, 1.5});
  makers.push_back({"", "Gelu", Gelu, 0.7});
  makers.push_back({"com.microsoft", "QuickGelu", QuickGelu, 0.7});
  makers.push_back({"com.microsoft", "FastGelu", FastGelu});
  return makers;
}

}  // namespace sinter::graphs
