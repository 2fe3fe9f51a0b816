#include "kernels/group_query_attention/group_query_attention.h"

#include <fmt/format.h>

#include <cmath>

#include "base/check.h"
#include "base/error.h"
#include "kernels/common/plan_util.h"

namespace sinter::kernels {
namespace {

constexpr std::string_view kName = "group_query_attention";
constexpr uint32_t kMaxHeadSize = 1024;
// 512 is a column of 4 for each of the 128 threads.
constexpr uint32_t kMaxPrefillHeadSize = 512;
constexpr uint32_t kPrefillRows = 16;  // kRows in group_query_attention_prefill.wgsl
// From here on most of a prefill tile is used even without grouped heads.
constexpr uint32_t kPrefillFromSequence = 8;

bool PrefillFits(const GroupQueryAttentionShape& shape) {
  return shape.head_size % 4 == 0 && shape.head_size <= kMaxPrefillHeadSize;
}

}  // namespace

std::vector<std::string> GroupQueryAttentionVariants(const gpu::Caps& caps,
                                                     const GroupQueryAttentionShape& shape) {
  std::vector<std::string> variants = WithSubgroupVariants(caps, {"row"});
  if (PrefillFits(shape)) variants.push_back("prefill");
  return variants;
}

KernelPlan PlanGroupQueryAttention(const gpu::Caps& caps, const GroupQueryAttentionShape& shape,
                                   std::string_view variant) {
  const std::string_view act = FloatWgslType(caps, kName, shape.dtype);
  if (shape.kv_heads == 0 || shape.heads == 0 || shape.heads % shape.kv_heads != 0) {
    throw Error("kernels",
                "num_heads of GroupQueryAttention: got {}, want a multiple of kv_num_heads {}",
                shape.heads, shape.kv_heads);
  }
  if (shape.head_size == 0 || shape.head_size > kMaxHeadSize) {
    throw Error("kernels", "head size of GroupQueryAttention: got {}, want 1 to {}",
                shape.head_size, kMaxHeadSize);
  }
  SINTER_CHECK(shape.bias_batch == 1 || shape.bias_batch == shape.batch);
  SINTER_CHECK(shape.bias_heads == 1 || shape.bias_heads == shape.heads);
  const bool many_rows = shape.sequence >= kPrefillFromSequence && PrefillFits(shape);
  const std::string picked = PickVariant(kName, variant,
                                         many_rows        ? "prefill"
                                         : caps.subgroups ? "row.sg"
                                                          : "row",
                                         GroupQueryAttentionVariants(caps, shape));
  const bool prefill = picked == "prefill";
  const bool vec4 = shape.head_size % 4 == 0;
  const uint32_t vec = vec4 ? 4 : 1;

  KernelPlan plan;
  plan.wgsl = prefill ? "group_query_attention/group_query_attention_prefill.wgsl"
                      : "group_query_attention/group_query_attention_row.wgsl";
  plan.variant = fmt::format("{}.{}.h{}", kName, act, shape.head_size);
  const auto define = [&](bool on, const char* name) {
    if (!on) return;
    plan.variant += fmt::format(".{}", name);
    plan.defines.push_back(name);
  };
  define(shape.has_head_sink, "head_sink");
  define(shape.smooth_softmax && !shape.has_head_sink, "smooth");
  define(shape.bias_total > 0, "bias");
  plan.variant += "." + picked;
  if (vec4) plan.defines.push_back("vec4");
  if (act == "f16") plan.defines.push_back("f16");
  if (picked.ends_with(".sg")) plan.defines.push_back("subgroups");
  plan.prelude = fmt::format(
      "alias act_t = {};\nalias act_v = {};\nalias acc_v = {};\nconst kVec = {}u;\nconst kCols = "
      "{}u;\n",
      act, vec4 ? fmt::format("vec4<{}>", act) : std::string(act), vec4 ? "vec4<f32>" : "f32", vec,
      shape.head_size / vec);
  if (!prefill) plan.prelude += "const kWorkgroupSize = 128u;\n";

  GroupQueryAttentionParams params{
      .batch = shape.batch,
      .sequence = shape.sequence,
      .heads = shape.heads,
      .kv_heads = shape.kv_heads,
      .capacity = shape.capacity,
      .local_window = shape.local_window > 0 ? static_cast<uint32_t>(shape.local_window) : 0,
      .bias_total = shape.bias_total,
      .scale = shape.scale == 0 ? 1 / std::sqrt(static_cast<float>(shape.head_size)) : shape.scale,
      .softcap = shape.softcap};
  const uint32_t hidden = shape.heads * shape.head_size;
  params.q_batch = shape.sequence * hidden;
  if (shape.q_layout == HeadLayout::kBSNH) {
    params.q_sequence = hidden;
    params.q_head = shape.head_size;
  } else {
    params.q_sequence = shape.head_size;
    params.q_head = shape.sequence * shape.head_size;
  }
  const uint32_t bias_plane = shape.sequence * shape.bias_total;
  params.bias_batch = shape.bias_batch == 1 ? 0 : shape.bias_heads * bias_plane;
  params.bias_head = shape.bias_heads == 1 ? 0 : bias_plane;
  const uint32_t pairs = shape.sequence * (shape.heads / shape.kv_heads);
  params.tiles = (pairs + kPrefillRows - 1) / kPrefillRows;
  plan.workgroups = FoldGrid(caps, prefill ? uint64_t{shape.batch} * shape.kv_heads * params.tiles
                                           : uint64_t{shape.batch} * shape.heads * shape.sequence);
  params.grid_x = plan.workgroups[0];
  plan.SetParams(params);
  return plan;
}

}  // namespace sinter::kernels
