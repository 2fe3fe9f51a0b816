// Lowerings of matrix products.

#include <cmath>
#include <limits>

#include "base/error.h"
#include "exec/lower/ops.h"
#include "kernels/matmul/matmul.h"
#include "kernels/matmul_nbits/matmul_nbits.h"
#include "kernels/qmoe/qmoe.h"

namespace sinter::exec {
namespace {

std::vector<uint32_t> BatchDims(const graph::Shape& shape) {
  std::vector<uint32_t> batch;
  for (size_t i = 0; i + 2 < shape.size(); ++i) batch.push_back(Count(shape[i]));
  return batch;
}

kernels::QMoEActivation ActivationOf(const graph::Node& node) {
  const std::string name = node.String("activation_type", "relu");
  if (name == "relu") return kernels::QMoEActivation::kRelu;
  if (name == "gelu") return kernels::QMoEActivation::kGelu;
  if (name == "silu") return kernels::QMoEActivation::kSilu;
  if (name == "identity") return kernels::QMoEActivation::kIdentity;
  if (name == "swiglu") return kernels::QMoEActivation::kSwiGlu;
  throw Error(
      "exec",
      "{}: attribute 'activation_type': got '{}', want relu, gelu, silu, swiglu or identity",
      node.Describe(), name);
}

}  // namespace

void LowerMatMul(LowerContext& context) {
  graph::Shape a = context.shape(0), b = context.shape(1);
  if (graph::NumElements(context.output_shape(0)) == 0) return;
  // One-dimensional operands are a row, resp. a column.
  if (a.size() == 1) a.insert(a.begin(), 1);
  if (b.size() == 1) b.push_back(1);
  kernels::MatMulShape shape;
  shape.m = Count(a[a.size() - 2]);
  shape.k = Count(a.back());
  shape.n = Count(b.back());
  shape.dtype = context.dtype(0);
  shape.a_batch = BatchDims(a);
  shape.b_batch = BatchDims(b);
  context.Emit(kernels::PlanMatMul(context.caps(), shape, context.variant("matmul")),
               {context.In(0), context.In(1), context.Out(0)}, {2});
}

void EmitMatMulNBits(LowerContext& context, kernels::MatMulNBitsShape shape, BufferRef a,
                     const NBitsOperands& weight, BufferRef y) {
  const uint64_t elem_bytes = DTypeBytes(kernels::DeviceDType(context.caps(), shape.dtype), 1);
  const uint64_t zero_point_row = shape.zero_points == kernels::ZeroPoints::kFloat
                                      ? shape.blocks() * elem_bytes
                                      : shape.packed_zero_points_row_bytes();
  const std::vector<kernels::RowRange> ranges = kernels::SplitMatMulNBits(context.caps(), shape);
  for (const kernels::RowRange& range : ranges) {
    NBitsOperands rows = weight;
    if (ranges.size() > 1) {
      shape.n_begin = Count(static_cast<int64_t>(range.begin));
      shape.n_count = Count(static_cast<int64_t>(range.count));
      const auto cut = [&](BufferRef& ref, uint64_t row_bytes) {
        ref = LowerContext::Rows(ref, range.begin, range.count, row_bytes);
      };
      cut(rows.codes, shape.b_row_bytes());
      cut(rows.scales, shape.blocks() * elem_bytes);
      cut(rows.zero_points, zero_point_row);
      cut(rows.bias, elem_bytes);
    }
    context.Emit(kernels::PlanMatMulNBits(context.caps(), shape, context.variant("matmul_nbits")),
                 {a, rows.codes, rows.scales, rows.zero_points, rows.bias, y}, {5});
  }
}

void LowerMatMulNBits(LowerContext& context) {
  const graph::Node& node = context.node();
  const graph::Shape a = context.shape(0);
  kernels::MatMulNBitsShape shape;
  shape.k = Count(node.Int("K", 0));
  shape.n = Count(node.Int("N", 0));
  shape.m = Count(a, 0, a.size() - 1);
  shape.bits = Count(node.Int("bits", 4));
  shape.block_size = Count(node.Int("block_size", 32));
  shape.dtype = context.dtype(0);
  shape.bias = context.has(5);
  BufferRef zero_points;
  if (context.has(3)) {
    const bool packed = context.dtype(3) == DType::kU8;
    shape.zero_points = packed ? kernels::ZeroPoints::kPacked : kernels::ZeroPoints::kFloat;
    zero_points = packed ? context.InRaw(3) : context.In(3);
  }
  if (shape.m == 0) return;
  EmitMatMulNBits(context, shape, context.In(0),
                  {context.InRaw(1), context.In(2), zero_points, context.In(5)}, context.Out(0));
}

void LowerQMoE(LowerContext& context) {
  const graph::Node& node = context.node();
  const graph::Shape x = context.shape(0);
  const graph::Shape fc1 = context.shape(2);
  kernels::QMoEShape shape;
  shape.hidden = Count(x.back());
  shape.tokens = Count(x, 0, x.size() - 1);
  shape.experts = Count(fc1[0]);
  shape.top_k = Count(node.Int("k", 1));
  shape.bits = Count(node.Int("expert_weight_bits", 4));
  shape.block_size = Count(std::max<int64_t>(0, node.Int("block_size", 0)));
  shape.dtype = context.dtype(0);
  shape.activation = ActivationOf(node);
  const bool gated = shape.activation == kernels::QMoEActivation::kSwiGlu;
  const int64_t fusion = node.Int("swiglu_fusion", 0);
  if (gated && fusion != 1 && fusion != 2) {
    throw Error(
        "exec",
        "{}: attribute 'swiglu_fusion': got {}, want 1 (gate and up interleaved) or 2 (halves)",
        node.Describe(), fusion);
  }
  shape.fusion = static_cast<kernels::SwiGluFusion>(gated ? fusion : 1);
  shape.intermediate = Count(gated ? fc1[1] / 2 : fc1[1]);
  shape.alpha = node.Float("activation_alpha", 1.0f);
  shape.beta = node.Float("activation_beta", 0.0f);
  shape.limit = node.Float("swiglu_limit", std::numeric_limits<float>::infinity());
  shape.normalize = node.Int("normalize_routing_weights", 0) != 0;
  shape.fc1_bias = context.has(4);
  shape.fc2_bias = context.has(7);
  shape.fc1_zero_points = context.has(11);
  shape.fc2_zero_points = context.has(12);
  if (shape.tokens == 0) return;

  const uint64_t slots = uint64_t{shape.tokens} * shape.top_k;
  const BufferRef indices = context.Scratch(slots * 4, "indices");
  const BufferRef weights = context.Scratch(slots * 4, "weights");
  const BufferRef hidden = context.Scratch(slots * shape.intermediate * 4, "hidden");
  const BufferRef partial = context.Scratch(slots * shape.hidden * 4, "partial");
  context.Emit(kernels::PlanQMoERouter(context.caps(), shape), {context.In(1), indices, weights},
               {1, 2});

  // One of the experts' two products, in as many ranges of experts as bindings need.
  struct Product {
    kernels::KernelPlan (*plan)(const gpu::Caps&, const kernels::QMoEShape&, std::string_view);
    std::vector<kernels::RowRange> ranges;
    BufferRef from, to;
    size_t weight, scales, bias, zero_points;
  };
  const Product products[] = {
      {kernels::PlanQMoEGateUp, kernels::SplitQMoEGateUp(context.caps(), shape), context.In(0),
       hidden, 2, 3, 4, 11},
      {kernels::PlanQMoEDown, kernels::SplitQMoEDown(context.caps(), shape), hidden, partial, 5, 6,
       7, 12}};
  const auto expert_rows = [&](BufferRef ref, size_t input, const kernels::RowRange& range) {
    if (!ref) return ref;
    const DType dtype = context.dtype(input);
    const DType device = dtype == DType::kU8 ? dtype : kernels::DeviceDType(context.caps(), dtype);
    const uint64_t elems =
        static_cast<uint64_t>(graph::NumElements(context.shape(input))) / shape.experts;
    return LowerContext::Rows(ref, range.begin, range.count, DTypeBytes(device, elems));
  };
  for (const Product& product : products) {
    for (const kernels::RowRange& range : product.ranges) {
      kernels::QMoEShape part = shape;
      BufferRef codes = context.InRaw(product.weight), scales = context.In(product.scales),
                bias = context.In(product.bias), zero_points = context.InRaw(product.zero_points);
      if (product.ranges.size() > 1) {
        part.expert_begin = Count(static_cast<int64_t>(range.begin));
        part.expert_count = Count(static_cast<int64_t>(range.count));
        codes = expert_rows(codes, product.weight, range);
        scales = expert_rows(scales, product.scales, range);
        bias = expert_rows(bias, product.bias, range);
        zero_points = expert_rows(zero_points, product.zero_points, range);
      }
      context.Emit(product.plan(context.caps(), part, context.variant("qmoe")),
                   {product.from, codes, scales, zero_points, bias, indices, product.to}, {6});
    }
  }
  context.Emit(kernels::PlanQMoEMix(context.caps(), shape), {partial, weights, context.Out(0)},
               {2});
}

}  // namespace sinter::exec
