// Lowers reductions, softmax and normalization.

#include <numeric>

#include "compile/lower/ops.h"
#include "graph/ops.h"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/reduce/reduce.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/softmax/softmax.h"

namespace sinter::compile {
namespace {

// Returns output 0, or scratch in its place if only another output is read: the kernels always
// write it.
BufferRef OutOrScratch(LowerContext& context) {
  if (context.wants(0)) return context.Out(0);
  const DType device = kernels::DeviceDType(context.caps(), context.output_dtype(0));
  const int64_t elems = graph::NumElements(context.output_shape(0));
  return context.Scratch(DTypeBytes(device, static_cast<size_t>(elems)), "output");
}

}  // namespace

void EmitRmsNorm(LowerContext& context, const kernels::RmsNormShape& shape,
                 const RmsNormOperands& operands) {
  using Roles = kernels::RmsNormRoles;
  context.Emit(kernels::PlanRmsNorm(context.caps(), shape, context.variant("rms_norm")),
               {{Roles::kInput, operands.input},
                {Roles::kScale, operands.scale},
                {Roles::kSkip, operands.skip},
                {Roles::kBias, operands.bias},
                {Roles::kOutput, operands.output},
                {Roles::kInvStd, operands.inv_std},
                {Roles::kSum, operands.sum}});
}

void EmitReduce(LowerContext& context, const kernels::ReduceShape& shape, BufferRef x,
                BufferRef y) {
  using Roles = kernels::ReduceRoles;
  context.Emit(kernels::PlanReduce(context.caps(), shape, context.variant("reduce")),
               {{Roles::kX, x},
                {Roles::kY, y},
                {Roles::kFaults, shape.fault_word != 0 ? context.Faults() : BufferRef{}}});
}

void LowerReduce(LowerContext& context) {
  const graph::Node& node = context.node();
  kernels::ReduceShape shape;
  shape.op = *kernels::ReduceOpFromName(node.op());
  shape.dtype = context.dtype(0);
  shape.shape = context.shape(0);
  const auto rank = static_cast<int64_t>(shape.shape.size());
  // Axes are an attribute in older operator sets and an input in newer ones.
  std::vector<int64_t> axes = context.has(1) ? context.ConstantInts(1) : node.Ints("axes", {});
  for (const int64_t axis : axes) shape.axes.push_back(graph::NormalizeAxis(node, axis, rank));
  if (axes.empty() && node.Int("noop_with_empty_axes", 0) == 0) {
    shape.axes.resize(static_cast<size_t>(rank));
    std::iota(shape.axes.begin(), shape.axes.end(), 0);
  }
  if (graph::NumElements(context.output_shape(0)) == 0) return;
  if (shape.dtype == DType::kI64 && kernels::MayLeaveRange(shape.op))
    shape.fault_word = context.fault_word();
  EmitReduce(context, shape, context.In(0), context.Out(0));
}

void LowerSoftmax(LowerContext& context) {
  const graph::Shape shape = context.shape(0);
  const auto axis = static_cast<size_t>(graph::NormalizeAxis(
      context.node(), context.node().Int("axis", -1), static_cast<int64_t>(shape.size())));
  if (graph::NumElements(shape) == 0) return;
  const kernels::SoftmaxShape softmax = {Count(shape, 0, axis), Count(shape[axis]),
                                         Count(shape, axis + 1, shape.size()), context.dtype(0)};
  using Roles = kernels::SoftmaxRoles;
  context.Emit(kernels::PlanSoftmax(context.caps(), softmax, context.variant("softmax")),
               {{Roles::kInput, context.In(0)}, {Roles::kOutput, context.Out(0)}});
}

void LowerSimplifiedLayerNormalization(LowerContext& context) {
  const graph::Node& node = context.node();
  const graph::Shape shape = context.shape(0);
  const auto axis = static_cast<size_t>(
      graph::NormalizeAxis(node, node.Int("axis", -1), static_cast<int64_t>(shape.size())));
  kernels::RmsNormShape norm;
  norm.rows = Count(shape, 0, axis);
  norm.cols = Count(shape, axis, shape.size());
  norm.epsilon = node.Float("epsilon", 1e-5f);
  norm.dtype = context.dtype(0);
  norm.scale_dtype = context.dtype(1);
  norm.output_dtype = context.output_dtype(0);
  norm.has_inv_std = context.wants(1);
  if (norm.rows == 0 || norm.cols == 0) return;
  EmitRmsNorm(context, norm,
              {.input = context.In(0),
               .scale = context.In(1),
               .output = OutOrScratch(context),
               .inv_std = context.Out(1)});
}

void LowerLayerNormalization(LowerContext& context) {
  const graph::Node& node = context.node();
  const graph::Shape shape = context.shape(0);
  const auto axis = static_cast<size_t>(
      graph::NormalizeAxis(node, node.Int("axis", -1), static_cast<int64_t>(shape.size())));
  kernels::LayerNormShape norm;
  norm.rows = Count(shape, 0, axis);
  norm.cols = Count(shape, axis, shape.size());
  norm.epsilon = node.Float("epsilon", 1e-5f);
  norm.dtype = context.dtype(0);
  norm.scale_dtype = context.dtype(1);
  norm.output_dtype = context.output_dtype(0);
  norm.has_bias = context.has(2);
  norm.has_mean = context.wants(1);
  norm.has_inv_std = context.wants(2);
  if (norm.rows > 0 && norm.cols == 0 && (norm.has_mean || norm.has_inv_std)) {
    throw Error("compile", "{}: Mean and InvStdDev: got rows of 0 elements, want at least 1",
                node.Describe());
  }
  if (norm.rows == 0 || norm.cols == 0) return;
  using Roles = kernels::LayerNormRoles;
  context.Emit(kernels::PlanLayerNorm(context.caps(), norm, context.variant("layer_norm")),
               {{Roles::kInput, context.In(0)},
                {Roles::kScale, context.In(1)},
                {Roles::kBias, context.In(2)},
                {Roles::kOutput, OutOrScratch(context)},
                {Roles::kMean, context.Out(1)},
                {Roles::kInvStd, context.Out(2)}});
}

void LowerSkipSimplifiedLayerNormalization(LowerContext& context) {
  const graph::Shape shape = context.shape(0);
  const graph::Shape skip = context.shape(1);
  kernels::RmsNormShape norm;
  norm.cols = Count(shape.back());
  norm.rows = Count(shape, 0, shape.size() - 1);
  norm.epsilon = context.node().Float("epsilon", 1e-5f);
  norm.dtype = context.dtype(0);
  norm.scale_dtype = context.dtype(2);
  norm.output_dtype = context.output_dtype(0);
  norm.has_skip = true;
  norm.skip_rows = Count(skip, 0, skip.size() - 1);
  norm.has_bias = context.has(3);
  norm.has_inv_std = context.wants(2);
  norm.has_sum = context.wants(3);
  if (norm.rows == 0 || norm.cols == 0) return;
  EmitRmsNorm(context, norm,
              {.input = context.In(0),
               .scale = context.In(2),
               .skip = context.In(1),
               .bias = context.In(3),
               .output = OutOrScratch(context),
               .inv_std = context.Out(2),
               .sum = context.Out(3)});
}

}  // namespace sinter::compile
