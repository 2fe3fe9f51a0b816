#include "kernels/group_query_attention/group_query_attention.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/error.h"
#include "kernels/common/plan_util.h"

namespace sinter::kernels {
namespace {

constexpr std::string_view kAttentionName = "group_query_attention", kRowBySubgroups = "row.sg";
constexpr uint32_t kMaxHeadSize = 1024;
// 512 is four columns for each of the 128 threads.
constexpr uint32_t kMaxPrefillHeadSize = 512;
constexpr uint32_t kPrefillRows = 16;  // kRows in group_query_attention_prefill.wgsl
// Number of rows from which on most of a prefill tile is used even without grouped heads.
constexpr uint32_t kPrefillFromSequence = 8;
// More keys than any cache has, and far from the end of i32 when added to a position.
constexpr int32_t kAllKeys = 1 << 30;

bool PrefillFits(const GroupQueryAttentionShape& shape) {
  return shape.head_size % 4 == 0 && shape.head_size <= kMaxPrefillHeadSize;
}

// Division of the matrix variant's work; names as in group_query_attention_matrix.wgsl.
struct MatrixLayout {
  SubgroupMatrixConfig config;
  uint32_t subgroup = 0, subgroups = 0, blocks = 0;
  bool unroll = false;
  uint32_t rows() const { return subgroups * config.m; }
  uint32_t keys() const { return blocks * config.n; }
  std::string Name() const {
    return fmt::format("matrix.r{}.k{}{}", rows(), keys(), unroll ? "" : ".loop");
  }
};

bool Fits(const Caps& caps, const GroupQueryAttentionShape& shape, const MatrixLayout& layout) {
  const uint32_t m = layout.config.m, n = layout.config.n, keys = layout.keys();
  const uint32_t threads = layout.subgroup * layout.subgroups, rows = layout.rows();
  if (shape.head_size % n != 0 || shape.head_size / n > 16 || layout.subgroup % m != 0)
    return false;
  const uint32_t lanes_per_row = layout.subgroup / m, own = keys / lanes_per_row;
  if (lanes_per_row > 8 || own > 32 || own % n != 0 || own % 8 != 0) return false;
  // A tile of keys lies in one page.
  if (shape.page_entries > 0 && kPageRows % keys != 0) return false;
  const uint32_t cols = shape.head_size / 8, stride = cols + 1;
  if ((keys * cols + threads - 1) / threads > 8) return false;
  const uint32_t front = std::max(keys * stride, rows * (keys / 4 + 1));
  const uint32_t back = std::max(keys * stride, rows * (n / 4 + 1));
  const uint32_t memory =
      layout.unroll ? std::max(front + back, rows * stride) : front + back + rows * stride;
  return memory * 16 + 16 <= caps.limits.max_workgroup_storage_bytes &&
         threads <= caps.limits.max_invocations_per_workgroup &&
         threads <= caps.limits.max_workgroup_size_x;
}

// Returns the layouts that fit, the default first.
std::vector<MatrixLayout> MatrixLayouts(const Caps& caps, const GroupQueryAttentionShape& shape) {
  std::vector<MatrixLayout> layouts;
  MatrixLayout layout{.subgroup = caps.fixed_subgroup_size()};
  if (layout.subgroup == 0 || !caps.f16 || shape.dtype != DType::kF16) return layouts;
  // Takes the largest product of f16 with f32 sums that has as many columns as it is deep, so that
  // weights and values need no other shape than queries and keys.
  for (const SubgroupMatrixConfig& config : caps.subgroup_matrix) {
    if (config.component != DType::kF16 || config.result != DType::kF32) continue;
    if (config.n != config.k || config.n % 8 != 0) continue;
    if (config.m * config.n > layout.config.m * layout.config.n) layout.config = config;
  }
  if (layout.config.m == 0) return layouts;
  // Small matrices are many: 16 x 4 unrolled products of 8x8 take a CPU's compiler a minute, so
  // there loops come first. Otherwise tiles with few keys come first: an NVIDIA multiprocessor has
  // about 52 KiB of workgroup memory for all of its workgroups, and two or three of them hide each
  // other's waiting.
  const bool small = layout.config.n < 16;
  for (const bool unroll : {!small, small}) {
    if (unroll && small && shape.head_size > 64) continue;
    for (const uint32_t subgroups : {4u, 8u}) {
      for (const uint32_t blocks : {2u, 4u}) {
        if (unroll == small && (subgroups > 4 || blocks > 2)) continue;
        layout.unroll = unroll;
        layout.subgroups = subgroups;
        layout.blocks = blocks;
        if (Fits(caps, shape, layout)) layouts.push_back(layout);
      }
    }
  }
  return layouts;
}

}  // namespace

std::vector<std::string> GroupQueryAttentionVariants(const Caps& caps,
                                                     const GroupQueryAttentionShape& shape) {
  std::vector<std::string> variants = {"row"};
  if (caps.subgroups) variants.emplace_back(kRowBySubgroups);
  if (PrefillFits(shape)) variants.push_back("prefill");
  for (const MatrixLayout& layout : MatrixLayouts(caps, shape)) variants.push_back(layout.Name());
  return variants;
}

KernelPlan PlanGroupQueryAttention(const Caps& caps, const GroupQueryAttentionShape& shape,
                                   std::string_view variant) {
  const std::string_view act = FloatWgslType(caps, kAttentionName, shape.dtype);
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
  SINTER_CHECK(shape.rows_of_bias() == 1 || shape.rows_of_bias() == shape.sequence);
  SINTER_CHECK(shape.past_min <= shape.past_max);
  const bool many_rows = shape.sequence >= kPrefillFromSequence && PrefillFits(shape);
  const std::vector<MatrixLayout> matrices = MatrixLayouts(caps, shape);
  const std::string picked =
      PickVariant(kAttentionName, variant,
                  many_rows && !matrices.empty() && !caps.software ? matrices[0].Name()
                  : many_rows                                      ? "prefill"
                  : caps.subgroups                                 ? kRowBySubgroups
                                                                   : "row",
                  GroupQueryAttentionVariants(caps, shape));
  const bool prefill = picked == "prefill";
  const bool vec4 = shape.head_size % 4 == 0;
  const auto matrix = std::find_if(matrices.begin(), matrices.end(),
                                   [&](const MatrixLayout& one) { return one.Name() == picked; });
  const bool on_matrices = matrix != matrices.end();
  const uint32_t group = shape.heads / shape.kv_heads;
  const uint32_t vec = on_matrices ? 8 : vec4 ? 4 : 1;

  KernelPlan plan;
  plan.wgsl = on_matrices ? "group_query_attention/group_query_attention_matrix.wgsl"
              : prefill   ? "group_query_attention/group_query_attention_prefill.wgsl"
                          : "group_query_attention/group_query_attention_row.wgsl";
  plan.variant = fmt::format("{}.{}.h{}", kAttentionName, act, shape.head_size);
  const auto define = [&](bool on, const char* name) {
    if (!on) return;
    plan.variant += fmt::format(".{}", name);
    plan.defines.push_back(name);
  };
  define(shape.has_head_sink, "head_sink");
  define(shape.smooth_softmax && !shape.has_head_sink, "smooth");
  define(shape.bias_total > 0, "bias");
  if (shape.bias_total > 0 && shape.bias_is_mask) plan.variant += ".mask";
  define(shape.softcap > 0 && on_matrices, "softcap");
  const bool lengths = shape.lengths != KeyLengths::kCapacity;
  if (lengths) plan.defines.push_back("lengths");
  if (!lengths) plan.variant += ".full";
  define(shape.page_entries > 0, "pages");
  plan.variant += "." + picked;
  if (vec4 && !on_matrices) plan.defines.push_back("vec4");
  if (act == "f16") plan.defines.push_back("f16");
  if (picked == kRowBySubgroups || on_matrices) plan.defines.push_back("subgroups");
  if (on_matrices) plan.defines.push_back("subgroup_matrix");
  plan.prelude = fmt::format(
      "alias act_t = {};\nalias act_v = {};\nalias acc_v = {};\nconst kVec = {}u;\nconst kCols = "
      "{}u;\n",
      act,
      on_matrices ? "vec4<u32>"
      : vec4      ? fmt::format("vec4<{}>", act)
                  : std::string(act),
      vec4 ? "vec4<f32>" : "f32", vec, shape.head_size / vec);
  if (shape.bias_total > 0) {
    plan.prelude += fmt::format("alias bias_t = {};\nconst kBiasIsMask = {};\n",
                                shape.bias_is_mask ? "u32" : act, shape.bias_is_mask);
  }
  if (on_matrices) {
    plan.variant +=
        fmt::format(".sg{}.{}x{}.g{}", matrix->subgroup, matrix->config.m, matrix->config.n, group);
    plan.prelude += fmt::format(
        "const kSubgroup = {}u;\nconst kSubgroups = {}u;\nconst kMatM = {}u;\nconst kMatN = {}u;\n"
        "const kKeyMatrices = {}u;\nconst kUnroll = {};\nconst kGroup = {}u;\n",
        matrix->subgroup, matrix->subgroups, matrix->config.m, matrix->config.n, matrix->blocks,
        matrix->unroll, group);
  } else if (!prefill) {
    plan.prelude += "const kWorkgroupSize = 128u;\n";
  }

  GroupQueryAttentionParams params{
      .batch = shape.batch,
      .sequence = shape.sequence,
      .heads = shape.heads,
      .kv_heads = shape.kv_heads,
      .capacity = shape.rows(),
      .key_limit = shape.limit(),
      .local_window = shape.local_window > 0 ? static_cast<uint32_t>(shape.local_window) : 0,
      .keys_after = shape.causal             ? 0
                    : shape.local_window > 0 ? std::min(shape.local_window - 1, kAllKeys)
                                             : kAllKeys,
      .past_min = shape.past_min,
      .past_max = shape.past_max,
      .total_offset = shape.lengths == KeyLengths::kSeqlensK ? 1 : 0,
      .bias_total = shape.bias_total,
      .scale = shape.scale == 0 ? 1 / std::sqrt(static_cast<float>(shape.head_size)) : shape.scale,
      .softcap = shape.softcap,
      .head_rows = shape.capacity,
      .padding = {}};
  const uint32_t hidden = shape.heads * shape.head_size;
  params.q_batch = params.out_batch = shape.sequence * hidden;
  const auto strides = [&](HeadLayout layout, uint32_t& sequence, uint32_t& head) {
    const bool rows_first = layout == HeadLayout::kBSNH;
    sequence = rows_first ? hidden : shape.head_size;
    head = rows_first ? shape.head_size : shape.sequence * shape.head_size;
  };
  strides(shape.q_layout, params.q_sequence, params.q_head);
  strides(shape.output_layout, params.out_sequence, params.out_head);
  const uint32_t bias_plane = shape.rows_of_bias() * shape.bias_total;
  params.bias_batch = shape.bias_batch == 1 ? 0 : shape.bias_heads * bias_plane;
  params.bias_head = shape.bias_heads == 1 ? 0 : bias_plane;
  params.bias_row = shape.rows_of_bias() == 1 ? 0 : shape.bias_total;
  const uint32_t pairs = shape.sequence * group;
  const uint32_t tile_rows = on_matrices ? matrix->rows() : kPrefillRows;
  params.tiles = (pairs + tile_rows - 1) / tile_rows;
  plan.workgroups =
      FoldGrid(caps, prefill || on_matrices ? uint64_t{shape.batch} * shape.kv_heads * params.tiles
                                            : uint64_t{shape.batch} * shape.heads * shape.sequence);
  params.grid_x = plan.workgroups[0];
  plan.SetParams(params);
  return plan;
}

}  // namespace sinter::kernels
