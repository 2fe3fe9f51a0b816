#include "kernels/layer_chain/layer_chain.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>

#include "base/check.h"
#include "kernels/matmul_nbits/matmul_nbits_plan.h"

namespace sinter::kernels {
namespace {

constexpr std::string_view kChainName = "layer_chain";

// Codes that a lane of a row's products takes at once: 16 bytes.
constexpr uint32_t kChunkCodes = 32;
// Neighbouring threads that copy a chunk of the row into workgroup memory.
constexpr uint32_t kChunkThreads = 8;
// Upper bound on the chunks of a row that such threads copy in turn.
constexpr uint32_t kMaxRounds = 8;
// Upper bound on the chunks that a thread loads at once, per row.
constexpr uint32_t kMaxBlock = 8;
// Upper bound on the rows of B of a team.
constexpr uint32_t kMaxRows = 8;
// Stands for "no row" in place of an offset in `rows`: kNone in layer_chain.wgsl.
constexpr uint64_t kNoRow = UINT32_MAX;
// Upper bounds of the attention: heads of a group, splits.
constexpr uint32_t kMaxGroup = 4, kMaxSplits = 16;
// Largest uniform binding of every WebGPU adapter.
constexpr uint32_t kMaxUniformBytes = 64 << 10;

// Division of a link's work; fields of struct Link in layer_chain.wgsl.
struct LinkCut {
  uint32_t split, outputs, rows, block, rounds, parts;
};

uint32_t Chunks(const MatMulNBitsShape& shape) { return shape.k / kChunkCodes; }

LinkCut CutLink(const Caps& caps, const MatMulNBitsShape& shape, const ChainTuning& tuning) {
  const uint32_t rows_an_output = shape.glu == Glu::kNone ? 1 : 2;
  const uint32_t lanes = caps.fixed_subgroup_size() / shape.interleave;
  const uint32_t subgroups = tuning.workgroup / caps.fixed_subgroup_size();
  LinkCut cut = {};
  // Minimizes the outputs of the busiest workgroup, then the chunks of its busiest thread.
  uint64_t best = UINT64_MAX;
  for (uint32_t split = 1; split <= subgroups; split *= 2) {
    const uint32_t group = subgroups / split * shape.interleave;
    const uint32_t outputs = CeilDiv(shape.n, tuning.workgroups * group);
    const uint32_t rows = outputs * rows_an_output;
    if (rows > kMaxRows || (shape.interleave == 1 && split > 1)) continue;
    const uint64_t chunks = uint64_t{rows} * CeilDiv(Chunks(shape), lanes * split);
    const uint64_t cost = (uint64_t{outputs} * group << 32) + chunks;
    if (cost >= best) continue;
    best = cost;
    cut.split = split;
    cut.outputs = outputs;
    cut.rows = rows;
    cut.parts = CeilDiv(shape.n, group * outputs);
  }
  if (cut.rows == 0) return cut;
  const uint32_t iterations = CeilDiv(Chunks(shape), lanes * cut.split);
  // Loads all chunks at once, or in parts of which two are in registers at a time.
  const uint32_t most = cut.rows * iterations <= tuning.ahead ? tuning.ahead : tuning.ahead / 2;
  cut.block = std::clamp(most / cut.rows, 1u, std::min(kMaxBlock, iterations));
  while (iterations % cut.block != 0) --cut.block;
  cut.rounds = CeilDiv(Chunks(shape), tuning.workgroup / kChunkThreads);
  return cut;
}

uint32_t MaxK(const Chain& chain) {
  uint32_t k = 0;
  for (const ChainLink& link : chain.links) k = std::max(k, link.shape.k);
  return k;
}

// Division of the attention's work; constants of layer_chain_attention.wgsl.
struct AttentionCut {
  uint32_t lanes, pairs, splits;
  uint32_t values(const GroupQueryAttentionDecodeShape& shape) const {
    return pairs * shape.attention.head_size;
  }
  // Returns the words of a split's result: sums, maxima, denominators.
  uint32_t partial(const GroupQueryAttentionDecodeShape& shape) const {
    return values(shape) + 2 * pairs;
  }
};

AttentionCut CutAttention(const Caps& caps, const GroupQueryAttentionDecodeShape& shape,
                          const ChainTuning& tuning) {
  const GroupQueryAttentionShape& attention = shape.attention;
  AttentionCut cut = {};
  cut.lanes = std::bit_ceil(attention.head_size / 8);
  cut.pairs = std::bit_ceil(attention.heads / attention.kv_heads);
  // Takes as many splits as there are workgroups for, but so few that a subgroup has two or more
  // elements of them all when it combines them.
  cut.splits = std::bit_floor(std::clamp(tuning.workgroups / attention.kv_heads, 1u,
                                         std::min(kMaxSplits, caps.fixed_subgroup_size() / 2)));
  while (cut.values(shape) % (2 * cut.splits) != 0) cut.splits /= 2;
  return cut;
}

uint64_t BindingCount(const Chain& chain) {
  uint64_t count = 2;
  if (LayOutChainVectors(chain).count > 0) ++count;
  if (chain.table && chain.table->block_size > 0) ++count;
  if (chain.attention) count += 2 + (chain.attention->rotary_dim > 0 ? 1 : 0);
  for (const ChainLink& link : chain.links)
    count += 2 + (link.residual == ChainLink::kOutside ? 1 : 0) + (link.bound ? 1 : 0);
  return count;
}

// Returns whether the last link's Y can be the next layer's x, and no other operand is read from
// outside or written on the way.
bool Repeats(const Chain& chain) {
  const std::vector<ChainLink>& links = chain.links;
  return !(chain.attention && chain.attention_at == 0) &&
         links.back().shape.n == links[0].shape.k &&
         std::ranges::none_of(links, [&](const ChainLink& link) {
           return link.residual == ChainLink::kOutside || (link.bound && &link != &links.back());
         });
}

// Returns whether the first link's product can read a row of a table.
bool FitsTable(const Chain& chain) {
  const ChainTable& table = *chain.table;
  const uint64_t cols = chain.links[0].shape.k;
  return !(chain.attention && chain.attention_at == 0) && table.rows > 0 &&
         table.rows * cols <= UINT32_MAX &&
         (table.block_size == 0 || (table.block_size % 2 == 0 && cols % table.block_size == 0));
}

// Returns whether the parts fit together with some tuning.
bool Fit(const Caps& caps, const Chain& chain) {
  const std::vector<ChainLink>& links = chain.links;
  if (links.empty() || links.size() > kMaxChainLinks ||
      BindingCount(chain) > caps.limits.max_storage_buffers_per_stage) {
    return false;
  }
  if (chain.attention) {
    const GroupQueryAttentionShape& attention = chain.attention->attention;
    const size_t at = chain.attention_at;
    if (!IsChainAttention(caps, *chain.attention) || at > 1 || at >= links.size() ||
        attention.heads * attention.head_size != links[at].shape.k ||
        (at > 0 && links[at - 1].shape.n != chain.attention->row())) {
      return false;
    }
  }
  if (chain.table && !FitsTable(chain)) return false;
  if (chain.layers == 0 || (chain.layers > 1 && !Repeats(chain))) return false;
  // The result of the chain must be bound.
  if (!links.back().bound) return false;
  Glu glu = Glu::kNone;
  for (size_t i = 0; i < links.size(); ++i) {
    const ChainLink& link = links[i];
    if (!IsChainLink(caps, link.shape) || link.shape.block_size != links[0].shape.block_size ||
        link.shape.interleave != links[0].shape.interleave) {
      return false;
    }
    const bool attended = chain.attention && i == chain.attention_at;
    if (i > 0 && !attended && link.shape.k != links[i - 1].shape.n) return false;
    if ((link.residual != ChainLink::kNone) != link.shape.residual) return false;
    if (link.residual >= static_cast<int>(i)) return false;
    if (link.residual == ChainLink::kInput &&
        ((chain.attention && chain.attention_at == 0) || links[0].shape.k != link.shape.n)) {
      return false;
    }
    if (link.residual >= 0 && links[static_cast<size_t>(link.residual)].shape.n != link.shape.n) {
      return false;
    }
    if (link.shape.glu == Glu::kNone) continue;
    if (glu != Glu::kNone && glu != link.shape.glu) return false;
    glu = link.shape.glu;
  }
  return true;
}

// Returns the vec4 of workgroup memory that hold the row in two bytes per element or, before it,
// the attention's sums.
uint32_t RowSlots(const Caps& caps, const Chain& chain, const ChainTuning& tuning) {
  uint32_t slots = MaxK(chain) / 8;
  if (chain.attention) {
    const AttentionCut cut = CutAttention(caps, *chain.attention, tuning);
    slots = std::max(
        slots, tuning.workgroup / caps.fixed_subgroup_size() * cut.values(*chain.attention) / 4);
  }
  return slots;
}

// Returns the bytes of workgroup memory for a group's queries, its key and its value.
uint32_t FreshBytes(const Chain& chain) {
  if (!chain.attention) return 0;
  const GroupQueryAttentionShape& attention = chain.attention->attention;
  return (attention.heads / attention.kv_heads + 2) * attention.head_size * 2;
}

// Returns the rows of B of a thread, for the link with the most.
uint32_t MaxRows(const Caps& caps, const Chain& chain, const ChainTuning& tuning) {
  uint32_t rows = 0;
  for (const ChainLink& link : chain.links)
    rows = std::max(rows, CutLink(caps, link.shape, tuning).rows);
  return rows;
}

bool Fits(const Caps& caps, const Chain& chain, const ChainTuning& tuning) {
  const Limits& limits = caps.limits;
  if (tuning.ahead == 0 || tuning.workgroups == 0 || !std::has_single_bit(tuning.workgroup) ||
      tuning.workgroup > limits.max_invocations_per_workgroup ||
      tuning.workgroup > limits.max_workgroup_size_x ||
      // Outputs are computed in pairs.
      tuning.workgroup < 2 * caps.fixed_subgroup_size()) {
    return false;
  }
  // The row or the sums, and a unit per chunk; for each subgroup its squares, rows, maxima and
  // denominators.
  const uint64_t bytes =
      uint64_t{RowSlots(caps, chain, tuning)} * 16 + MaxK(chain) / kChunkCodes * 4 +
      tuning.workgroup / caps.fixed_subgroup_size() *
          ((1 + MaxRows(caps, chain, tuning) * chain.links[0].shape.interleave) * 4 +
           (chain.attention ? 32 : 0)) +
      FreshBytes(chain);
  if (bytes > limits.max_workgroup_storage_bytes ||
      tuning.workgroups > limits.max_workgroups_per_dimension) {
    return false;
  }
  return std::ranges::all_of(chain.links, [&](const ChainLink& link) {
    const LinkCut cut = CutLink(caps, link.shape, tuning);
    return cut.rows > 0 && cut.rounds <= kMaxRounds;
  });
}

std::vector<std::string> ChainVariants(const Caps& caps, const Chain& chain) {
  std::vector<std::string> variants;
  for (const ChainTuning& tuning : ChainTunings(caps, chain))
    variants.push_back(ChainVariant(tuning));
  return variants;
}

std::string Tag(bool there, std::string_view name) {
  return there ? fmt::format(".{}", name) : std::string();
}

// Builds a chain's plan.
class Planner {
 public:
  Planner(const Caps& caps, const Chain& chain, const ChainTuning& tuning)
      : caps_(caps), chain_(chain), tuning_(tuning), vectors_(LayOutChainVectors(chain)) {}

