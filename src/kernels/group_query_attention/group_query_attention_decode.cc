#include "kernels/group_query_attention/group_query_attention_decode.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <optional>

#include "base/check.h"
#include "base/error.h"
#include "kernels/common/plan_util.h"

namespace sinter::kernels {
namespace {

constexpr std::string_view kDecodeName = "group_query_attention_decode";
constexpr uint32_t kMaxDecodeHeadSize = 512;
constexpr uint32_t kMaxPairs = 4;
constexpr uint32_t kMaxUnits = 4;
// Workgroups of a guess for one sequence and for several: two and four for each of an H200's 132
// multiprocessors. Plans for several sequences with more than 16 are not worth a try.
constexpr uint32_t kWorkgroupsForOne = 264, kWorkgroupsForMany = 528, kMaxWorkgroupsForMany = 2112;

// Division of work in a workgroup; names as in group_query_attention_decode.wgsl.
struct DecodeLayout {
  bool subgroups = false;
  uint32_t workgroup = 0, splits = 0;
  uint32_t lanes = 0, units = 0, rows = 0, pairs = 0, parts = 0;
  uint32_t tile() const { return workgroup / lanes * rows; }
};

uint32_t StorageBuffers(const GroupQueryAttentionDecodeShape& shape) {
  return 6 + (shape.packed ? 0 : 2) + (shape.rotary_dim > 0 ? 2 : 0) + (shape.has_norm ? 2 : 0) +
         (shape.rotary_dim > 0 && shape.positions == RotaryPositions::kPositionIds) +
         shape.attention.has_head_sink + (shape.attention.bias_total > 0) +
         (shape.attention.page_entries > 0);
}

uint32_t AllPairs(const GroupQueryAttentionDecodeShape& shape) {
  return shape.attention.heads / shape.attention.kv_heads * shape.attention.sequence;
}

uint32_t Chunks(const GroupQueryAttentionDecodeShape& shape, const DecodeLayout& layout) {
  return (AllPairs(shape) + layout.pairs - 1) / layout.pairs;
}

// Returns the layout of a workgroup of `workgroup` threads, without the splits. Returns nothing if
// it does not fit.
std::optional<DecodeLayout> LayoutOf(const Caps& caps, const GroupQueryAttentionDecodeShape& shape,
                                     bool subgroups, uint32_t workgroup) {
  const GroupQueryAttentionShape& attention = shape.attention;
  const uint32_t cols = attention.head_size / 8;
  DecodeLayout layout{.subgroups = subgroups, .workgroup = workgroup};
  const uint32_t max_lanes =
      subgroups ? std::min(std::bit_floor(caps.subgroup_min_size), 32u) : workgroup;
  // Prefers the fewest idle lanes, and among those the fewest units.
  uint32_t best = UINT32_MAX;
  for (uint32_t units = 1; units <= (subgroups ? kMaxUnits : 1); ++units) {
    const uint32_t lanes = std::bit_ceil((cols + units - 1) / units);
    if (lanes > max_lanes || lanes * units >= best) continue;
    best = lanes * units;
    layout.lanes = lanes;
    layout.units = units;
  }
  if (layout.lanes == 0) return std::nullopt;
  layout.rows = std::max(1u, kMaxUnits / layout.units);
  // Queries and sums take 8 * pairs * units registers each.
  layout.pairs = std::min(
      {kMaxPairs, std::bit_ceil(AllPairs(shape)), layout.units > 2 ? kMaxPairs / 2 : kMaxPairs});
  layout.parts = workgroup / (subgroups ? std::bit_floor(caps.subgroup_min_size) : layout.lanes);
  // Sums and statistics of the parts, statistics of at most 64 splits, the flag, and team sums.
  const uint32_t shared = layout.parts * (layout.pairs * attention.head_size * 4 + 32) +
                          64 * layout.pairs * 8 + 16 + (subgroups ? 0 : workgroup * 16);
  const bool fits = layout.parts > 0 && shared <= caps.limits.max_workgroup_storage_bytes &&
                    workgroup <= caps.limits.max_invocations_per_workgroup &&
                    workgroup <= caps.limits.max_workgroup_size_x &&
                    (!subgroups || caps.subgroup_max_size <= workgroup) &&
                    layout.tile() >= attention.sequence;
  return fits ? std::optional(layout) : std::nullopt;
}

bool Fits(const Caps& caps, const GroupQueryAttentionDecodeShape& shape) {
  const GroupQueryAttentionShape& attention = shape.attention;
  return attention.sequence > 0 && attention.sequence <= kMaxDecodeSequence &&
         attention.head_size > 0 && attention.head_size % 8 == 0 &&
         attention.head_size <= kMaxDecodeHeadSize && attention.kv_heads > 0 &&
         attention.heads % attention.kv_heads == 0 && shape.rotary_dim / 2 % 8 == 0 &&
         shape.rotary_dim <= attention.head_size && attention.capacity > 0 &&
         StorageBuffers(shape) <= caps.limits.max_storage_buffers_per_stage;
}

// Returns the number of parts of the output, each of which its splits reduce.
uint64_t Items(const GroupQueryAttentionDecodeShape& shape, const DecodeLayout& layout) {
  return uint64_t{shape.attention.batch} * shape.attention.kv_heads * Chunks(shape, layout);
}

// Returns the number of tiles of a full cache and the tile of new rows.
uint32_t Tiles(const GroupQueryAttentionDecodeShape& shape, const DecodeLayout& layout) {
  return (shape.attention.rows() + layout.tile() - 1) / layout.tile() + 1;
}

// Returns the number of splits with enough workgroups to keep a large GPU or a CPU's cores busy.
// There are no more splits than tiles. Many sequences, of different lengths, get more workgroups to
// balance, but no splits that only add reductions.
uint32_t DefaultSplits(const Caps& caps, const GroupQueryAttentionDecodeShape& shape,
                       const DecodeLayout& layout) {
  const uint64_t others = Items(shape, layout);
  const uint32_t tiles = Tiles(shape, layout);
  const auto splits = [&](uint64_t workgroups, uint64_t least, uint64_t most) {
    return std::min(static_cast<uint32_t>(std::clamp(workgroups / others, least, most)), tiles);
  };
  if (caps.software) return splits(8, 1, 4);
  const bool one = shape.attention.batch == 1;
  const uint32_t wanted = one ? kWorkgroupsForOne : kWorkgroupsForMany;
  return splits(one ? wanted + others - 1 : wanted, one ? 4 : 1, 32);
}

std::string VariantName(const DecodeLayout& layout) {
  return fmt::format("{}s{}.wg{}", layout.subgroups ? "sg." : "", layout.splits, layout.workgroup);
}

// Returns the layouts that fit, the default first: those worth a try or, with `every`, those with
// any number of splits. Without subgroups only the smallest workgroup is included.
std::vector<DecodeLayout> Layouts(const Caps& caps, const GroupQueryAttentionDecodeShape& shape,
                                  bool every) {
  std::vector<DecodeLayout> layouts;
  if (!Fits(caps, shape)) return layouts;
  const auto add = [&](DecodeLayout layout, uint32_t splits) {
    layout.splits = splits;
    const auto same = [&](const DecodeLayout& known) {
      return VariantName(known) == VariantName(layout);
    };
    if (std::none_of(layouts.begin(), layouts.end(), same)) layouts.push_back(layout);
  };
  std::vector<DecodeLayout> fitting;
  const auto try_layout = [&](bool subgroups, uint32_t workgroup) {
    const std::optional<DecodeLayout> layout = LayoutOf(caps, shape, subgroups, workgroup);
    if (!layout || Items(shape, *layout) >= kCounterWords) return false;
    fitting.push_back(*layout);
    add(*layout, DefaultSplits(caps, shape, *layout));
    return true;
  };
  if (caps.subgroups) {
    // A workgroup merges the results of its teams at its end. Where there are many sequences, fewer
    // threads have less to merge: 64 sequences of Qwen3-1.7B behind 512 tokens make 18,170 tokens/s
    // with 128 threads, 17,540 with 64 and 15,730 with 256 on an H200.
    const bool many = shape.attention.batch > 1 && !caps.software;
    for (const uint32_t workgroup :
         many ? std::array{128u, 256u, 64u} : std::array{256u, 128u, 64u})
      try_layout(true, workgroup);
  }
  for (const uint32_t workgroup : {64u, 128u, 256u}) {
    if (try_layout(false, workgroup)) break;
  }
  for (const DecodeLayout& layout : fitting) {
    for (const uint32_t splits : {1u, 2u, 4u, 8u, 16u, 32u, 64u}) {
      const bool sensible = shape.attention.batch == 1
                                ? splits >= 4
                                : splits * Items(shape, layout) <= kMaxWorkgroupsForMany;
      if (every || (layout.subgroups && sensible && splits <= Tiles(shape, layout)))
        add(layout, splits);
    }
  }
  return layouts;
}

std::string Prelude(const Caps& caps, const GroupQueryAttentionDecodeShape& shape,
                    const DecodeLayout& layout, std::string_view act) {
  std::string text = fmt::format("alias act_t = {};\n", act);
  text += GroupQueryAttentionInputsPrelude(shape, layout.pairs, act == "f16");
  const auto constant = [&](std::string_view name, uint32_t value) {
    text += fmt::format("const {} = {}u;\n", name, value);
  };
  constant("kPairSets", Chunks(shape, layout));
  constant("kSplits", layout.splits);
  constant("kWorkgroupSize", layout.workgroup);
  constant("kLanes", layout.lanes);
  constant("kUnits", layout.units);
  constant("kRows", layout.rows);
  constant("kMaxPartials", layout.parts);
  constant("kSubgroupLanes", layout.subgroups ? caps.fixed_subgroup_size() : 0);
  constant("kCounterWords", kCounterWords);
  return text;
}

}  // namespace

std::string GroupQueryAttentionInputsPrelude(const GroupQueryAttentionDecodeShape& shape,
                                             uint32_t pairs, bool f16) {
  const GroupQueryAttentionShape& attention = shape.attention;
  const bool one = pairs == 1;
  return fmt::format(
      "alias raw8 = {};\nalias pvec = {};\nalias upvec = {};\nalias pmat = {};\n"
      "const kPairs = {}u;\nconst kSequence = {}u;\nconst kGroup = {}u;\nconst kHeads = {}u;\n"
      "const kKvHeads = {}u;\nconst kCols = {}u;\nconst kRotaryCols = {}u;\n"
      "const kInterleaved = {};\n",
      f16 ? "vec4<u32>" : "mat2x4<f32>", one ? "f32" : fmt::format("vec{}<f32>", pairs),
      one ? "u32" : fmt::format("vec{}<u32>", pairs),
      one ? "vec4<f32>" : fmt::format("mat{}x4<f32>", pairs), pairs, attention.sequence,
      attention.heads / attention.kv_heads, attention.heads, attention.kv_heads,
      attention.head_size / 8, shape.rotary_dim / 16, shape.interleaved);
}

std::vector<std::string> GroupQueryAttentionDecodeVariants(
    const Caps& caps, const GroupQueryAttentionDecodeShape& shape) {
  std::vector<std::string> variants;
  for (const DecodeLayout& layout : Layouts(caps, shape, /*every=*/false))
    variants.push_back(VariantName(layout));
  return variants;
}

GroupQueryAttentionDecodeParams GroupQueryAttentionDecodeParamsOf(
    const GroupQueryAttentionDecodeShape& shape) {
  const GroupQueryAttentionShape& attention = shape.attention;
  const uint32_t cols = attention.head_size / 8;
  GroupQueryAttentionDecodeParams params{
      .capacity = attention.rows(),
      .local_window =
          attention.local_window > 0 ? static_cast<uint32_t>(attention.local_window) : 0,
      .rotary_rows = shape.rotary_rows,
      .q_row = shape.row() / 8,
      .kv_row = shape.packed ? shape.row() / 8 : attention.kv_heads * cols,
      .k_offset = attention.heads * cols,
      .v_offset = (attention.heads + attention.kv_heads) * cols,
      .bias_total = attention.bias_total,
      .scale = attention.scale == 0 ? 1 / std::sqrt(static_cast<float>(attention.head_size))
                                    : attention.scale,
      .softcap = attention.softcap,
      .epsilon = shape.epsilon,
      .head_rows = attention.capacity,
      .pad = {}};
  const uint32_t bias_plane = attention.sequence * attention.bias_total;
  params.bias_batch = attention.bias_batch == 1 ? 0 : attention.bias_heads * bias_plane;
  params.bias_head = attention.bias_heads == 1 ? 0 : bias_plane;
  return params;
}

KernelPlan PlanGroupQueryAttentionDecode(const Caps& caps,
                                         const GroupQueryAttentionDecodeShape& shape,
                                         std::string_view variant) {
  const GroupQueryAttentionShape& attention = shape.attention;
  const std::string_view act = FloatWgslType(caps, kDecodeName, attention.dtype);
  const std::vector<DecodeLayout> layouts = Layouts(caps, shape, /*every=*/true);
  if (layouts.empty()) {
    throw Error("kernels",
                "{}: got {} rows, heads of {}, rotary_dim {} and {} storage buffers, want at most "
                "{} rows, heads of a multiple of 8 up to {}, half of rotary_dim a multiple of 8, "
                "at most {} buffers",
                kDecodeName, attention.sequence, attention.head_size, shape.rotary_dim,
                StorageBuffers(shape), kMaxDecodeSequence, kMaxDecodeHeadSize,
                caps.limits.max_storage_buffers_per_stage);
  }
  SINTER_CHECK(attention.q_layout == HeadLayout::kBSNH &&
               attention.output_layout == HeadLayout::kBSNH);
  SINTER_CHECK(attention.causal && attention.lengths == KeyLengths::kSeqlensK &&
               attention.limit() == attention.rows() && attention.past_min == 0 &&
               attention.past_max == INT32_MAX);
  SINTER_CHECK(!attention.bias_is_mask && attention.rows_of_bias() == attention.sequence);
  SINTER_CHECK(attention.bias_batch == 1 || attention.bias_batch == attention.batch);
  SINTER_CHECK(attention.bias_heads == 1 || attention.bias_heads == attention.heads);
  SINTER_CHECK(shape.positions != RotaryPositions::kOffset && shape.rotary_rows > 0);
  const auto layout =
      std::find_if(layouts.begin(), layouts.end(), [&](const DecodeLayout& candidate) {
        return variant.empty() || VariantName(candidate) == variant;
      });
  if (layout == layouts.end()) {
    ThrowUnknownVariant(kDecodeName, variant, GroupQueryAttentionDecodeVariants(caps, shape));
  }

  KernelPlan kernel;
  kernel.wgsl = "group_query_attention/group_query_attention_decode.wgsl";
  kernel.variant = fmt::format("{}.{}.q{}.n{}.kv{}.h{}", kDecodeName, act, attention.sequence,
                               attention.heads, attention.kv_heads, attention.head_size);
  const auto define = [&](bool on, const char* name) {
    if (!on) return;
    kernel.variant += fmt::format(".{}", name);
    kernel.defines.push_back(name);
  };
  if (shape.rotary_dim > 0) {
    kernel.defines.push_back("rotary");
    kernel.variant +=
        fmt::format(".{}{}", shape.interleaved ? "interleaved" : "rotary", shape.rotary_dim);
    define(shape.positions == RotaryPositions::kPositionIds, "position_ids");
  }
  define(shape.packed, "packed");
  define(shape.has_norm, "norm");
  define(attention.has_head_sink, "head_sink");
  define(attention.smooth_softmax && !attention.has_head_sink, "smooth");
  define(attention.bias_total > 0, "bias");
  define(attention.local_window > 0, "window");
  define(attention.page_entries > 0, "pages");
  // An adapter's subgroups all have one kind of sizes, so the name need not tell it.
  kernel.variant += fmt::format(".c{}.{}", Chunks(shape, *layout), VariantName(*layout));
  kernel.defines.push_back(layout->pairs == 1   ? "pairs1"
                           : layout->pairs == 2 ? "pairs2"
                                                : "pairs4");
  if (act == "f16") kernel.defines.push_back("f16");
  if (layout->subgroups) kernel.defines.push_back("subgroups");
  kernel.prelude = Prelude(caps, shape, *layout, act);

  kernel.SetParams(GroupQueryAttentionDecodeParamsOf(shape));
  const uint32_t chunks = Chunks(shape, *layout);
  kernel.workgroups = {layout->splits, attention.kv_heads, attention.batch * chunks};
  // Each split of each item has sums, maxima and denominators.
  kernel.scratch_words = kCounterWords + uint64_t{attention.batch} * attention.kv_heads * chunks *
                                             layout->splits * layout->pairs *
                                             (attention.head_size + 2);
  return kernel;
}

Tunable GroupQueryAttentionDecodeTunable(const Caps& caps,
                                         const GroupQueryAttentionDecodeShape& shape) {
  return {.kernel = kDecodeName,
          .sizes = shape.attention.batch == 1
                       ? fmt::format("{} rows", shape.attention.rows())
                       : fmt::format("{} sequences of {} rows", shape.attention.batch,
                                     shape.attention.rows()),
          .variants = [=] { return GroupQueryAttentionDecodeVariants(caps, shape); },
          .plan =
              [=](std::string_view variant) {
                return PlanGroupQueryAttentionDecode(caps, shape, variant);
              }};
}

}  // namespace sinter::kernels
