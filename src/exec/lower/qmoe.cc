// Lowering of QMoE: the router, and the products of the experts that it chooses.

#include <algorithm>
#include <limits>
#include <string>

#include "base/error.h"
#include "exec/lower/ops.h"
#include "kernels/qmoe/qmoe.h"

namespace sinter::exec {
namespace {

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

kernels::QMoEShape ShapeOf(LowerContext& context) {
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
  return shape;
}

// What the router gives: for each slot, its expert and its weight.
struct Routing {
  BufferRef indices, weights;
};

// One of the experts' two layers: a node's inputs.
struct Layer {
  size_t weight, scales, bias, zero_points;
};
constexpr Layer kFc1 = {2, 3, 4, 11};
constexpr Layer kFc2 = {5, 6, 7, 12};

// All slots of a token in one workgroup, so that it sums them up itself.
void EmitDecode(LowerContext& context, const kernels::QMoEShape& shape, std::string_view variant,
                const Routing& routing) {
  const gpu::Caps& caps = context.caps();
  const DType hidden_dtype = kernels::QMoEDecodeHiddenDType(caps, shape, variant);
  const BufferRef hidden = context.Scratch(
      DTypeBytes(hidden_dtype, size_t{shape.tokens} * shape.top_k * shape.intermediate), "hidden");
  context.Emit(kernels::PlanQMoEGateUpDecode(caps, shape, variant),
               {context.In(0), context.InRaw(kFc1.weight), context.In(kFc1.scales),
                context.InRaw(kFc1.zero_points), context.In(kFc1.bias), routing.indices, hidden},
               {6});
  context.Emit(
      kernels::PlanQMoEDownDecode(caps, shape, variant),
      {hidden, context.InRaw(kFc2.weight), context.In(kFc2.scales), context.InRaw(kFc2.zero_points),
       context.In(kFc2.bias), routing.indices, context.Out(0), routing.weights},
      {6});
}

// Each slot by itself, then their sum; in as many ranges of experts as bindings need.
void EmitBySlot(LowerContext& context, const kernels::QMoEShape& shape, std::string_view variant,
                const Routing& routing) {
  const uint64_t slots = uint64_t{shape.tokens} * shape.top_k;
  const BufferRef hidden = context.Scratch(slots * shape.intermediate * 4, "hidden");
  const BufferRef partial = context.Scratch(slots * shape.hidden * 4, "partial");
  struct Product {
    kernels::KernelPlan (*plan)(const gpu::Caps&, const kernels::QMoEShape&, std::string_view);
    std::vector<kernels::RowRange> ranges;
    BufferRef x, y;
    Layer layer;
  };
  const Product products[] = {
      {kernels::PlanQMoEGateUp, kernels::SplitQMoEGateUp(context.caps(), shape), context.In(0),
       hidden, kFc1},
      {kernels::PlanQMoEDown, kernels::SplitQMoEDown(context.caps(), shape), hidden, partial,
       kFc2}};
  const auto expert_rows = [&](BufferRef ref, size_t input, const kernels::RowRange& range) {
    if (!ref) return ref;
    const DType dtype = context.dtype(input);
    const DType device = dtype == DType::kU8 ? dtype : kernels::DeviceDType(context.caps(), dtype);
    const uint64_t elems =
        static_cast<uint64_t>(graph::NumElements(context.shape(input))) / shape.experts;
    return LowerContext::Rows(ref, range.begin, range.count, DTypeBytes(device, elems));
  };
  for (const Product& product : products) {
    const Layer& layer = product.layer;
    for (const kernels::RowRange& range : product.ranges) {
      kernels::QMoEShape part = shape;
      BufferRef codes = context.InRaw(layer.weight), scales = context.In(layer.scales),
                bias = context.In(layer.bias), zero_points = context.InRaw(layer.zero_points);
      if (product.ranges.size() > 1) {
        part.expert_begin = Count(static_cast<int64_t>(range.begin));
        part.expert_count = Count(static_cast<int64_t>(range.count));
        codes = expert_rows(codes, layer.weight, range);
        scales = expert_rows(scales, layer.scales, range);
        bias = expert_rows(bias, layer.bias, range);
        zero_points = expert_rows(zero_points, layer.zero_points, range);
      }
      context.Emit(product.plan(context.caps(), part, variant),
                   {product.x, codes, scales, zero_points, bias, routing.indices, product.y}, {6});
    }
  }
  context.Emit(kernels::PlanQMoEMix(context.caps(), shape),
               {partial, routing.weights, context.Out(0)}, {2});
}

}  // namespace

void LowerQMoE(LowerContext& context) {
  const kernels::QMoEShape shape = ShapeOf(context);
  if (shape.tokens == 0) return;
  const uint64_t slots = uint64_t{shape.tokens} * shape.top_k;
  const Routing routing = {context.Scratch(slots * 4, "indices"),
                           context.Scratch(slots * 4, "weights")};
  context.Emit(kernels::PlanQMoERouter(context.caps(), shape),
               {context.In(1), routing.indices, routing.weights}, {1, 2});

  std::string_view variant = context.variant("qmoe");
  const bool decode = variant.empty() || variant.starts_with("decode");
  if (decode && shape.tokens <= kernels::kMaxQMoEDecodeTokens &&
      !kernels::QMoEDecodeVariants(context.caps(), shape).empty()) {
    return EmitDecode(context, shape, variant, routing);
  }
  // A forced decode form does not bind longer programs.
  EmitBySlot(context, shape, decode ? "" : variant, routing);
}

}  // namespace sinter::exec
