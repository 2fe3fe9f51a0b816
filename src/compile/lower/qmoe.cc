// Lowers QMoE: the router, and the products of the experts that it chooses.

#include <algorithm>
#include <limits>
#include <optional>
#include <string>

#include "base/error.h"
#include "compile/lower/ops.h"
#include "graph/fused.h"
#include "kernels/qmoe/qmoe.h"
#include "kernels/rms_norm/rms_norm.h"

namespace sinter::compile {
namespace {

kernels::QMoEActivation ActivationOf(const graph::Node& node) {
  const std::string name = node.String("activation_type", "relu");
  if (name == "relu") return kernels::QMoEActivation::kRelu;
  if (name == "gelu") return kernels::QMoEActivation::kGelu;
  if (name == "silu") return kernels::QMoEActivation::kSilu;
  if (name == "identity") return kernels::QMoEActivation::kIdentity;
  if (name == "swiglu") return kernels::QMoEActivation::kSwiGlu;
  throw Error(
      "compile",
      "{}: attribute 'activation_type': got '{}', want relu, gelu, silu, swiglu or identity",
      node.Describe(), name);
}

// Input indices of the experts' two layers.
struct Layer {
  size_t weight, scales, bias, zero_points;
};
struct Experts {
  Layer fc1, fc2;
};
constexpr Experts kQMoE = {{2, 3, 4, 11}, {5, 6, 7, 12}};
constexpr Experts kNormQMoE = {
    {graph::kMoeFc1, graph::kMoeFc1Scales, graph::kMoeFc1Bias, graph::kMoeFc1ZeroPoints},
    {graph::kMoeFc2, graph::kMoeFc2Scales, graph::kMoeFc2Bias, graph::kMoeFc2ZeroPoints}};

kernels::QMoEShape ShapeOf(LowerContext& context, const Experts& experts) {
  const graph::Node& node = context.node();
  const graph::Shape x = context.shape(0);
  const graph::Shape fc1 = context.shape(experts.fc1.weight);
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
        "compile",
        "{}: attribute 'swiglu_fusion': got {}, want 1 (gate and up interleaved) or 2 (halves)",
        node.Describe(), fusion);
  }
  shape.fusion = static_cast<kernels::SwiGluFusion>(gated ? fusion : 1);
  shape.intermediate = Count(gated ? fc1[1] / 2 : fc1[1]);
  shape.alpha = node.Float("activation_alpha", 1.0f);
  shape.beta = node.Float("activation_beta", 0.0f);
  shape.limit = node.Float("swiglu_limit", std::numeric_limits<float>::infinity());
  shape.normalize = node.Int("normalize_routing_weights", 0) != 0;
  shape.fc1_bias = context.has(experts.fc1.bias);
  shape.fc2_bias = context.has(experts.fc2.bias);
  shape.fc1_zero_points = context.has(experts.fc1.zero_points);
  shape.fc2_zero_points = context.has(experts.fc2.zero_points);
  return shape;
}

// Input of the experts, and the router's result: the expert and the weight of each slot.
struct Routed {
  BufferRef x, indices, weights;
};

// Emits the decode form: one workgroup computes an output of all slots of a token, and adds them up
// itself.
void EmitDecode(LowerContext& context, const kernels::QMoEShape& shape, std::string_view forced,
                const Experts& experts, const Routed& routed) {
  const DType hidden_dtype = kernels::QMoEDecodeHiddenDType(context.caps(), shape, forced);
  const auto& [fc1, fc2] = experts;
  const BufferRef hidden = context.Scratch(
      DTypeBytes(hidden_dtype, size_t{shape.tokens} * shape.top_k * shape.intermediate), "hidden");
  using Roles = kernels::QMoELayerRoles;
  context.Emit(context.Tune(kernels::QMoEGateUpDecodeTunable(context.caps(), shape)),
               {{Roles::kX, routed.x},
                {Roles::kCodes, context.InRaw(fc1.weight)},
                {Roles::kScales, context.In(fc1.scales)},
                {Roles::kZeroPoints, context.InRaw(fc1.zero_points)},
                {Roles::kBias, context.In(fc1.bias)},
                {Roles::kIndices, routed.indices},
                {Roles::kY, hidden}});
  context.Emit(context.Tune(kernels::QMoEDownDecodeTunable(context.caps(), shape)),
               {{Roles::kX, hidden},
                {Roles::kCodes, context.InRaw(fc2.weight)},
                {Roles::kScales, context.In(fc2.scales)},
                {Roles::kZeroPoints, context.InRaw(fc2.zero_points)},
                {Roles::kBias, context.In(fc2.bias)},
                {Roles::kIndices, routed.indices},
                {Roles::kY, context.Out(0)},
                {Roles::kWeights, routed.weights}});
}

