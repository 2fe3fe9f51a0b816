// Makers of reductions, softmax and normalization.
#include <algorithm>

#include "graphs/builder.h"

namespace sinter::graphs {
namespace {

using Kind = Fill::Kind;

// `axes_input` is the first version whose axes are an input instead of an attribute.
void Reduce(Builder& b, std::string_view op, int axes_input) {
  const bool extreme = op == "ReduceMax" || op == "ReduceMin" || op == "ReduceMean";
  Value* x = b.Base({DType::kF32, DType::kF32, DType::kF16, DType::kI64, DType::kI32});
  std::vector<int64_t> axes;
  for (int64_t i = 0; i < b.rank(x); ++i) {
    if (b.Chance(0.4)) axes.push_back(b.Axis(i, b.rank(x)));
  }
  // The largest of no elements is not defined.
  if (extreme && graph::NumElements(b.shape(x)) == 0) return;
  Attributes attributes;
  if (b.Chance(0.6)) attributes["keepdims"] = b.Int(0, 1);
  std::vector<Value*> inputs = {x};
  if (b.opset() < axes_input) {
    if (!axes.empty()) attributes["axes"] = axes;
  } else {
    if (!axes.empty() || b.Chance(0.5)) inputs.push_back(b.Ints(axes));
    if (b.Chance(0.3)) attributes["noop_with_empty_axes"] = b.Int(0, 1);
  }
  b.Add1("", op, inputs, attributes);
}

Maker ReduceMaker(std::string_view op, int axes_input) {
  return {"", op, [op, axes_input](Builder& b) { Reduce(b, op, axes_input); }};
}

void Softmax(Builder& b) {
  Value* x = b.Base({DType::kF32, DType::kF32, DType::kF16}, 1);
  Attributes attributes;
  if (b.Chance(0.7)) attributes["axis"] = b.Axis(b.Int(0, b.rank(x) - 1), b.rank(x));
  b.Add1("", "Softmax", {x}, attributes);
}

// Returns the attributes of a norm over the dimensions from `axis` on.
Attributes NormAttributes(Builder& b, int64_t axis, int64_t rank) {
  Attributes attributes;
  if (b.Chance(0.7)) attributes["epsilon"] = b.Pick({1e-6f, 0.01f, 0.5f});
  if (axis != rank - 1 || b.Chance(0.5)) attributes["axis"] = b.Axis(axis, rank);
  return attributes;
}

void RmsNorm(Builder& b, std::string_view domain, std::string_view op) {
  Value* x = b.Base({DType::kF32, DType::kF32, DType::kF16}, 2);
  const int64_t rank = b.rank(x), axis = b.Chance(0.8) ? rank - 1 : b.Int(0, rank - 1);
  Value* scale =
      b.Operand(b.dtype(x), Shape(b.shape(x).begin() + axis, b.shape(x).end()), {Kind::kMild});
  b.Add1(domain, op, {x, scale}, NormAttributes(b, axis, rank));
}

void LayerNorm(Builder& b) {
  Value* x = b.Base({DType::kF32, DType::kF32, DType::kF16}, 2);
  const int64_t rank = b.rank(x), axis = b.Chance(0.7) ? rank - 1 : b.Int(0, rank - 1);
  const Shape shape(b.shape(x).begin() + axis, b.shape(x).end());
  std::vector<Value*> inputs = {x, b.Operand(b.dtype(x), shape, {Kind::kMild})};
  if (b.Chance(0.6)) inputs.push_back(b.Operand(b.dtype(x), shape, {Kind::kMild}));
  // Rows without elements have no mean.
  const bool statistics = b.Chance(0.3) && graph::NumElements(shape) > 0;
  b.Add("", "LayerNormalization", inputs, NormAttributes(b, axis, rank),
        {true, statistics, statistics});
}

void SkipRmsNorm(Builder& b) {
  Value* x = b.Base({DType::kF32, DType::kF32, DType::kF16}, 2, 3);
  const Shape columns = {b.shape(x).back()};
  std::vector<Value*> inputs = {x, b.Operand(b.dtype(x), b.shape(x)),
                                b.Operand(b.dtype(x), columns, {Kind::kMild})};
  if (b.Chance(0.5)) inputs.push_back(b.Operand(b.dtype(x), columns));
  const bool sum = b.Chance(0.6);
  b.Add("com.microsoft", "SkipSimplifiedLayerNormalization", inputs,
        {{"epsilon", b.Pick({1e-5f, 0.25f})}}, {true, false, false, sum});
}

}  // namespace

std::vector<Maker> ReductionMakers() {
  std::vector<Maker> makers = {ReduceMaker("ReduceSum", 13), ReduceMaker("ReduceMax", 18),
                               ReduceMaker("ReduceMean", 18)};
  makers.push_back({"", "Softmax", Softmax, 1.5});
  const std::pair<std::string_view, std::string_view> norms[] = {
      {"", "SimplifiedLayerNormalization"},
      {"com.microsoft", "SimplifiedLayerNormalization"},
      {"", "RMSNormalization"}};
  for (const auto& [domain, op] : norms) {
    makers.push_back(
        {domain, op, [domain = domain, op = op](Builder& b) { RmsNorm(b, domain, op); }, 0.7});
  }
  makers.push_back({"", "LayerNormalization", LayerNorm});
  makers.push_back({"com.microsoft", "SkipSimplifiedLayerNormalization", SkipRmsNorm});
  return makers;
}

}  // namespace sinter::graphs