  KernelPlan Take() {
    kernel_.wgsl = "layer_chain/layer_chain.wgsl";
    kernel_.defines = {"f16", "subgroups", "integers_bits4"};
    kernel_.variant = fmt::format("layer_chain.f16.b4.blk{}{}", chain_.links[0].shape.block_size,
                                  InterleaveTag(chain_.links[0].shape));
    Define(vectors_.count > 0, "vectors");
    if (chain_.table) AddTable(*chain_.table);
    ChainParams params = {.layers = chain_.layers, .cache_layer = chain_.cache_layer};
    for (size_t i = 0; i < chain_.links.size(); ++i) {
      uint64_t row = i == 0 ? kNoRow : row_of_[i - 1];
      if (chain_.attention && i == chain_.attention_at)
        row = AddAttention(*chain_.attention, row, params);
      AddLink(i, row);
    }
    AddConstants();
    kernel_.variant += fmt::format("-{}.sg{}", ChainVariant(tuning_), caps_.fixed_subgroup_size());
    kernel_.workgroups = {tuning_.workgroups, 1, 1};
    kernel_.SetParams(params);
    // Counters of how often each workgroup ran, and two sets of the rows.
    kernel_.row_words = tuning_.workgroups + 2 * chain_.layers * words_;
    return std::move(kernel_);
  }

