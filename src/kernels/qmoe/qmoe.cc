#include "kernels/qmoe/qmoe.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "base/error.h"
#include "kernels/common/plan_util.h"
#include "kernels/qmoe/qmoe_layer.h"

namespace sinter::kernels {
namespace {

using qmoe::ActivationName;
using qmoe::CheckShape;
using qmoe::ChunkWords;
using qmoe::DownLayer;
using qmoe::GateUpLayer;
using qmoe::Layer;

constexpr uint32_t kExpertWorkgroup = 128;
constexpr uint32_t kExpertRows = 4;  // rows of the weight per team
constexpr uint32_t kMixWorkgroup = 64;

KernelPlan PlanExpert(const Caps& caps, const QMoEShape& shape, bool gate_up,
                      std::string_view variant) {
  CheckShape(shape);
  const std::string picked =
      PickVariant("qmoe", variant, caps.subgroups ? "sg" : "wg", QMoEExpertVariants(caps));
  const bool subgroups = picked == "sg";
  const Layer layer = gate_up ? GateUpLayer(shape) : DownLayer(shape);
  const std::string_view act = FloatWgslType(caps, "QMoE", shape.dtype);
  const QMoEActivation activation = gate_up ? shape.activation : QMoEActivation::kIdentity;
  const bool swiglu = activation == QMoEActivation::kSwiGlu;
  const bool interleaved = swiglu && shape.fusion == SwiGluFusion::kInterleaved;
  const uint32_t chunk_words = ChunkWords(shape, layer);
  const bool unaligned = chunk_words == 0;
  const bool x_vec4 = layer.k % 4 == 0;
  const uint32_t lanes = subgroups ? std::clamp(caps.subgroup_min_size, 1u, 32u) : 32;
  const uint32_t parts = swiglu ? 2 : 1;
  const uint32_t outputs = kExpertRows / parts;

  KernelPlan plan;
  plan.wgsl = "qmoe/qmoe_expert.wgsl";
  plan.prelude = fmt::format(
      "alias act_t = {};\nalias x_t = {};\nalias unit_t = {};\nconst kBits = {}u;\n"
      "const kChunkWords = {}u;\nconst kWorkgroup = {}u;\nconst kLanes = {}u;\n"
      "const kRowsPerOutput = {}u;\nconst kInterleaved = {};\n"
      "const kRelu = 0u;\nconst kGelu = 1u;\nconst kSilu = 2u;\nconst kActivation = {}u;\n",
      act, gate_up ? act : "f32", chunk_words > 1 ? fmt::format("vec{}<u32>", chunk_words) : "u32",
      shape.bits, std::max(chunk_words, 1u), kExpertWorkgroup, lanes, parts, interleaved,
      static_cast<uint32_t>(activation));
  if (act == "f16") plan.defines.emplace_back("f16");
  if (subgroups) plan.defines.emplace_back("subgroups");
  if (x_vec4) plan.defines.emplace_back("x_vec4");
  plan.defines.push_back(unaligned ? "unaligned" : fmt::format("chunk{}", chunk_words));
  if (layer.zero_points) plan.defines.emplace_back("zero_points");
  if (layer.bias) plan.defines.emplace_back("bias");
  plan.variant = fmt::format(
      "qmoe_{}.{}.b{}.load{}{}{}{}{}{}.{}{}", gate_up ? "gate_up" : "down", act, shape.bits,
      chunk_words * 4, gate_up ? fmt::format(".{}", ActivationName(activation)) : "",
      swiglu ? (interleaved ? "1" : "2") : "", layer.zero_points ? ".zp" : "",
      layer.bias ? ".bias" : "", x_vec4 ? "" : ".odd", picked, lanes);

  QMoEExpertParams params = {};
  const uint64_t slots = uint64_t{shape.tokens} * shape.top_k;
  params.slots = static_cast<uint32_t>(slots);
  params.slots_per_x = gate_up ? shape.top_k : 1;
  params.rows = layer.rows;
  params.outputs = layer.outputs;
  params.k = layer.k;
  params.expert_begin = shape.expert_begin;
  params.expert_count =
      shape.expert_count == 0 ? shape.experts - shape.expert_begin : shape.expert_count;
  params.blocks = layer.blocks(shape);
  params.block_size = shape.block_size == 0 ? layer.k : shape.block_size;
  params.row_bytes = layer.row_bytes(shape);
  const uint32_t chunk_bytes = 4 * std::max(chunk_words, 1u);
  params.row_chunks = (params.row_bytes + chunk_bytes - 1) / chunk_bytes;
  params.zero_points_row_bits = layer.zero_points_row_bits(shape);
  params.zero_points_expert_bytes = layer.zero_points_expert_bytes(shape);
  params.alpha = shape.alpha;
  params.beta = shape.beta;
  // WGSL implementations need not support infinities, and no finite value exceeds the largest
  // float.
  params.limit = std::min(shape.limit, std::numeric_limits<float>::max());
  const uint64_t groups_outputs = kExpertWorkgroup / lanes * outputs;
  plan.workgroups = FoldGrid(caps, slots * ((layer.outputs + groups_outputs - 1) / groups_outputs));
  params.grid_x = plan.workgroups[0];
  plan.SetParams(params);
  return plan;
}

std::vector<RowRange> SplitExperts(const Caps& caps, const QMoEShape& shape, const Layer& layer) {
  CheckShape(shape);
  const uint64_t act_bytes = DTypeBits(DeviceDType(caps, shape.dtype)) / 8;
  const uint64_t rows = layer.rows;
  const uint64_t expert_bytes[] = {
      rows * layer.row_bytes(shape), rows * layer.blocks(shape) * act_bytes,
      layer.zero_points ? uint64_t{layer.zero_points_expert_bytes(shape)} : 0,
      layer.bias ? rows * act_bytes : 0};
  return SplitRows(caps, shape.experts, expert_bytes);
}

void OnlyVariant(std::string_view kernel, std::string_view variant) {
  PickVariant(kernel, variant, "", {""});
}

}  // namespace

std::vector<std::string> QMoEExpertVariants(const Caps& caps) {
  if (caps.subgroups) return {"wg", "sg"};
  return {"wg"};
}

KernelPlan PlanQMoERouter(const Caps& caps, const QMoEShape& shape, std::string_view variant) {
  CheckShape(shape);
  OnlyVariant("qmoe_router", variant);
  const std::string_view act = FloatWgslType(caps, "QMoE", shape.dtype);
  KernelPlan plan;
  plan.wgsl = "qmoe/qmoe_router.wgsl";
  plan.prelude = fmt::format("alias act_t = {};\nconst kTopK = {}u;\n", act, shape.top_k);
  plan.variant = fmt::format("qmoe_router.{}.k{}", act, shape.top_k);
  if (act == "f16") plan.defines.emplace_back("f16");
  plan.workgroups = FoldGrid(caps, shape.tokens);
  plan.SetParams(QMoERouterParams{.tokens = shape.tokens,
                                  .experts = shape.experts,
                                  .normalize = shape.normalize,
                                  .grid_x = plan.workgroups[0]});
  return plan;
}

KernelPlan PlanQMoEGateUp(const Caps& caps, const QMoEShape& shape, std::string_view variant) {
  return PlanExpert(caps, shape, true, variant);
}

KernelPlan PlanQMoEDown(const Caps& caps, const QMoEShape& shape, std::string_view variant) {
  return PlanExpert(caps, shape, false, variant);
}

KernelPlan PlanQMoEMix(const Caps& caps, const QMoEShape& shape, std::string_view variant) {
  CheckShape(shape);
  OnlyVariant("qmoe_mix", variant);
  const std::string_view act = FloatWgslType(caps, "QMoE", shape.dtype);
  KernelPlan plan;
  plan.wgsl = "qmoe/qmoe_mix.wgsl";
  plan.prelude = fmt::format("alias act_t = {};\n", act);
  plan.variant = fmt::format("qmoe_mix.{}", act);
  if (act == "f16") plan.defines.emplace_back("f16");
  const uint64_t threads = uint64_t{shape.tokens} * shape.hidden;
  SINTER_CHECK(threads * shape.top_k <= std::numeric_limits<uint32_t>::max());
  plan.workgroups = FoldGrid(caps, (threads + kMixWorkgroup - 1) / kMixWorkgroup);
  plan.SetParams(QMoEMixParams{.hidden = shape.hidden,
                               .top_k = shape.top_k,
                               .threads = static_cast<uint32_t>(threads),
                               .grid_x = plan.workgroups[0]});
  return plan;
}

std::vector<RowRange> SplitQMoEGateUp(const Caps& caps, const QMoEShape& shape) {
  return SplitExperts(caps, shape, GateUpLayer(shape));
}

std::vector<RowRange> SplitQMoEDown(const Caps& caps, const QMoEShape& shape) {
  return SplitExperts(caps, shape, DownLayer(shape));
}

}  // namespace sinter::kernels
