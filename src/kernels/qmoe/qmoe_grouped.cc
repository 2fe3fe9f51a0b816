// Plans of QMoE for many tokens, grouped by expert.

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "kernels/common/plan_util.h"
#include "kernels/qmoe/qmoe.h"
#include "kernels/qmoe/qmoe_layer.h"

namespace sinter::kernels {
namespace {

constexpr uint32_t kThreads = 256;
// Number of counters, one per expert, in workgroup memory.
constexpr uint32_t kMaxExperts = 1024;

// Mirrors struct Params in qmoe_group.wgsl.
struct GroupParams {
  uint32_t slots, top_k, tiles, pad;
};
static_assert(sizeof(GroupParams) == 16);

// Mirrors struct Params in qmoe_grouped_rows.wgsl.
struct RowsParams {
  uint32_t elems, width, top_k, grid_x;
  float alpha, beta, limit;
  uint32_t pad;
};
static_assert(sizeof(RowsParams) == 32);

MatMulNBitsShape Product(const QMoEShape& shape, const qmoe::Layer& layer) {
  MatMulNBitsShape product;
  product.m = static_cast<uint32_t>(QMoEGroupedRows(shape));
  product.n = layer.rows;
  product.k = layer.k;
  product.bits = shape.bits;
  product.block_size = shape.block_size;
  product.dtype = shape.dtype;
  product.zero_points = layer.zero_points ? ZeroPoints::kPacked : ZeroPoints::kDefault;
  product.bias = layer.bias;
  product.experts = shape.experts;
  return product;
}

KernelPlan PlanRows(const Caps& caps, const QMoEShape& shape, std::string_view what, uint64_t rows,
                    uint32_t width, std::string_view variant) {
  qmoe::CheckShape(shape);
  PickVariant(fmt::format("qmoe_{}", what), variant, "", {""});
  const std::string_view act = FloatWgslType(caps, "QMoE", shape.dtype);
  const bool gated = shape.activation == QMoEActivation::kSwiGlu;
  const uint32_t gate = gated ? static_cast<uint32_t>(shape.fusion) : 0;
  KernelPlan plan;
  plan.wgsl = "qmoe/qmoe_grouped_rows.wgsl";
  plan.prelude = fmt::format("alias act_t = {};\n", act);
  plan.variant = fmt::format("qmoe_{}.{}", what, act);
  if (what == "activate") {
    plan.prelude += fmt::format(
        "const kInterleaved = 1u;\nconst kHalves = 2u;\nconst kGate = {}u;\nconst kRelu = 0u;\n"
        "const kGelu = 1u;\nconst kSilu = 2u;\nconst kActivation = {}u;\n",
        gate, static_cast<uint32_t>(shape.activation));
    plan.variant += fmt::format(".{}{}", qmoe::ActivationName(shape.activation), gate);
  }
  plan.defines.emplace_back(what == "grouped_mix" ? "mix" : what);
  if (act == "f16") plan.defines.emplace_back("f16");
  const uint64_t elems = rows * width;
  SINTER_CHECK(elems <= std::numeric_limits<uint32_t>::max() / 4, "{} rows of {}", rows, width);
  plan.workgroups = FoldGrid(caps, (elems + kThreads - 1) / kThreads);
  plan.SetParams(RowsParams{.elems = static_cast<uint32_t>(elems),
                            .width = width,
                            .top_k = shape.top_k,
                            .grid_x = plan.workgroups[0],
                            .alpha = shape.alpha,
                            .beta = shape.beta,
                            // WGSL implementations need not support infinities.
                            .limit = std::min(shape.limit, std::numeric_limits<float>::max()),
                            .pad = 0});
  return plan;
}

}  // namespace

uint64_t QMoEGroupedRows(const QMoEShape& shape) {
  const uint64_t slots = uint64_t{shape.tokens} * shape.top_k;
  // Each expert in use has at most one tile that is not full.
  const uint64_t tiles = slots / kMatMulNBitsExpertRows + std::min<uint64_t>(slots, shape.experts);
  return tiles * kMatMulNBitsExpertRows;
}

MatMulNBitsShape QMoEGroupedGateUp(const QMoEShape& shape) {
  return Product(shape, qmoe::GateUpLayer(shape));
}

MatMulNBitsShape QMoEGroupedDown(const QMoEShape& shape) {
  return Product(shape, qmoe::DownLayer(shape));
}

Tunable QMoEGroupedTunable(const Caps& caps, const MatMulNBitsShape& product) {
  Tunable tunable = MatMulNBitsTunable(caps, product);
  // A forced variant of matmul_nbits applies to products with one weight only.
  tunable.kernel = {};
  tunable.scratch_words = 0;
  return tunable;
}

bool CanGroupQMoE(const Caps& caps, const QMoEShape& shape) {
  qmoe::CheckShape(shape);
  // Blocks must have a size that MatMulNBits supports, and rows must be whole blocks, so that they
  // have the same layout.
  if (shape.block_size == 0 || shape.block_size > 256 || shape.hidden % shape.block_size != 0 ||
      shape.intermediate % shape.block_size != 0) {
    return false;
  }
  if (shape.experts > kMaxExperts || shape.expert_count != 0) return false;
  if (SplitQMoEGateUp(caps, shape).size() > 1 || SplitQMoEDown(caps, shape).size() > 1)
    return false;
  // Activations must also fit one binding each, and their indices 32 bits.
  const uint64_t width = std::max(shape.fc1_rows(), shape.hidden);
  const uint64_t elem_bytes = DTypeBits(DeviceDType(caps, shape.dtype)) / 8;
  return QMoEGroupedRows(shape) * width * elem_bytes <= caps.limits.max_storage_binding_bytes &&
         QMoEGroupedRows(shape) * width <= std::numeric_limits<uint32_t>::max() / 4;
}

KernelPlan PlanQMoEGroup(const Caps& caps, const QMoEShape& shape, std::string_view variant) {
  qmoe::CheckShape(shape);
  PickVariant("qmoe_group", variant, "", {""});
  SINTER_CHECK(CanGroupQMoE(caps, shape), "{} experts", shape.experts);
  KernelPlan plan;
  plan.wgsl = "qmoe/qmoe_group.wgsl";
  plan.prelude = fmt::format("const kExperts = {}u;\n", shape.experts);
  plan.variant = fmt::format("qmoe_group.of{}", shape.experts);
  plan.SetParams(
      GroupParams{.slots = shape.tokens * shape.top_k,
                  .top_k = shape.top_k,
                  .tiles = static_cast<uint32_t>(QMoEGroupedRows(shape) / kMatMulNBitsExpertRows),
                  .pad = 0});
  return plan;
}

KernelPlan PlanQMoEGather(const Caps& caps, const QMoEShape& shape, std::string_view variant) {
  return PlanRows(caps, shape, "gather", QMoEGroupedRows(shape), shape.hidden, variant);
}

KernelPlan PlanQMoEActivate(const Caps& caps, const QMoEShape& shape, std::string_view variant) {
  return PlanRows(caps, shape, "activate", QMoEGroupedRows(shape), shape.intermediate, variant);
}

KernelPlan PlanQMoEGroupedMix(const Caps& caps, const QMoEShape& shape, std::string_view variant) {
  return PlanRows(caps, shape, "grouped_mix", shape.tokens, shape.hidden, variant);
}

}  // namespace sinter::kernels