 private:
  void Define(bool there, std::string name) {
    if (there) kernel_.defines.push_back(std::move(name));
  }

  void Constant(std::string_view name, uint64_t value) {
    kernel_.prelude += fmt::format("const {} = {}u;\n", name, value);
  }

  void AddTable(const ChainTable& table) {
    const bool codes = table.block_size > 0;
    Define(true, "table");
    Define(codes, "table_codes");
    Constant("kTableRows", table.rows);
    Constant("kTableCols", chain_.links[0].shape.k);
    Constant("kTableBlock", table.block_size);
    kernel_.variant += codes ? fmt::format("-table.blk{}", table.block_size) : "-table";
  }

  // Returns the offset of the attention's output among the layer's rows. `query` is the offset of
  // its input.
  uint64_t AddAttention(const GroupQueryAttentionDecodeShape& shape, uint64_t query,
                        ChainParams& params) {
    const GroupQueryAttentionShape& attention = shape.attention;
    const AttentionCut cut = CutAttention(caps_, shape, tuning_);
    for (const auto& [there, name] :
         {std::pair(true, "attention"), std::pair(true, "packed"),
          std::pair(shape.rotary_dim > 0, "rotary"), std::pair(shape.has_norm, "norm"),
          std::pair(attention.local_window > 0, "window"),
          std::pair(attention.page_entries > 0, "pages")}) {
      Define(there, name);
    }
    Define(true, fmt::format("pairs{}", cut.pairs));
    Define(true, fmt::format("attention_at_{}", chain_.attention_at));
    kernel_.prelude += GroupQueryAttentionInputsPrelude(shape, cut.pairs, /*f16=*/true);
    for (const auto& [name, value] :
         {std::pair("kSplits", cut.splits), std::pair("kLanes", cut.lanes),
          std::pair("kQNormAt", vectors_.q_norm / 2), std::pair("kKNormAt", vectors_.k_norm / 2)}) {
      Constant(name, value);
    }
    Constant("kQueryRow", query);
    Constant("kPageVectors", CeilDiv(attention.page_entries, 4u));
    const uint64_t output = words_;
    Constant("kAttentionRow", output);
    words_ += attention.heads * attention.head_size / 2;
    Constant("kPartials", words_);
    words_ += uint64_t{attention.kv_heads} * cut.splits * cut.partial(shape);
    params.attention = GroupQueryAttentionDecodeParamsOf(shape);
    kernel_.variant += fmt::format(
        "-attention.n{}.kv{}.h{}{}{}{}{}", attention.heads, attention.kv_heads, attention.head_size,
        Tag(shape.rotary_dim > 0,
            fmt::format("{}{}", shape.interleaved ? "interleaved" : "rotary", shape.rotary_dim)),
        Tag(shape.has_norm, "norm"), Tag(attention.local_window > 0, "window"),
        Tag(attention.page_entries > 0, fmt::format("pages{}", attention.page_entries)));
    return output;
  }