// Emits the products of each slot on its own, then their weighted sum. The experts are split into
// as many ranges as the bindings require.
void EmitBySlot(LowerContext& context, const kernels::QMoEShape& shape, std::string_view variant,
                const Experts& experts, const Routed& routed) {
  const uint64_t slots = uint64_t{shape.tokens} * shape.top_k;
  const BufferRef hidden = context.Scratch(slots * shape.intermediate * 4, "hidden");
  const BufferRef partial = context.Scratch(slots * shape.hidden * 4, "partial");
  struct Product {
    kernels::KernelPlan (*plan)(const Caps&, const kernels::QMoEShape&, std::string_view);
    std::vector<kernels::RowRange> ranges;
    BufferRef x, y;
    Layer layer;
  };
  const Product products[] = {
      {kernels::PlanQMoEGateUp, kernels::SplitQMoEGateUp(context.caps(), shape), routed.x, hidden,
       experts.fc1},
      {kernels::PlanQMoEDown, kernels::SplitQMoEDown(context.caps(), shape), hidden, partial,
       experts.fc2}};
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
      using Roles = kernels::QMoELayerRoles;
      context.Emit(product.plan(context.caps(), part, variant), {{Roles::kX, product.x},
                                                                 {Roles::kCodes, codes},
                                                                 {Roles::kScales, scales},
                                                                 {Roles::kZeroPoints, zero_points},
                                                                 {Roles::kBias, bias},
                                                                 {Roles::kIndices, routed.indices},
                                                                 {Roles::kY, product.y}});
    }
  }
  using Roles = kernels::QMoEMixRoles;
  context.Emit(
      kernels::PlanQMoEMix(context.caps(), shape),
      {{Roles::kPartial, partial}, {Roles::kWeights, routed.weights}, {Roles::kY, context.Out(0)}});
}

// Emits the grouped form: all tokens of an expert are multiplied together, so that its weights are
// read once per 64 tokens.
void EmitGrouped(LowerContext& context, const kernels::QMoEShape& shape, const Experts& experts,
                 const Routed& routed) {
  const Caps& caps = context.caps();
  const uint64_t rows = kernels::QMoEGroupedRows(shape);
  const auto scratch = [&](uint64_t width, std::string_view what) {
    return context.Scratch(DTypeBytes(kernels::DeviceDType(caps, shape.dtype), rows * width), what);
  };
  const BufferRef row_of = context.Scratch(uint64_t{shape.tokens} * shape.top_k * 4, "rows"),
                  tokens = context.Scratch(rows * 4, "tokens"),
                  tile_experts =
                      context.Scratch(rows / kernels::kMatMulNBitsExpertRows * 4, "tiles"),
                  x = scratch(shape.hidden, "grouped"),
                  product = scratch(shape.fc1_rows(), "product"),
                  hidden = scratch(shape.intermediate, "hidden"),
                  partial = scratch(shape.hidden, "partial");
  using Group = kernels::QMoEGroupRoles;
  context.Emit(kernels::PlanQMoEGroup(caps, shape), {{Group::kIndices, routed.indices},
                                                     {Group::kRows, row_of},
                                                     {Group::kTokens, tokens},
                                                     {Group::kTileExperts, tile_experts}});
  using Gather = kernels::QMoEGatherRoles;
  context.Emit(kernels::PlanQMoEGather(caps, shape), {{Gather::kX, routed.x},
                                                      {Gather::kTileExperts, tile_experts},
                                                      {Gather::kTokens, tokens},
                                                      {Gather::kGrouped, x}});
  const auto multiply = [&](const kernels::MatMulNBitsShape& of, const Layer& layer, BufferRef from,
                            BufferRef to) {
    using Roles = kernels::MatMulNBitsRoles;
    context.Emit(context.Tune(kernels::QMoEGroupedTunable(caps, of)),
                 {{Roles::kA, from},
                  {Roles::kB, context.InRaw(layer.weight)},
                  {Roles::kScales, context.In(layer.scales)},
                  {Roles::kZeroPoints, context.InRaw(layer.zero_points)},
                  {Roles::kBias, context.In(layer.bias)},
                  {Roles::kY, to},
                  {Roles::kTileExperts, tile_experts}});
  };
  multiply(kernels::QMoEGroupedGateUp(shape), experts.fc1, x, product);
  using Activate = kernels::QMoEActivateRoles;
  context.Emit(kernels::PlanQMoEActivate(caps, shape), {{Activate::kProduct, product},
                                                        {Activate::kTileExperts, tile_experts},
                                                        {Activate::kHidden, hidden}});
  multiply(kernels::QMoEGroupedDown(shape), experts.fc2, hidden, partial);
  using Mix = kernels::QMoEGroupedMixRoles;
  context.Emit(kernels::PlanQMoEGroupedMix(caps, shape), {{Mix::kPartial, partial},
                                                          {Mix::kRows, row_of},
                                                          {Mix::kWeights, routed.weights},
                                                          {Mix::kY, context.Out(0)}});
}

// Returns whether the experts' tiles of 64 rows hold enough tokens to pay off: at least 4 each on
// average.
bool PrefersGroups(const kernels::QMoEShape& shape) {
  return uint64_t{shape.tokens} * shape.top_k >= 4 * uint64_t{shape.experts};
}

