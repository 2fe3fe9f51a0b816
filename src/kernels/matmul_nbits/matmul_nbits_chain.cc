#include "kernels/matmul_nbits/matmul_nbits_chain.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdio>

#include "kernels/matmul_nbits/matmul_nbits_plan.h"

namespace sinter::kernels {
namespace {

// A lane of a row's products takes this many codes at once: 16 bytes.
constexpr uint32_t kChunkCodes = 32;
// Neighbouring threads that bring a chunk of the row into workgroup memory.
constexpr uint32_t kChunkThreads = 8;
// Chunks of a row that such threads bring one after the other.
constexpr uint32_t kMaxRounds = 8;
// Chunks of each of its rows that a thread asks for at once.
constexpr uint32_t kMaxBlock = 8;
// Rows of B that a team has.
constexpr uint32_t kMaxRows = 8;

// How a link is cut; fields of struct Link in matmul_nbits_chain.wgsl.
struct LinkCut {
  uint32_t outputs, rows, block, rounds, parts;
};

uint32_t Chunks(const MatMulNBitsShape& shape) { return shape.k / kChunkCodes; }

LinkCut CutLink(const gpu::Caps& caps, const MatMulNBitsShape& shape, const ChainTuning& tuning) {
  const uint32_t rows_an_output = shape.glu == Glu::kNone ? 1 : 2;
  const uint32_t lanes = caps.fixed_subgroup_size();
  const uint32_t teams = tuning.workgroup / lanes;
  LinkCut cut = {};
  cut.outputs = CeilDiv(shape.n, tuning.workgroups * teams);
  cut.rows = cut.outputs * rows_an_output;
  cut.parts = CeilDiv(shape.n, teams * cut.outputs);
  const uint32_t iterations = CeilDiv(Chunks(shape), lanes);
  // All of them, or parts of which two are in registers at a time.
  const uint32_t most = cut.rows * iterations <= tuning.ahead ? tuning.ahead : tuning.ahead / 2;
  cut.block = std::clamp(most / cut.rows, 1u, std::min(kMaxBlock, iterations));
  while (iterations % cut.block != 0) --cut.block;
  cut.rounds = CeilDiv(Chunks(shape), tuning.workgroup / kChunkThreads);
  return cut;
}

uint32_t MaxK(std::span<const ChainLink> links) {
  uint32_t k = 0;
  for (const ChainLink& link : links) k = std::max(k, link.shape.k);
  return k;
}

uint64_t BindingCount(std::span<const ChainLink> links) {
  uint64_t count = 3;
  for (const ChainLink& link : links) {
    count += 2 + (link.shape.bias ? 1 : 0) + (link.shape.norm.present ? 1 : 0) +
             (link.residual == ChainLink::kOutside ? 1 : 0) + (link.keeps ? 1 : 0);
  }
  return count;
}

// Whether the links' shapes go together, whatever the tuning.
bool Fit(const gpu::Caps& caps, std::span<const ChainLink> links) {
  if (links.empty() || links.size() > kMaxChainLinks ||
      BindingCount(links) > caps.limits.max_storage_buffers_per_stage) {
    return false;
  }
  Glu glu = Glu::kNone;
  for (size_t i = 0; i < links.size(); ++i) {
    const ChainLink& link = links[i];
    if (!IsChainLink(caps, link.shape) || link.shape.block_size != links[0].shape.block_size)
      return false;
    if (i > 0 && link.shape.k != links[i - 1].shape.n) return false;
    if ((link.residual != ChainLink::kNone) != link.shape.residual) return false;
    if (link.residual >= static_cast<int>(i)) return false;
    if (link.residual >= 0 && links[static_cast<size_t>(link.residual)].shape.n != link.shape.n) {
      return false;
    }
    if (link.shape.glu == Glu::kNone) continue;
    if (glu != Glu::kNone && glu != link.shape.glu) return false;
    glu = link.shape.glu;
  }
  // Nobody else can have what the chain ends with.
  return links.back().keeps;
}

bool Fits(const gpu::Caps& caps, std::span<const ChainLink> links, const ChainTuning& tuning) {
  const gpu::Limits& limits = caps.limits;
  if (tuning.ahead == 0 || tuning.workgroups == 0 || !std::has_single_bit(tuning.workgroup) ||
      tuning.workgroup > limits.max_invocations_per_workgroup ||
      tuning.workgroup > limits.max_workgroup_size_x ||
      // Outputs go in pairs.
      tuning.workgroup < 2 * caps.fixed_subgroup_size()) {
    return false;
  }
  // The row in two bytes an element, a unit a chunk, sums of a subgroup's squares and rows.
  const uint64_t bytes = 2 * uint64_t{MaxK(links)} + MaxK(links) / kChunkCodes * 4 +
                         tuning.workgroup / caps.fixed_subgroup_size() * (1 + kMaxRows) * 4;
  if (bytes > limits.max_workgroup_storage_bytes ||
      tuning.workgroups > limits.max_workgroups_per_dimension) {
    return false;
  }
  return std::ranges::all_of(links, [&](const ChainLink& link) {
    const LinkCut cut = CutLink(caps, link.shape, tuning);
    return cut.rows <= kMaxRows && cut.rounds <= kMaxRounds;
  });
}

std::vector<ChainTuning> Tunings(const gpu::Caps& caps, std::span<const ChainLink> links) {
  std::vector<ChainTuning> tunings;
  if (!Fit(caps, links)) return tunings;
  // A CPU holds one workgroup for sure. GPUs: one or two a multiprocessor, of which an H100 or H200
  // has 132, others less.
  if (caps.software) {
    for (const uint32_t workgroup : {256u, 512u, 1024u}) {
      const ChainTuning tuning = {workgroup, 1, 12};
      if (Fits(caps, links, tuning)) tunings.push_back(tuning);
    }
    return tunings;
  }
  // Compiling one takes NVIDIA's driver seconds, so few are tried.
  for (const ChainTuning& tuning :
       {ChainTuning{512, 132, 12}, ChainTuning{512, 132, 16}, ChainTuning{512, 64, 12},
        ChainTuning{256, 64, 16}, ChainTuning{256, 32, 16}}) {
    if (Fits(caps, links, tuning)) tunings.push_back(tuning);
  }
  return tunings;
}

std::optional<ChainTuning> ParseVariant(std::string_view variant) {
  ChainTuning tuning;
  const std::string text(variant);
  if (std::sscanf(text.c_str(), "chain.wg%ux%u.a%u", &tuning.workgroup, &tuning.workgroups,
                  &tuning.ahead) != 3 ||
      ChainVariant(tuning) != variant) {
    return std::nullopt;
  }
  return tuning;
}

ChainPlan Plan(const gpu::Caps& caps, std::span<const ChainLink> links, const ChainTuning& tuning) {
  ChainPlan plan;
  KernelPlan& kernel = plan.kernel;
  kernel.wgsl = "matmul_nbits/matmul_nbits_chain.wgsl";
  kernel.defines = {"f16", "subgroups", "integers_bits4"};
  kernel.variant = fmt::format("matmul_nbits_chain.f16.b4.blk{}", links[0].shape.block_size);
  Glu glu = Glu::kNone;
  uint64_t words = kChainHeadWords;
  std::vector<uint64_t> row_of;  // each link's Y in `rows`
  for (size_t i = 0; i < links.size(); ++i) {
    const ChainLink& link = links[i];
    const MatMulNBitsShape& shape = link.shape;
    const LinkCut cut = CutLink(caps, shape, tuning);
    const bool gated = shape.glu != Glu::kNone;
    if (gated) glu = shape.glu;
    const auto define = [&](bool there, std::string_view name) {
      if (there) kernel.defines.push_back(fmt::format("{}_{}", name, i));
    };
    define(true, "link");
    define(shape.bias, "bias");
    define(shape.norm.present, "norm");
    define(link.residual == ChainLink::kOutside, "residual");
    define(link.keeps, "kept");
    const bool outside = link.residual == ChainLink::kOutside;
    row_of.push_back(i + 1 < links.size() ? words : 0);
    // In the order of struct Link.
    kernel.prelude += fmt::format(
        "const kLink{0} = Link({0}u, {1}u, {2}u, {3}u, {4}u, {5}u, {6}u, {7}u, {8}, {9}, "
        "{10:.9e}, {11}, {12}u, {13}u, {14}u);\n",
        i, shape.n, shape.k, cut.outputs, cut.rows, cut.block, cut.rounds, cut.parts, gated,
        shape.norm.present, shape.norm.epsilon, outside, i == 0 ? 0 : row_of[i - 1],
        link.residual >= 0 ? row_of[static_cast<size_t>(link.residual)] : 0, row_of[i]);
    if (i + 1 < links.size()) words += shape.n / 2;
    const auto tag = [](bool there, std::string_view name) {
      return there ? fmt::format(".{}", name) : std::string();
    };
    kernel.variant += fmt::format(
        "-{}x{}{}{}{}{}{}", shape.n, shape.k,
        tag(shape.norm.present, fmt::format("norm{:g}", shape.norm.epsilon)),
        tag(gated, GluName(shape.glu)), tag(shape.bias, "bias"),
        tag(shape.residual, fmt::format("residual{}", link.residual)), tag(link.keeps, "kept"));
  }
  if (glu != Glu::kNone) {
    kernel.prelude +=
        fmt::format("fn activation(x: f32) -> f32 {{ return {}(x); }}\n", GluName(glu));
    kernel.defines.emplace_back("gated");
  }
  // Some 10 ms where a look at memory takes 0.7 us: a wait is a thousand times shorter, and a
  // driver's patience with a list of such dispatches longer. A CPU looks more often, and others
  // keep it from its work.
  const uint32_t spins = caps.software ? 1u << 30 : 1u << 14;
  kernel.prelude += fmt::format(
      "const kWorkgroupSize = {}u;\nconst kLanes = {}u;\nconst kBlockChunks = {}u;\n"
      "const kMaxK = {}u;\nconst kHeadWords = {}u;\nconst kStuck = {}u;\nconst kMaxSpins = {}u;\n"
      "const kWorkgroups = {}u;\n",
      tuning.workgroup, caps.fixed_subgroup_size(), links[0].shape.block_size / kChunkCodes,
      MaxK(links), kChainHeadWords, kChainStuckWord, spins, tuning.workgroups);
  kernel.variant += fmt::format("-{}.sg{}", ChainVariant(tuning), caps.fixed_subgroup_size());
  kernel.workgroups = {tuning.workgroups, 1, 1};
  plan.row_words = words;
  return plan;
}

}  // namespace

std::string ChainVariant(const ChainTuning& tuning) {
  return fmt::format("chain.wg{}x{}.a{}", tuning.workgroup, tuning.workgroups, tuning.ahead);
}

bool IsChainLink(const gpu::Caps& caps, const MatMulNBitsShape& shape) {
  const MatMulNBitsNorm& norm = shape.norm;
  return caps.packed_dot_product && caps.f16 && caps.fixed_subgroup_size() >= kChunkThreads &&
         shape.m == 1 && shape.bits == 4 && shape.block_size >= kChunkCodes &&
         shape.k % shape.block_size == 0 && shape.n % 2 == 0 && shape.dtype == DType::kF16 &&
         shape.zero_points == ZeroPoints::kDefault && shape.experts == 0 && shape.n_begin == 0 &&
         (shape.n_count == 0 || shape.n_count == shape.n) &&
         (!norm.present || (norm.skip == Skip::kNone && norm.input_dtype == DType::kF16 &&
                            norm.scale_dtype == DType::kF16));
}

std::vector<std::string> ChainVariants(const gpu::Caps& caps, std::span<const ChainLink> links) {
  std::vector<std::string> variants;
  for (const ChainTuning& tuning : Tunings(caps, links)) variants.push_back(ChainVariant(tuning));
  return variants;
}

ChainPlan PlanMatMulNBitsChain(const gpu::Caps& caps, std::span<const ChainLink> links,
                               std::string_view variant) {
  const std::vector<ChainTuning> tunings = Tunings(caps, links);
  if (!tunings.empty() && variant.empty()) return Plan(caps, links, tunings[0]);
  if (const std::optional<ChainTuning> forced = ParseVariant(variant);
      forced && Fit(caps, links) && Fits(caps, links, *forced)) {
    return Plan(caps, links, *forced);
  }
  ThrowUnknownVariant("matmul_nbits_chain", variant, ChainVariants(caps, links));
}

}  // namespace sinter::kernels
