#include "compile/lowering.h"

#include <fmt/ranges.h>

#include "base/check.h"
#include "base/error.h"
#include "compile/chain.h"
#include "compile/lower/ops.h"
#include "graph/fused.h"
#include "kernels/unknown_variant.h"

namespace sinter::compile {
namespace {

using LowerFunction = void (*)(LowerContext&);

struct OpLowering {
  std::string_view domain, op;
  LowerFunction lower;
};

constexpr std::string_view kMicrosoft = "com.microsoft";
constexpr std::string_view kFused = graph::kFusedDomain;

// One line per operator; several operators may share a lowering. Operators that only compute shapes
// (Shape, Range, If, ...) are folded before lowering.
constexpr OpLowering kLowerings[] = {
    {kMicrosoft, "MatMulNBits", LowerMatMulNBits},
    {kFused, "MatMulNBitsQkv", LowerFusedProduct},
    {kFused, "NormMatMulNBits", LowerFusedProduct},
    {kFused, "MatMulNBitsMlp", LowerFusedProduct},
    {kFused, "MatMulNBitsAdd", LowerFusedProduct},
    {kFused, "NormQMoE", LowerNormQMoE},
    {kMicrosoft, "GatherBlockQuantized", LowerGatherBlockQuantized},
    {kMicrosoft, "QMoE", LowerQMoE},
    {kMicrosoft, "GroupQueryAttention", LowerGroupQueryAttention},
    {kMicrosoft, "MultiHeadAttention", LowerAttention},
    {"", "Attention", LowerAttention},
    {kMicrosoft, "RotaryEmbedding", LowerRotaryEmbedding},
    {"", "RotaryEmbedding", LowerOnnxRotaryEmbedding},
    {kMicrosoft, "SkipSimplifiedLayerNormalization", LowerSkipSimplifiedLayerNormalization},
    {kMicrosoft, "SimplifiedLayerNormalization", LowerSimplifiedLayerNormalization},
    {"", "SimplifiedLayerNormalization", LowerSimplifiedLayerNormalization},
    {"", "RMSNormalization", LowerSimplifiedLayerNormalization},
    {"", "LayerNormalization", LowerLayerNormalization},
    {"", "MatMul", LowerMatMul},
    {"", "Gather", LowerGather},
    {"", "Softmax", LowerSoftmax},
    {"", "Cast", LowerCast},
    {"", "Where", LowerWhere},
    {"", "ReduceSum", LowerReduce},
    {"", "ReduceMax", LowerReduce},
    {"", "ReduceMean", LowerReduce},
    {"", "ReduceMin", LowerReduce},
    {"", "ReduceProd", LowerReduce},
    {"", "ReduceL2", LowerReduce},
    {"", "ReduceSumSquare", LowerReduce},
    {"", "Identity", LowerView},
    {"", "Reshape", LowerView},
    {"", "Flatten", LowerView},
    {"", "Squeeze", LowerView},
    {"", "Unsqueeze", LowerView},
    {"", "Transpose", LowerTranspose},
    {"", "Slice", LowerSlice},
    {"", "Split", LowerSplit},
    {"", "Concat", LowerConcat},
    {"", "Expand", LowerExpand},
    {kMicrosoft, "QuickGelu", LowerUnary},
    {kMicrosoft, "FastGelu", LowerFastGelu},
    {kMicrosoft, "Gelu", LowerUnary},
};

LowerFunction FindLowering(std::string_view domain, std::string_view op) {
  for (const OpLowering& lowering : kLowerings) {
    if (lowering.domain == domain && lowering.op == op) return lowering.lower;
  }
  return domain.empty() ? FindElementwiseLowering(op) : nullptr;
}

}  // namespace

bool CanLower(std::string_view domain, std::string_view op) {
  return FindLowering(domain, op) != nullptr;
}

Lowered Lower(const graph::Graph& graph, const Caps& caps, const ExternalPlaces& places,
              const LowerOptions& options) {
  for (const auto& [kernel, variant] : options.variants) {
    if (!IsKernel(kernel)) {
      throw Error("compile", "forced variant: got kernel '{}', want one of: {}", kernel,
                  fmt::join(Kernels(), ", "));
    }
  }
  SINTER_CHECK(options.page_entries % 4 == 0 &&
               options.page_entries <= INT32_MAX / kernels::kPageRows);
  LowerContext context(graph, caps, places, options);
  size_t index = 0;
  for (const auto& node : graph.nodes()) {
    const LowerFunction lower = FindLowering(node->domain(), node->op());
    if (lower == nullptr) {
      throw Error("compile", "{}: got an operator without a GPU kernel, want a supported one",
                  node->Describe());
    }
    context.Begin(*node, index++);
    try {
      lower(context);
    } catch (const kernels::UnknownVariant& error) {
      throw kernels::UnknownVariant("compile",
                                    fmt::format("{}: {}", node->Describe(), error.what()),
                                    error.variant(), error.known());
    } catch (const Error& error) {
      // Errors of kernels do not name the node; those of other areas do.
      if (error.area() != "kernels") throw;
      throw Error("compile", "{}: {}", node->Describe(), error.what());
    }
  }
  context.AddEmptyOutputs(graph);
  Lowered lowered = context.Take();
  if (options.chain) ChainProducts(lowered, caps, options.variants, options.choices);
  return lowered;
}

}  // namespace sinter::compile
