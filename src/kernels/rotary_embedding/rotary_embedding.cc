#include "kernels/rotary_embedding/rotary_embedding.h"

#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"
#include "kernels/common/plan_util.h"

namespace sinter::kernels {

std::vector<std::string> RotaryEmbeddingVariants(const Caps& caps) {
  return WorkgroupVariantNames(caps, {64});
}

KernelPlan PlanRotaryEmbedding(const Caps& caps, const RotaryEmbeddingShape& shape,
                               std::string_view variant) {
  const std::string_view act = FloatWgslType(caps, "rotary_embedding", shape.dtype);
  const std::string_view norm = FloatWgslType(caps, "rotary_embedding", shape.norm_dtype);
  const WorkgroupVariant picked = PickWorkgroupVariant(caps, "rotary_embedding", variant, 64, {64});
  if (shape.rotary_dim % 2 != 0 || shape.rotary_dim > shape.head_size) {
    throw Error("kernels",
                "rotary_embedding_dim: got {}, want an even number up to the head size {}",
                shape.rotary_dim, shape.head_size);
  }
  if (shape.output_is_cache && shape.output_layout != HeadLayout::kBNSH) {
    throw Error("kernels", "layout of the KV cache: got BSNH, want BNSH");
  }
  SINTER_CHECK(shape.page_entries == 0 || shape.output_is_cache);
  SINTER_CHECK(shape.head_size > 0 && shape.heads > 0 && shape.cache_rows > 0);
  const bool rotary = shape.rotary_dim > 0;

  KernelPlan plan;
  plan.wgsl = "rotary_embedding/rotary_embedding.wgsl";
  plan.variant = fmt::format("rotary_embedding.{}", act);
  const auto define = [&](bool on, const char* name) {
    if (!on) return;
    plan.variant += fmt::format(".{}", name);
    plan.defines.push_back(name);
  };
  define(rotary, "rotary");
  if (rotary) {
    if (shape.interleaved) plan.variant += ".interleaved";
    define(shape.positions == RotaryPositions::kSeqlens, "position_seqlens");
    define(shape.positions == RotaryPositions::kPositionIds, "position_ids");
    define(shape.positions == RotaryPositions::kOffset, "position_offset");
  }
  define(shape.NeedsSeqlens(), "seqlens");
  define(shape.output_is_cache, "cache");
  define(shape.page_entries > 0, "pages");
  define(shape.has_norm, "norm");
  if (shape.has_norm) plan.variant += fmt::format(".{}", norm);
  plan.variant += fmt::format(".{}", picked.name());
  if (act == "f16" || (shape.has_norm && norm == "f16")) plan.defines.push_back("f16");
  if (picked.subgroups) plan.defines.push_back("subgroups");
  plan.prelude = fmt::format("alias act_t = {};\nconst kWorkgroupSize = 64u;\n", act);
  if (shape.has_norm) plan.prelude += fmt::format("alias norm_t = {};\n", norm);
  if (rotary) {
    plan.prelude += fmt::format("const kInterleaved = {};\n", shape.interleaved);
  }
  plan.workgroups = FoldGrid(caps, uint64_t{shape.batch} * shape.sequence * shape.heads);

  RotaryEmbeddingParams params{.batch = shape.batch,
                               .sequence = shape.sequence,
                               .heads = shape.heads,
                               .head_size = shape.head_size,
                               .rotary_half = shape.rotary_dim / 2,
                               .cache_rows = shape.cache_rows,
                               .grid_x = plan.workgroups[0],
                               .input_offset = shape.input_offset,
                               .epsilon = shape.epsilon,
                               .padding = {}};
  const uint32_t hidden = shape.heads * shape.head_size;
  if (shape.input_layout == HeadLayout::kBSNH) {
    params.input_sequence = shape.input_row == 0 ? hidden : shape.input_row;
    params.input_batch = shape.sequence * params.input_sequence;
    params.input_head = shape.head_size;
  } else {
    params.input_sequence = shape.head_size;
    params.input_batch = shape.sequence * hidden;
    params.input_head = shape.sequence * shape.head_size;
  }
  params.head_rows = shape.output_rows == 0 ? shape.sequence : shape.output_rows;
  params.capacity = SequenceRows(params.head_rows, shape.page_entries);
  params.output_batch = params.head_rows * hidden;
  if (shape.output_layout == HeadLayout::kBSNH) {
    params.output_sequence = hidden;
    params.output_head = shape.head_size;
  } else {
    params.output_sequence = shape.head_size;
    params.output_head = params.head_rows * shape.head_size;
  }
  plan.SetParams(params);
  return plan;
}

}  // namespace sinter::kernels
