// Plans of the decode form of QMoE's layers. qmoe_decode.wgsl has the maths.

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "kernels/common/plan_util.h"
#include "kernels/qmoe/qmoe.h"
#include "kernels/qmoe/qmoe_layer.h"

namespace sinter::kernels {
namespace {

using qmoe::ActivationName;
using qmoe::Layer;

// Parameters that change the result only by rounding.
struct Tuning {
  uint32_t workgroup, rows;
  bool f16_math;

  std::string name() const {
    return fmt::format("decode.wg{}.r{}{}", workgroup, rows, f16_math ? "" : ".f32");
  }
};

// Name by which the grouped form is forced.
constexpr std::string_view kGrouped = "grouped";

// Constants of qmoe_decode.wgsl.
struct QMoECut {
  uint32_t lanes, chunk_words, chunks, slots, phase_slots, block;
};

// Mirrors struct Params in qmoe_decode.wgsl.
struct QMoEDecodeParams {
  float alpha, beta, limit;
  uint32_t pad;
};
static_assert(sizeof(QMoEDecodeParams) == 16);

Layer LayerOf(const QMoEShape& shape, bool gate_up) {
  return gate_up ? qmoe::GateUpLayer(shape) : qmoe::DownLayer(shape);
}

// Returns nothing if the layer does not fit.
std::optional<QMoECut> CutWork(const Caps& caps, const QMoEShape& shape, bool gate_up,
                               const Tuning& tuning) {
  const Layer layer = LayerOf(shape, gate_up);
  const Limits& limits = caps.limits;
  if (tuning.workgroup > limits.max_invocations_per_workgroup ||
      tuning.workgroup > limits.max_workgroup_size_x) {
    return std::nullopt;
  }
  const uint32_t buffers =
      5 + (layer.zero_points ? 1 : 0) + (layer.bias ? 1 : 0) + (gate_up ? 0 : 1);
  if (buffers > limits.max_storage_buffers_per_stage) return std::nullopt;
  QMoECut cut = {};
  cut.lanes = caps.subgroups ? std::clamp(caps.subgroup_min_size, 1u, 32u) : 32;
  cut.chunk_words = qmoe::ChunkWords(shape, layer);
  // Rows must be whole octets of x; with 8 bits an octet is two words.
  if (cut.chunk_words == 0 || layer.k % 8 != 0) return std::nullopt;
  if (tuning.f16_math && cut.chunk_words * 32 / shape.bits < 8) return std::nullopt;
  cut.chunks = layer.row_bytes(shape) / 4 / cut.chunk_words;
  cut.slots = gate_up ? 1 : shape.top_k;

  uint64_t used = 8 * uint64_t{cut.slots};
  if (!caps.subgroups) used += uint64_t{tuning.workgroup / cut.lanes} * (cut.lanes + 1) * 16;
  const uint64_t row_bytes = uint64_t{layer.k} * (tuning.f16_math ? 2 : 4);
  if (used + row_bytes > limits.max_workgroup_storage_bytes) return std::nullopt;
  const uint64_t fit = (limits.max_workgroup_storage_bytes - used) / row_bytes;
  const uint32_t phases = static_cast<uint32_t>((cut.slots + fit - 1) / fit);
  // All phases have the same number of slots.
  cut.phase_slots = (cut.slots + phases - 1) / phases;
  while (cut.slots % cut.phase_slots != 0) --cut.phase_slots;
  // 4 rows of 3 chunks are 192 bytes in flight per thread, and as many that it computes with.
  const uint32_t phase_steps = cut.phase_slots * ((cut.chunks + cut.lanes - 1) / cut.lanes);
  for (cut.block = tuning.rows == 4 ? 3 : 4; phase_steps % cut.block != 0; --cut.block) {
  }
  return cut;
}

// Returns whether the weights of all experts fit the bindings.
bool FitsBindings(const Caps& caps, const QMoEShape& shape) {
  return shape.expert_count == 0 && SplitQMoEGateUp(caps, shape).size() == 1 &&
         SplitQMoEDown(caps, shape).size() == 1;
}

// Returns the tunings of all shapes and adapters, the best guess first.
std::vector<Tuning> AllTunings() {
  std::vector<Tuning> tunings;
  for (const bool f16_math : {true, false}) {
    for (const uint32_t rows : {4u, 2u}) {
      for (const uint32_t workgroup : {128u, 256u, 64u})
        tunings.push_back({workgroup, rows, f16_math});
    }
  }
  return tunings;
}

std::vector<Tuning> Tunings(const Caps& caps, const QMoEShape& shape) {
  qmoe::CheckShape(shape);
  if (!FitsBindings(caps, shape)) return {};
  const bool f16_math = caps.f16 && shape.dtype == DType::kF16 && shape.bits != 2;
  std::vector<Tuning> tunings = AllTunings();
  std::erase_if(tunings, [&](const Tuning& tuning) {
    return (tuning.f16_math && !f16_math) || !CutWork(caps, shape, true, tuning) ||
           !CutWork(caps, shape, false, tuning);
  });
  return tunings;
}

Tuning Pick(const Caps& caps, const QMoEShape& shape, std::string_view variant) {
  const std::vector<Tuning> tunings = Tunings(caps, shape);
  for (const Tuning& tuning : tunings) {
    if (variant.empty() || tuning.name() == variant) return tuning;
  }
  ThrowUnknownVariant("qmoe", variant, QMoEDecodeVariants(caps, shape));
}

KernelPlan PlanDecode(const Caps& caps, const QMoEShape& shape, bool gate_up,
                      std::string_view variant) {
  const std::string_view act = FloatWgslType(caps, "QMoE", shape.dtype);
  const Tuning tuning = Pick(caps, shape, variant);
  const Layer layer = LayerOf(shape, gate_up);
  const QMoECut cut = *CutWork(caps, shape, gate_up, tuning);
  const QMoEActivation activation = gate_up ? shape.activation : QMoEActivation::kIdentity;
  const bool gated = activation == QMoEActivation::kSwiGlu;
  const bool interleaved = gated && shape.fusion == SwiGluFusion::kInterleaved;
  const std::string_view hidden = tuning.f16_math ? "f16" : "f32";
  const uint32_t parts = gated ? 2 : 1;

  KernelPlan plan;
  plan.wgsl = "qmoe/qmoe_decode.wgsl";
  plan.prelude = fmt::format(
      "alias act_t = {};\nalias x_t = {};\nalias out_t = {};\nalias unit_t = {};\n"
      "const kBits = {}u;\nconst kBlockSize = {}u;\nconst kBlocks = {}u;\nconst kK = {}u;\n"
      "const kChunkWords = {}u;\nconst kChunks = {}u;\nconst kWorkgroup = {}u;\n"
      "const kLanes = {}u;\nconst kRows = {}u;\nconst kPrefetch = {}u;\nconst kSlots = {}u;\n"
      "const kPhaseSlots = {}u;\nconst kSlotsPerX = {}u;\nconst kExpertRows = {}u;\n"
      "const kAllOutputs = {}u;\nconst kExperts = {}u;\nconst kRowsPerOutput = {}u;\n"
      "const kCodeUnit = {}.0;\n"
      "const kZeroPointsRowBits = {}u;\nconst kZeroPointsExpertBytes = {}u;\n"
      "const kRelu = 0u;\nconst kGelu = 1u;\nconst kSilu = 2u;\nconst kActivation = {}u;\n",
      act, gate_up ? act : "f32", gate_up ? hidden : act,
      cut.chunk_words == 1 ? "u32" : fmt::format("vec{}<u32>", cut.chunk_words), shape.bits,
      shape.block_size == 0 ? layer.k : shape.block_size, layer.blocks(shape), layer.k,
      cut.chunk_words, cut.chunks, tuning.workgroup, cut.lanes, tuning.rows, cut.block, cut.slots,
      cut.phase_slots, gate_up ? shape.top_k : 1, layer.rows, layer.outputs, shape.experts, parts,
      tuning.f16_math ? 1u << shape.bits : 1u, layer.zero_points_row_bits(shape),
      layer.zero_points_expert_bytes(shape), static_cast<uint32_t>(activation));
  std::string tag =
      fmt::format("qmoe_{}.{}.b{}.blk{}.k{}of{}.{}x{}", gate_up ? "gate_up" : "down", act,
                  shape.bits, shape.block_size, shape.top_k, shape.experts, layer.outputs, layer.k);
  const auto define = [&](bool condition, std::string_view name, std::string_view suffix = "") {
    if (!condition) return;
    plan.defines.emplace_back(name);
    if (!suffix.empty()) tag += fmt::format(".{}", suffix);
  };
  if (gate_up) tag += fmt::format(".{}", ActivationName(activation));
  define(gated && interleaved, "gate_interleaved", "interleaved");
  define(gated && !interleaved, "gate_halves", "halves");
  define(!gated, "no_gate");
  define(!gate_up, "down");
  define(layer.zero_points, "zero_points", "zp");
  define(layer.bias, "bias", "bias");
  define(act == "f16", "f16");
  define(caps.subgroups, "subgroups");
  define(cut.chunk_words == 1, "chunk1");
  define(tuning.f16_math, "f16_math");
  define(tuning.f16_math, shape.bits == 4 ? "f16_bits4" : "f16_bits8");
  define(tuning.f16_math && gate_up, "hidden_f16");
  plan.variant =
      fmt::format("{}.{}.{}{}", tag, tuning.name(), caps.subgroups ? "sg" : "wg", cut.lanes);
  const uint32_t group_outputs = tuning.workgroup / cut.lanes * tuning.rows / parts;
  plan.workgroups = {(layer.outputs + group_outputs - 1) / group_outputs,
                     shape.tokens * (gate_up ? shape.top_k : 1), 1};
  // WGSL implementations need not support infinities, and no finite value exceeds the largest
  // float.
  plan.SetParams(QMoEDecodeParams{.alpha = shape.alpha,
                                  .beta = shape.beta,
                                  .limit = std::min(shape.limit, std::numeric_limits<float>::max()),
                                  .pad = 0});
  return plan;
}

Tunable DecodeTunable(const Caps& caps, const QMoEShape& shape, bool gate_up) {
  const auto variants = [=] {
    const bool f16_math = Pick(caps, shape, "").f16_math;
    std::vector<std::string> names;
    for (const Tuning& tuning : Tunings(caps, shape)) {
      if (tuning.f16_math == f16_math) names.push_back(tuning.name());
    }
    return names;
  };
  return {
      .kernel = "qmoe",
      .sizes = fmt::format("{} tokens", shape.tokens),
      .variants = variants,
      .plan = [=](std::string_view variant) { return PlanDecode(caps, shape, gate_up, variant); }};
}

}  // namespace

std::vector<std::string> QMoEDecodeVariants(const Caps& caps, const QMoEShape& shape) {
  std::vector<std::string> names;
  for (const Tuning& tuning : Tunings(caps, shape)) names.push_back(tuning.name());
  return names;
}

QMoEForm QMoEFormOf(const Caps& caps, std::string_view variant) {
  std::vector<std::string> known = QMoEExpertVariants(caps);
  if (std::ranges::find(known, variant) != known.end()) return QMoEForm::kBySlot;
  if (variant == kGrouped) return QMoEForm::kGrouped;
  for (const Tuning& tuning : AllTunings()) known.push_back(tuning.name());
  if (std::ranges::find(known, variant) != known.end()) return QMoEForm::kDecode;
  known.emplace_back(kGrouped);
  ThrowUnknownVariant("qmoe", variant, known);
}

Tunable QMoEGateUpDecodeTunable(const Caps& caps, const QMoEShape& shape) {
  return DecodeTunable(caps, shape, /*gate_up=*/true);
}

Tunable QMoEDownDecodeTunable(const Caps& caps, const QMoEShape& shape) {
  return DecodeTunable(caps, shape, /*gate_up=*/false);
}

KernelPlan PlanQMoEGateUpDecode(const Caps& caps, const QMoEShape& shape,
                                std::string_view variant) {
  return PlanDecode(caps, shape, true, variant);
}

KernelPlan PlanQMoEDownDecode(const Caps& caps, const QMoEShape& shape, std::string_view variant) {
  return PlanDecode(caps, shape, false, variant);
}

DType QMoEDecodeHiddenDType(const Caps& caps, const QMoEShape& shape, std::string_view variant) {
  return Pick(caps, shape, variant).f16_math ? DType::kF16 : DType::kF32;
}

}  // namespace sinter::kernels