  void AddLink(size_t i, uint64_t row) {
    const ChainLink& link = chain_.links[i];
    const MatMulNBitsShape& shape = link.shape;
    const LinkCut cut = CutLink(caps_, shape, tuning_);
    const bool gated = shape.glu != Glu::kNone;
    const bool outside = link.residual == ChainLink::kOutside;
    // The row that the next layer reads is passed on as well.
    const bool handed = i + 1 < chain_.links.size() || Repeats(chain_);
    if (gated) glu_ = shape.glu;
    Define(true, fmt::format("link_{}", i));
    Define(outside, fmt::format("residual_{}", i));
    Define(link.bound, fmt::format("bound_{}", i));
    row_of_.push_back(handed ? words_ : kNoRow);
    // The order is that of struct Link.
    kernel_.prelude += fmt::format(
        "const kLink{0} = Link({0}u, {1}u, {2}u, {3}u, {4}u, {5}u, {6}u, {7}u, {8}u, {9}, {10}, "
        "{11:.9e}, {12}, {13}, {14}, {15}u, {16}u, {17}u, {18}u, {19}u);\n",
        i, shape.n, shape.k, cut.split, cut.outputs, cut.rows, cut.block, cut.rounds, cut.parts,
        gated, shape.norm.present, shape.norm.epsilon, shape.bias, outside,
        link.residual == ChainLink::kInput, vectors_.links[i].norm / 2, vectors_.links[i].bias / 2,
        row, link.residual >= 0 ? row_of_[static_cast<size_t>(link.residual)] : kNoRow, row_of_[i]);
    if (handed) words_ += shape.n / 2;
    kernel_.variant += fmt::format(
        "-{}x{}{}{}{}{}{}", shape.n, shape.k,
        Tag(shape.norm.present, fmt::format("norm{:g}", shape.norm.epsilon)),
        Tag(gated, GluName(shape.glu)), Tag(shape.bias, "bias"),
        Tag(shape.residual, fmt::format("residual{}", link.residual)), Tag(link.bound, "bound"));
  }

