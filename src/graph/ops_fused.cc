// Types and shapes of Sinter's own operators, which rewrites create. fused.h documents their
// meaning.
#include <algorithm>

#include "graph/fused.h"
#include "graph/inference.h"

namespace sinter::graph {
namespace {

using Kind = AttributeSpec::Kind;

constexpr size_t kInputsOfPart = 4;

// Checks that all parts have the same kind of zero points and bias, so that they can be stacked
// into one matrix.
void CheckPartsAlike(const Inference& in, const FusedProduct& product) {
  const FusedPart& first = product.parts[0];
  const auto type_of = [&](size_t input) {
    return in.has(input) ? in.dtype(input) : DType::kUndefined;
  };
  for (const FusedPart& part : product.parts) {
    if (type_of(part.zero_points) != type_of(first.zero_points))
      in.Fail(
          "inputs {} and {} (zero_points): got only one of them or different types, want both of "
          "one type",
          first.zero_points, part.zero_points);
    if (in.has(part.bias) != in.has(first.bias))
      in.Fail("inputs {} and {} (bias): got one of them, want both or none", first.bias, part.bias);
  }
}

void InferFused(Inference& in) {
  const FusedProduct product = ReadFused(in.node());
  const int64_t k = PositiveInt(in, "K");
  const int64_t block_size = PositiveInt(in, "block_size");
  in.WantDType(kFusedInput, kFloats);
  const Shape& x = in.shape(kFusedInput);
  if (x.empty() || x.back() != k)
    in.Fail("input 0: got shape {}, want {} columns", ShapeText(x), k);
  const DType dtype = in.dtype(product.parts[0].scales);
  for (const FusedPart& part : product.parts) {
    if (part.n <= 0 || part.n >= kMaxDim)
      in.Fail("attribute 'N': got {}, want numbers from 1 to 2^31 - 1", part.n);
    in.WantDType(part.scales, kFloats);
    CheckNBitsWeight(in, {part.b, part.scales, part.zero_points, part.bias}, dtype, part.n, k,
                     product.bits, block_size);
  }
  CheckPartsAlike(in, product);
  Shape y = x;
  y.back() = product.n();
  if (!product.activation.empty()) {
    y.back() = product.parts[0].n;
    if (product.parts[1].n != y.back())
      in.Fail("attribute 'N': got {} and {} rows, want as many for gate as for up", y.back(),
              product.parts[1].n);
  }
  if (product.has_residual) {
    in.WantSameDType(0, product.parts[0].scales);
    in.WantSameDType(kFusedResidual, product.parts[0].scales);
    in.WantShape(kFusedResidual, y);
  }
  in.Out(0, dtype, std::move(y));
  if (!product.has_prologue) return;

  if (in.has(kFusedSkipScale)) {
    if (!in.has(kFusedSkip)) in.Fail("input 2 (skip_scale): got one without input 1 (skip)");
    in.WantSameDType(kFusedSkipScale, kFusedInput);
    in.WantShape(kFusedSkipScale, {k});
    in.WantDType(kFusedSkip, kFloats);
  } else if (in.has(kFusedSkip)) {
    in.WantSameDType(kFusedSkip, kFusedInput);
  }
  if (in.has(kFusedSkip)) in.WantShape(kFusedSkip, x);
  if (in.has(kFusedNormScale)) {
    in.WantDType(kFusedNormScale, kFloats);
    in.WantShape(kFusedNormScale, {k});
  }
  in.Out(1, in.dtype(kFusedInput), x);
}

void InferNormQMoE(Inference& in) {
  in.WantRank(kMoeRouter, 3);
  const int64_t experts = in.shape(kMoeRouter)[0];
  CheckExperts(in,
               {kMoeInput, kMoeFc1, kMoeFc1Scales, kMoeFc1Bias, kMoeFc2, kMoeFc2Scales, kMoeFc2Bias,
                kMoeFc1ZeroPoints, kMoeFc2ZeroPoints},
               experts);
  const DType dtype = in.dtype(kMoeInput);
  const int64_t hidden = in.shape(kMoeInput).back();
  in.WantSameDType(kMoeNormScale, kMoeInput);
  in.WantShape(kMoeNormScale, {hidden});
  if (in.has(kMoeRouterZeroPoints)) in.WantDType(kMoeRouterZeroPoints, {DType::kU8});
  CheckNBitsWeight(in, {kMoeRouter, kMoeRouterScales, kMoeRouterZeroPoints, kMoeRouterBias}, dtype,
                   experts, hidden, in.node().Int("router_bits", 4),
                   PositiveInt(in, "router_block_size"));
}

}  // namespace

bool IsFused(const Node& node) { return node.domain() == kFusedDomain; }

bool IsFusedProduct(const Node& node) { return IsFused(node) && node.op() != "NormQMoE"; }

int64_t FusedProduct::n() const {
  int64_t rows = 0;
  for (const FusedPart& part : parts) rows += part.n;
  return rows;
}

FusedProduct ReadFused(const Node& node) {
  FusedProduct product;
  product.k = node.Int("K", 0);
  product.bits = node.Int("bits", 4);
  product.block_size = node.Int("block_size", 32);
  product.epsilon = node.Float("epsilon", 1e-5f);
  product.skip_epsilon = node.Float("skip_epsilon", 1e-5f);
  if (node.op() == "MatMulNBitsAdd") {
    product.has_prologue = false;
    product.has_residual = true;
    product.parts.push_back({1, 2, 3, 4, node.Int("N", 0)});
    return product;
  }
  product.activation = node.String("activation", "");
  const std::vector<int64_t> rows = node.Ints("N", {});
  for (size_t b = kFusedFirstPart; b < node.inputs().size(); b += kInputsOfPart) {
    const bool present = node.input(b) != nullptr && node.input(b + 1) != nullptr;
    const bool any = node.input(b) != nullptr || node.input(b + 1) != nullptr ||
                     node.input(b + 2) != nullptr || node.input(b + 3) != nullptr;
    const size_t part = product.parts.size();
    const bool gap = part < (b - kFusedFirstPart) / kInputsOfPart;
    if (any && (!present || gap)) {
      throw Error("graph", "{}: inputs {} to {}: got an incomplete weight, want all its parts",
                  node.Describe(), b, b + kInputsOfPart - 1);
    }
    if (!present) continue;
    product.parts.push_back({b, b + 1, b + 2, b + 3, part < rows.size() ? rows[part] : 0});
  }
  if (product.parts.size() != rows.size() || rows.empty()) {
    throw Error("graph", "{}: attribute 'N': got {} numbers, want {}, one for each weight",
                node.Describe(), rows.size(), std::max<size_t>(1, product.parts.size()));
  }
  return product;
}

std::vector<OpSpec> FusedOps() {
  const auto attributes = [](std::vector<AttributeSpec> own) {
    std::vector<AttributeSpec> all = {attr::RequiredInt("K"), attr::Int("bits", {2, 4, 8}),
                                      attr::RequiredInt("block_size", {16, 32, 64, 128, 256}),
                                      attr::Int("accuracy_level")};
    all.insert(all.end(), own.begin(), own.end());
    return all;
  };
  const std::vector<AttributeSpec> prologue = {attr::Of("N", Kind::kInts, true),
                                               attr::Float("epsilon"), attr::Float("skip_epsilon")};
  std::vector<AttributeSpec> mlp = prologue;
  std::vector<AttributeSpec> mixture = ExpertAttributes();
  mixture.insert(mixture.end(), {attr::Float("epsilon"), attr::Int("router_bits", {2, 4, 8}),
                                 attr::RequiredInt("router_block_size", {16, 32, 64, 128, 256})});
  mlp.push_back({"activation", Kind::kString, true, {}, {}, {"silu", "gelu", "gelu_tanh"}});
  return {
      {kFusedDomain, "MatMulNBitsQkv", 1, kFusedVersion,
       "input skip? skip_scale? norm_scale? q_B q_scales q_zero_points? q_bias? k_B? k_scales? "
       "k_zero_points? k_bias? v_B? v_scales? v_zero_points? v_bias?",
       "Y input_skip_sum?", attributes(prologue), InferFused},
      {kFusedDomain, "NormMatMulNBits", 1, kFusedVersion,
       "input skip? skip_scale? norm_scale B scales zero_points? bias?", "Y input_skip_sum?",
       attributes(prologue), InferFused},
      {kFusedDomain, "MatMulNBitsMlp", 1, kFusedVersion,
       "input skip? skip_scale? norm_scale? gate_B gate_scales gate_zero_points? gate_bias? up_B "
       "up_scales up_zero_points? up_bias?",
       "Y input_skip_sum?", attributes(mlp), InferFused},
      {kFusedDomain, "MatMulNBitsAdd", 1, kFusedVersion, "A B scales zero_points? bias? residual",
       "Y", attributes({attr::RequiredInt("N")}), InferFused},
      {kFusedDomain, "NormQMoE", 1, kFusedVersion,
       "input norm_scale router_B router_scales router_zero_points? router_bias? "
       "fc1_experts_weights fc1_scales fc1_experts_bias? fc2_experts_weights fc2_scales "
       "fc2_experts_bias? fc1_zero_points? fc2_zero_points?",
       "Y", std::move(mixture), InferNormQMoE},
  };
}

}  // namespace sinter::graph
