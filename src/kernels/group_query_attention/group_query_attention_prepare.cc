#include "kernels/group_query_attention/group_query_attention_prepare.h"

#include <fmt/format.h>

#include <bit>

#include "base/check.h"
#include "kernels/common/plan_util.h"

namespace sinter::kernels {
namespace {

constexpr std::string_view kPrepareName = "group_query_attention_prepare",
                           kBySubgroups = "sg.wg128";
constexpr uint32_t kMaxPrepareHeadSize = 512;
constexpr uint32_t kPrepareWorkgroupSize = 128;

uint32_t Lanes(const GroupQueryAttentionDecodeShape& shape) {
  return std::bit_ceil(shape.attention.head_size / 8);
}

bool HasPositionIds(const GroupQueryAttentionDecodeShape& shape) {
  return shape.rotary_dim > 0 && shape.positions == RotaryPositions::kPositionIds;
}

}  // namespace

std::vector<std::string> GroupQueryAttentionPrepareVariants(
    const Caps& caps, const GroupQueryAttentionDecodeShape& shape) {
  const GroupQueryAttentionShape& attention = shape.attention;
  const uint32_t buffers = 5u + (shape.packed ? 0 : 2) + (shape.rotary_dim > 0 ? 2 : 0) +
                           (shape.has_norm ? 2 : 0) + HasPositionIds(shape) +
                           (attention.page_entries > 0);
  if (attention.head_size == 0 || attention.head_size % 8 != 0 ||
      attention.head_size > kMaxPrepareHeadSize || shape.rotary_dim / 2 % 8 != 0 ||
      buffers > caps.limits.max_storage_buffers_per_stage) {
    return {};
  }
  std::vector<std::string> variants;
  if (caps.subgroups && Lanes(shape) <= std::min(caps.subgroup_min_size, 32u))
    variants.emplace_back(kBySubgroups);
  variants.push_back("wg128");
  return variants;
}

KernelPlan PlanGroupQueryAttentionPrepare(const Caps& caps,
                                          const GroupQueryAttentionDecodeShape& shape,
                                          std::string_view variant) {
  const GroupQueryAttentionShape& attention = shape.attention;
  const std::string_view act = FloatWgslType(caps, kPrepareName, attention.dtype);
  const std::vector<std::string> variants = GroupQueryAttentionPrepareVariants(caps, shape);
  const std::string picked =
      PickVariant(kPrepareName, variant, variants.empty() ? "none" : variants[0], variants);
  SINTER_CHECK(shape.positions != RotaryPositions::kOffset && shape.rotary_rows > 0);
  const uint32_t cols = attention.head_size / 8;

  KernelPlan plan;
  plan.wgsl = "group_query_attention/group_query_attention_prepare.wgsl";
  plan.variant =
      fmt::format("{}.{}.b{}.q{}.n{}.kv{}.h{}", kPrepareName, act, attention.batch,
                  attention.sequence, attention.heads, attention.kv_heads, attention.head_size);
  plan.defines = {"pairs1"};
  const auto define = [&](bool on, const char* name) {
    if (!on) return;
    plan.variant += fmt::format(".{}", name);
    plan.defines.push_back(name);
  };
  if (shape.rotary_dim > 0) {
    plan.defines.push_back("rotary");
    plan.variant +=
        fmt::format(".{}{}", shape.interleaved ? "interleaved" : "rotary", shape.rotary_dim);
  }
  define(HasPositionIds(shape), "position_ids");
  define(shape.packed, "packed");
  define(shape.has_norm, "norm");
  define(attention.page_entries > 0, "pages");
  plan.variant += "." + picked;
  if (act == "f16") plan.defines.push_back("f16");
  if (picked == kBySubgroups) plan.defines.push_back("subgroups");
  plan.prelude = GroupQueryAttentionInputsPrelude(shape, /*pairs=*/1, act == "f16");
  plan.prelude += fmt::format(
      "const kBatch = {}u;\nconst kUnits = 1u;\nconst kWorkgroupSize = {}u;\nconst kLanes = {}u;\n",
      attention.batch, kPrepareWorkgroupSize, Lanes(shape));

  const uint32_t teams = kPrepareWorkgroupSize / Lanes(shape);
  const uint64_t items =
      uint64_t{attention.batch} * attention.sequence * (attention.heads + 2 * attention.kv_heads);
  plan.workgroups = FoldGrid(caps, (items + teams - 1) / teams);
  plan.SetParams(GroupQueryAttentionPrepareParams{
      .capacity = attention.rows(),
      .local_window = 0,
      .rotary_rows = shape.rotary_rows,
      .q_row = shape.row() / 8,
      .kv_row = shape.packed ? shape.row() / 8 : attention.kv_heads * cols,
      .k_offset = attention.heads * cols,
      .v_offset = (attention.heads + attention.kv_heads) * cols,
      .grid_x = plan.workgroups[0],
      .epsilon = shape.epsilon,
      .head_rows = attention.capacity,
      .pad = {}});
  return plan;
}

}  // namespace sinter::kernels