void EmitExperts(LowerContext& context, const kernels::QMoEShape& shape, const Experts& experts,
                 const Routed& routed) {
  const std::string_view variant = context.variant("qmoe");
  using Form = kernels::QMoEForm;
  std::optional<Form> forced;
  if (!variant.empty()) forced = kernels::QMoEFormOf(context.caps(), variant);
  if (forced == Form::kBySlot) return EmitBySlot(context, shape, variant, experts, routed);
  // A forced decode or grouped form has no effect on programs whose length it does not support.
  if (forced != Form::kGrouped && shape.tokens <= kernels::kMaxQMoEDecodeTokens &&
      !kernels::QMoEDecodeVariants(context.caps(), shape).empty()) {
    return EmitDecode(context, shape, variant, experts, routed);
  }
  if ((forced == Form::kGrouped || PrefersGroups(shape)) && shape.tokens > 1 &&
      kernels::CanGroupQMoE(context.caps(), shape)) {
    return EmitGrouped(context, shape, experts, routed);
  }
  EmitBySlot(context, shape, "", experts, routed);
}

void EmitRouter(LowerContext& context, const kernels::QMoEShape& shape, BufferRef logits,
                const Routed& routed) {
  using Roles = kernels::QMoERouterRoles;
  context.Emit(kernels::PlanQMoERouter(context.caps(), shape), {{Roles::kLogits, logits},
                                                                {Roles::kIndices, routed.indices},
                                                                {Roles::kWeights, routed.weights}});
}

// Returns scratch for the router's results.
Routed ScratchFor(LowerContext& context, const kernels::QMoEShape& shape, BufferRef x) {
  const uint64_t slots = uint64_t{shape.tokens} * shape.top_k;
  return {x, context.Scratch(slots * 4, "indices"), context.Scratch(slots * 4, "weights")};
}

}  // namespace

void LowerQMoE(LowerContext& context) {
  const kernels::QMoEShape shape = ShapeOf(context, kQMoE);
  if (shape.tokens == 0) return;
  const Routed routed = ScratchFor(context, shape, context.In(0));
  EmitRouter(context, shape, context.In(1), routed);
  EmitExperts(context, shape, kQMoE, routed);
}

void LowerNormQMoE(LowerContext& context) {
  const Caps& caps = context.caps();
  const kernels::QMoEShape shape = ShapeOf(context, kNormQMoE);
  if (shape.tokens == 0) return;
  const auto scratch = [&](size_t elems, std::string_view what) {
    return context.Scratch(DTypeBytes(kernels::DeviceDType(caps, shape.dtype), elems), what);
  };
  const Routed routed =
      ScratchFor(context, shape, scratch(size_t{shape.tokens} * shape.hidden, "h"));
  kernels::QMoENormRouterShape router;
  router.bits = Count(context.node().Int("router_bits", 4));
  router.block_size = Count(context.node().Int("router_block_size", 32));
  router.zero_points = context.has(graph::kMoeRouterZeroPoints);
  router.bias = context.has(graph::kMoeRouterBias);
  router.epsilon = context.node().Float("epsilon", 1e-5f);
  const NBitsOperands weight = {
      context.InRaw(graph::kMoeRouter), context.In(graph::kMoeRouterScales),
      context.InRaw(graph::kMoeRouterZeroPoints), context.In(graph::kMoeRouterBias)};
  const BufferRef input = context.In(graph::kMoeInput),
                  norm_scale = context.In(graph::kMoeNormScale);
  if (shape.tokens <= kernels::kMaxQMoEDecodeTokens &&
      kernels::CanPlanQMoENormRouter(caps, shape, router)) {
    using Roles = kernels::QMoENormRouterRoles;
    context.Emit(kernels::PlanQMoENormRouter(caps, shape, router),
                 {{Roles::kX, input},
                  {Roles::kNormScale, norm_scale},
                  {Roles::kRouter, weight.codes},
                  {Roles::kScales, weight.scales},
                  {Roles::kZeroPoints, weight.zero_points},
                  {Roles::kBias, weight.bias},
                  {Roles::kNormed, routed.x},
                  {Roles::kIndices, routed.indices},
                  {Roles::kWeights, routed.weights}});
  } else {
    kernels::RmsNormShape norm;
    norm.rows = shape.tokens;
    norm.cols = shape.hidden;
    norm.epsilon = router.epsilon;
    norm.dtype = norm.scale_dtype = norm.output_dtype = shape.dtype;
    EmitRmsNorm(context, norm, {.input = input, .scale = norm_scale, .output = routed.x});
    kernels::MatMulNBitsShape product;
    product.m = shape.tokens;
    product.n = shape.experts;
    product.k = shape.hidden;
    product.bits = router.bits;
    product.block_size = router.block_size;
    product.dtype = shape.dtype;
    product.bias = router.bias;
    if (router.zero_points) product.zero_points = kernels::ZeroPoints::kPacked;
    const BufferRef logits = scratch(size_t{shape.tokens} * shape.experts, "logits");
    EmitMatMulNBits(context, product, routed.x, weight, logits);
    EmitRouter(context, shape, logits, routed);
  }
  EmitExperts(context, shape, kNormQMoE, routed);
}

}  // namespace sinter::compile
