// Elementwise operators, reductions, softmax and normalisation.

#include <numeric>

#include "graph/ops.h"
#include "interpret/ops.h"
#include "kernels/cast/cast.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/reduce/reduce.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/softmax/softmax.h"
#include "kernels/where/where.h"

namespace sinter::interpret {
namespace {

void Unary(Call& call) {
  const graph::Node& node = call.node();
  kernels::UnaryOp op = *kernels::UnaryOpFromName(node.op());
  if (op == kernels::UnaryOp::kGelu && node.String("approximate", "none") == "tanh") {
    op = kernels::UnaryOp::kGeluTanh;
  }
  call.Out(0,
           kernels::UnaryReference(op, call.dtype(0), call.values(0), node.Float("alpha", 1.702f)));
}

// Max and Min take any number of inputs.
void BinaryOf(Call& call, kernels::BinaryOp op) {
  std::vector<double> result(call.values(0).begin(), call.values(0).end());
  graph::Shape shape = call.shape(0);
  for (size_t i = 1; i < call.node().inputs().size(); ++i) {
    result =
        kernels::BinaryReference(op, call.dtype(0), result, shape, call.values(i), call.shape(i));
    shape = kernels::BroadcastShape(shape, call.shape(i));
  }
  call.Out(0, std::move(result));
}

void Binary(Call& call) { BinaryOf(call, *kernels::BinaryOpFromName(call.node().op())); }

void FastGelu(Call& call) {
  if (!call.has(1)) return Unary(call);
  BinaryOf(call, kernels::BinaryOp::kFastGelu);
}

void Cast(Call& call) {
  const DType from = call.dtype(0), to = call.out_dtype(0);
  // The interpreter stores all float types as doubles, so a Cast between them copies.
  if (IsFloat(from) && IsFloat(to)) return call.Out(0, call.in(0).values);
  if (IsFloat(from)) return call.Out(0, kernels::CastReference(to, call.values(0)));
  call.Out(0, IsFloat(to) ? call.in(0).values : kernels::CastIntegerReference(to, call.values(0)));
}

void Where(Call& call) {
  call.Out(0, kernels::WhereReference(call.values(0), call.shape(0), call.values(1), call.shape(1),
                                      call.values(2), call.shape(2)));
}

void Reduce(Call& call) {
  const graph::Node& node = call.node();
  const graph::Shape& shape = call.shape(0);
  const auto rank = static_cast<int64_t>(shape.size());
  std::vector<int64_t> axes = call.has(1) ? call.ints(1) : node.Ints("axes", {});
  for (int64_t& axis : axes) axis = graph::NormalizeAxis(node, axis, rank);
  if (axes.empty() && node.Int("noop_with_empty_axes", 0) == 0) {
    axes.resize(static_cast<size_t>(rank));
    std::iota(axes.begin(), axes.end(), 0);
  }
  call.Out(0, kernels::ReduceReference(*kernels::ReduceOpFromName(node.op()), call.dtype(0),
                                       call.values(0), shape, axes));
}

void Softmax(Call& call) {
  const graph::Shape& shape = call.shape(0);
  const auto axis = static_cast<size_t>(graph::NormalizeAxis(
      call.node(), call.node().Int("axis", -1), static_cast<int64_t>(shape.size())));
  call.Out(0, kernels::SoftmaxReference(
                  {Count(shape, 0, axis), Count(shape[axis]), Count(shape, axis + 1, shape.size())},
                  call.values(0)));
}

void RmsNorm(Call& call) {
  const graph::Shape& shape = call.shape(0);
  const auto axis = static_cast<size_t>(graph::NormalizeAxis(
      call.node(), call.node().Int("axis", -1), static_cast<int64_t>(shape.size())));
  kernels::RmsNormResult result = kernels::RmsNormReference(
      Count(shape, 0, axis), Count(shape, axis, shape.size()), call.node().Float("epsilon", 1e-5f),
      call.values(0), call.values(1), {}, {});
  call.Out(0, std::move(result.output));
  call.Out(1, std::move(result.inv_std));
}

void LayerNorm(Call& call) {
  const graph::Shape& shape = call.shape(0);
  const auto axis = static_cast<size_t>(graph::NormalizeAxis(
      call.node(), call.node().Int("axis", -1), static_cast<int64_t>(shape.size())));
  kernels::LayerNormResult result = kernels::LayerNormReference(
      Count(shape, 0, axis), Count(shape, axis, shape.size()), call.node().Float("epsilon", 1e-5f),
      call.values(0), call.values(1), call.values(2));
  call.Out(0, std::move(result.output));
  call.Out(1, std::move(result.mean));
  call.Out(2, std::move(result.inv_std));
}

void SkipRmsNorm(Call& call) {
  const graph::Shape& shape = call.shape(0);
  kernels::RmsNormResult result = kernels::RmsNormReference(
      Count(shape, 0, shape.size() - 1), Count(shape.back()), call.node().Float("epsilon", 1e-5f),
      call.values(0), call.values(2), call.values(1), call.values(3));
  call.Out(0, std::move(result.output));
  call.Out(2, std::move(result.inv_std));
  call.Out(3, std::move(result.sum));
}

}  // namespace

Operator FindArithmetic(std::string_view domain, std::string_view op) {
  if (op == "SimplifiedLayerNormalization" || (domain.empty() && op == "RMSNormalization")) {
    return RmsNorm;
  }
  if (!domain.empty()) {
    if (op == "SkipSimplifiedLayerNormalization") return SkipRmsNorm;
    if (op == "FastGelu") return FastGelu;
    return op == "Gelu" || op == "QuickGelu" ? Unary : nullptr;
  }
  if (op == "Cast") return Cast;
  if (op == "LayerNormalization") return LayerNorm;
  if (op == "Where") return Where;
  if (op == "Softmax") return Softmax;
  if (kernels::ReduceOpFromName(op)) return Reduce;
  if (kernels::UnaryOpFromName(op)) return Unary;
  return kernels::BinaryOpFromName(op) ? Binary : nullptr;
}

}  // namespace sinter::interpret
