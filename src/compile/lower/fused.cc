// Lowers Sinter's own operators (graph/fused.h): a norm, a product and what follows it.

#include "graph/fused.h"
#include "base/error.h"
#include "compile/lower/ops.h"
#include "kernels/cast/cast.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/gated_activation/gated_activation.h"
#include "kernels/rms_norm/rms_norm.h"

namespace sinter::compile {
namespace {

// A node's shapes, and its weights joined to one matrix.
struct FusedNode {
  graph::FusedProduct product;
  uint32_t rows = 0;
  DType input_dtype = DType::kF32;
  // Type of the scales, which the product's operands and its result have too.
  DType dtype = DType::kF32;
  // Product of all parts; n is the sum of their rows.
  kernels::MatMulNBitsShape shape;
  NBitsOperands weight;

  uint32_t cols() const { return shape.k; }
};

uint64_t DeviceBytes(const LowerContext& context, DType dtype, size_t elems) {
  return DTypeBytes(kernels::DeviceDType(context.caps(), dtype), elems);
}

FusedNode Read(LowerContext& context) {
  FusedNode node;
  node.product = graph::ReadFused(context.node());
  const graph::Shape input = context.shape(graph::kFusedInput);
  node.rows = Count(input, 0, input.size() - 1);
  node.input_dtype = context.dtype(graph::kFusedInput);
  const graph::FusedPart& first = node.product.parts[0];
  node.dtype = context.dtype(first.scales);
  node.shape.m = node.rows;
  node.shape.n = Count(node.product.n());
  node.shape.k = Count(node.product.k);
  node.shape.bits = Count(node.product.bits);
  node.shape.block_size = Count(node.product.block_size);
  node.shape.dtype = node.dtype;
  node.shape.bias = context.has(first.bias);
  if (context.has(first.zero_points)) {
    node.shape.zero_points = context.dtype(first.zero_points) == DType::kU8
                                 ? kernels::ZeroPoints::kPacked
                                 : kernels::ZeroPoints::kFloat;
  }
  node.weight = ReadWeight(context, node.product.parts, node.shape);
  return node;
}

BufferRef Converted(LowerContext& context, DType from, DType to, size_t elems, BufferRef input) {
  if (kernels::CastIsCopy(context.caps(), from, to)) return input;
  const BufferRef output = context.Scratch(DeviceBytes(context, to, elems), "h");
  EmitCast(context, {from, to, static_cast<int64_t>(elems)}, input, output);
  return output;
}

// Emits the dispatches before the product. Returns its left operand h; also writes output 1.
BufferRef EmitPrologue(LowerContext& context, const FusedNode& node) {
  const size_t elems = size_t{node.rows} * node.cols();
  const BufferRef input = context.In(graph::kFusedInput);
  if (!node.product.has_prologue) return input;
  BufferRef skip = context.In(graph::kFusedSkip);
  kernels::RmsNormShape norm;
  norm.rows = node.rows;
  norm.cols = node.cols();
  if (context.has(graph::kFusedSkipScale)) {
    norm.epsilon = node.product.skip_epsilon;
    norm.dtype = context.dtype(graph::kFusedSkip);
    norm.scale_dtype = norm.output_dtype = node.input_dtype;
    const BufferRef scaled = context.Scratch(DeviceBytes(context, node.input_dtype, elems), "skip");
    EmitRmsNorm(context, norm,
                {.input = skip, .scale = context.In(graph::kFusedSkipScale), .output = scaled});
    skip = scaled;
  }
  if (!context.has(graph::kFusedNormScale)) {
    BufferRef x = input;
    if (skip) {
      x = context.wants(1) ? context.Out(1)
                           : context.Scratch(DeviceBytes(context, node.input_dtype, elems), "x");
      const std::vector<int64_t> shape = {static_cast<int64_t>(elems)};
      EmitBinary(context, {kernels::BinaryOp::kAdd, node.input_dtype, shape, shape}, input, skip,
                 x);
    } else {
      context.Alias(1, graph::kFusedInput);
    }
    return Converted(context, node.input_dtype, node.dtype, elems, x);
  }
  norm.epsilon = node.product.epsilon;
  norm.dtype = node.input_dtype;
  norm.scale_dtype = context.dtype(graph::kFusedNormScale);
  norm.output_dtype = node.dtype;
  norm.has_skip = static_cast<bool>(skip);
  norm.has_sum = norm.has_skip && context.wants(1);
  const BufferRef h = context.Scratch(DeviceBytes(context, node.dtype, elems), "h");
  EmitRmsNorm(context, norm,
              {.input = input,
               .scale = context.In(graph::kFusedNormScale),
               .skip = skip,
               .output = h,
               .sum = norm.has_sum ? context.Out(1) : BufferRef{}});
  if (!norm.has_skip) context.Alias(1, graph::kFusedInput);
  return h;
}

kernels::GatedActivation ActivationOf(const graph::FusedProduct& product) {
  if (product.activation == "silu") return kernels::GatedActivation::kSilu;
  return product.activation == "gelu" ? kernels::GatedActivation::kGelu
                                      : kernels::GatedActivation::kGeluTanh;
}

kernels::Glu GluOf(const graph::FusedProduct& product) {
  if (product.activation.empty()) return kernels::Glu::kNone;
  if (product.activation == "silu") return kernels::Glu::kSilu;
  return product.activation == "gelu" ? kernels::Glu::kGelu : kernels::Glu::kGeluTanh;
}

// Returns the shape of the product together with what follows it, for one dispatch.
kernels::MatMulNBitsShape WithEpilogue(const FusedNode& node) {
  kernels::MatMulNBitsShape shape = node.shape;
  shape.glu = GluOf(node.product);
  if (shape.glu != kernels::Glu::kNone) shape.n /= 2;
  shape.residual = node.product.has_residual;
  return shape;
}

// Emits the whole node as one dispatch. Returns false if the kernels cannot do that.
bool EmitOneDispatch(LowerContext& context, const FusedNode& node) {
  if (!context.wants(0)) return false;
  kernels::MatMulNBitsShape shape = WithEpilogue(node);
  NBitsSurroundings around;
  if (shape.residual) around.residual = context.In(graph::kFusedResidual);
  if (node.product.has_prologue) {
    if (!context.has(graph::kFusedNormScale)) return false;
    kernels::MatMulNBitsNorm& norm = shape.norm;
    norm.present = true;
    norm.input_dtype = node.input_dtype;
    norm.scale_dtype = context.dtype(graph::kFusedNormScale);
    norm.epsilon = node.product.epsilon;
    norm.skip_epsilon = node.product.skip_epsilon;
    if (context.has(graph::kFusedSkip)) {
      const bool normalized = context.has(graph::kFusedSkipScale);
      norm.skip = normalized ? kernels::Skip::kNormalized : kernels::Skip::kPlain;
      norm.skip_dtype = context.dtype(graph::kFusedSkip);
      if (normalized) norm.skip_scale_dtype = context.dtype(graph::kFusedSkipScale);
      norm.keeps_sum = context.wants(1);
    }
  }
  if (!kernels::CanFuseMatMulNBits(context.caps(), shape, context.variant("matmul_nbits")))
    return false;
  if (shape.norm.present) {
    around.norm_scale = context.In(graph::kFusedNormScale);
    around.skip = context.In(graph::kFusedSkip);
    around.skip_scale = context.In(graph::kFusedSkipScale);
    if (shape.norm.keeps_sum) {
      around.sum = context.Out(1);
    } else {
      context.Alias(1, graph::kFusedInput);
    }
  }
  EmitMatMulNBits(context, shape, context.In(graph::kFusedInput), node.weight, context.Out(0),
                  around);
  return true;
}

// Emits the parts of the node's definition one by one, for any number of rows.
void EmitComposition(LowerContext& context, const FusedNode& node) {
  const BufferRef h = EmitPrologue(context, node);
  if (!context.wants(0)) return;
  const kernels::MatMulNBitsShape whole = WithEpilogue(node);
  if (kernels::CanFuseMatMulNBits(context.caps(), whole, context.variant("matmul_nbits"))) {
    NBitsSurroundings around;
    if (whole.residual) around.residual = context.In(graph::kFusedResidual);
    return EmitMatMulNBits(context, whole, h, node.weight, context.Out(0), around);
  }
  const size_t elems = size_t{node.rows} * node.shape.n;
  const BufferRef y = context.Scratch(DeviceBytes(context, node.dtype, elems), "product");
  EmitMatMulNBits(context, node.shape, h, node.weight, y);
  if (whole.glu != kernels::Glu::kNone) {
    const kernels::GatedActivationShape shape = {node.rows, node.shape.n / 2,
                                                 ActivationOf(node.product), node.dtype};
    using Roles = kernels::GatedActivationRoles;
    context.Emit(
        kernels::PlanGatedActivation(context.caps(), shape, context.variant("gated_activation")),
        {{Roles::kX, y}, {Roles::kY, context.Out(0)}});
    return;
  }
  const std::vector<int64_t> shape = {static_cast<int64_t>(elems)};
  EmitBinary(context, {kernels::BinaryOp::kAdd, node.dtype, shape, shape}, y,
             context.In(graph::kFusedResidual), context.Out(0));
}

}  // namespace

void LowerFusedProduct(LowerContext& context) {
  const FusedNode node = Read(context);
  if (node.rows == 0) return;
  if (!EmitOneDispatch(context, node)) EmitComposition(context, node);
}

}  // namespace sinter::compile