  void AddConstants() {
    if (glu_ != Glu::kNone) {
      kernel_.prelude +=
          fmt::format("fn activation(x: f32) -> f32 {{ return {}(x); }}\n", GluName(glu_));
      Define(true, "gated");
    }
    // These looks take some 10 ms, at 0.7 us each. A usual wait is a thousand times shorter, and a
    // driver's timeout for a list of such dispatches is longer. A CPU looks more often, because
    // other threads keep it from its work.
    const uint32_t looks = caps_.software ? 1u << 30 : 1u << 14;
    for (const auto& [name, value] :
         {std::pair("kWorkgroupSize", tuning_.workgroup),
          std::pair("kSubgroup", caps_.fixed_subgroup_size()),
          std::pair("kMaxRows", MaxRows(caps_, chain_, tuning_)),
          std::pair("kInterleave", chain_.links[0].shape.interleave),
          std::pair("kBlockChunks", chain_.links[0].shape.block_size / kChunkCodes),
          std::pair("kMaxK", MaxK(chain_)),
          std::pair("kRowEntries", RowSlots(caps_, chain_, tuning_)),
          std::pair("kStuck", kChainStuckWord), std::pair("kMaxLooks", looks),
          std::pair("kWorkgroups", tuning_.workgroups),
          std::pair("kVectorWords", vectors_.count / 2)}) {
      Constant(name, value);
    }
    Constant("kLayerWords", words_);
    Constant("kLastRow", Repeats(chain_) ? row_of_.back() : 0);
  }

  const Caps& caps_;
  const Chain& chain_;
  const ChainTuning& tuning_;
  const ChainVectors vectors_;
  KernelPlan kernel_;
  Glu glu_ = Glu::kNone;
  uint64_t words_ = 0;            // words of a layer's rows so far
  std::vector<uint64_t> row_of_;  // offset of each link's Y among them
};

}  // namespace

std::string ChainVariant(const ChainTuning& tuning) {
  return fmt::format("chain.wg{}x{}.a{}", tuning.workgroup, tuning.workgroups, tuning.ahead);
}

bool IsChainLink(const Caps& caps, const MatMulNBitsShape& shape) {
  const MatMulNBitsNorm& norm = shape.norm;
  static_assert(kChunkThreads >= kInterleavedRows);
  return caps.packed_dot_product && caps.f16 && caps.fixed_subgroup_size() >= kChunkThreads &&
         shape.m == 1 && shape.bits == 4 && shape.block_size >= kChunkCodes &&
         shape.k % shape.block_size == 0 && shape.n % 2 == 0 && shape.dtype == DType::kF16 &&
         shape.zero_points == ZeroPoints::kDefault && shape.experts == 0 && shape.n_begin == 0 &&
         (shape.n_count == 0 || shape.n_count == shape.n) &&
         (!norm.present || (norm.skip == Skip::kNone && norm.input_dtype == DType::kF16 &&
                            norm.scale_dtype == DType::kF16));
}

bool IsChainAttention(const Caps& caps, const GroupQueryAttentionDecodeShape& shape) {
  const GroupQueryAttentionShape& attention = shape.attention;
  return caps.f16 && attention.batch == 1 && attention.sequence == 1 &&
         attention.dtype == DType::kF16 && shape.packed && attention.kv_heads > 0 &&
         attention.heads % attention.kv_heads == 0 &&
         attention.heads / attention.kv_heads <= kMaxGroup && attention.head_size % 8 == 0 &&
         attention.head_size > 0 && attention.head_size / 8 <= caps.fixed_subgroup_size() &&
         shape.rotary_dim % 16 == 0 && shape.rotary_dim <= attention.head_size &&
         shape.positions == RotaryPositions::kSeqlens && attention.capacity > 0 &&
         attention.page_entries <= kMaxUniformBytes / sizeof(int32_t) && !attention.has_head_sink &&
         !attention.smooth_softmax && attention.bias_total == 0;
}

ChainVectors LayOutChainVectors(const Chain& chain) {
  ChainVectors vectors;
  const auto add = [&](bool there, uint32_t count) {
    const uint32_t at = there ? vectors.count : 0;
    if (there) vectors.count += count;
    return at;
  };
  for (const ChainLink& link : chain.links) {
    const MatMulNBitsShape& shape = link.shape;
    const uint32_t norm = add(shape.norm.present, shape.k);
    vectors.links.push_back({norm, add(shape.bias, shape.b_rows())});
  }
  const bool norms = chain.attention && chain.attention->has_norm;
  const uint32_t head_size = norms ? chain.attention->attention.head_size : 0;
  vectors.q_norm = add(norms, head_size);
  vectors.k_norm = add(norms, head_size);
  return vectors;
}

std::vector<ChainTuning> ChainTunings(const Caps& caps, const Chain& chain) {
  std::vector<ChainTuning> tunings;
  if (!Fit(caps, chain)) return tunings;
  // A CPU is sure to run one workgroup. A GPU runs one or two per multiprocessor, of which an H100
  // or H200 has 132; other GPUs have fewer.
  if (caps.software) {
    for (const uint32_t workgroup : {256u, 512u, 1024u}) {
      const ChainTuning tuning = {workgroup, 1, 12};
      if (Fits(caps, chain, tuning)) tunings.push_back(tuning);
    }
    return tunings;
  }
  // NVIDIA's driver takes seconds to compile each one, so few are tried. On an H200, 6 is best for
  // Llama-3.2-1B by 3 % and 8 for Phi-3-mini by 1 %; 132 workgroups are up to 1 % slower than 128,
  // which divide the sizes evenly.
  for (const ChainTuning& tuning :
       {ChainTuning{512, 128, 6}, ChainTuning{512, 128, 8}, ChainTuning{512, 64, 12}}) {
    if (Fits(caps, chain, tuning)) tunings.push_back(tuning);
  }
  return tunings;
}

KernelPlan PlanLayerChain(const Caps& caps, const Chain& chain, const ChainTuning& tuning) {
  if (!Fit(caps, chain) || !Fits(caps, chain, tuning))
    ThrowUnknownVariant(kChainName, ChainVariant(tuning), ChainVariants(caps, chain));
  return Planner(caps, chain, tuning).Take();
}

KernelPlan PlanLayerChain(const Caps& caps, const Chain& chain, std::string_view variant) {
  for (const ChainTuning& tuning : ChainTunings(caps, chain)) {
    if (variant.empty() || variant == ChainVariant(tuning))
      return Planner(caps, chain, tuning).Take();
  }
  ThrowUnknownVariant(kChainName, variant, ChainVariants(caps, chain));
}

void PlaceChainRows(uint64_t word, KernelPlan& plan) {
  ChainParams params;
  SINTER_CHECK(plan.params.size() == sizeof(params));
  std::memcpy(&params, plan.params.data(), sizeof(params));
  params.rows = static_cast<uint32_t>(word);
  plan.SetParams(params);
}

Tunable LayerChainTunable(const Caps& caps, const Chain& chain) {
  return {.kernel = kChainName,
          .variants = [=] { return ChainVariants(caps, chain); },
          .plan = [=](std::string_view variant) { return PlanLayerChain(caps, chain, variant); }};
}

std::optional<ChainTable> ChainTableOf(const Caps& caps, const GatherShape& shape) {
  if (shape.outer != 1 || shape.indices != 1 || shape.row_count != 0 ||
      DeviceDType(caps, shape.dtype) != DType::kF16) {
    return std::nullopt;
  }
  return ChainTable{.rows = shape.axis};
}

std::optional<ChainTable> ChainTableOf(const Caps& caps, const GatherBlockQuantizedShape& shape) {
  if (shape.slice_rows != 1 || shape.indices != 1 || shape.row_count != 0 || shape.bits != 4 ||
      shape.data_type != DType::kU8 || shape.zero_points ||
      DeviceDType(caps, shape.dtype) != DType::kF16) {
    return std::nullopt;
  }
  return ChainTable{.rows = shape.rows, .block_size = shape.block_size};
}

ChainTableRoles RolesOf(const ChainTable& table) {
  if (table.block_size == 0)
    return {GatherRoles::kData, GatherRoles::kIndices, {}, GatherRoles::kOut};
  using Roles = GatherBlockQuantizedRoles;
  return {Roles::kData, Roles::kIndices, Roles::kScales, Roles::kOut};
}

}  // namespace sinter::kernels
