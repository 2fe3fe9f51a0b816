#include "kernels/matmul_nbits_decode/matmul_nbits_decode.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <optional>

#include "base/check.h"
#include "kernels/matmul_nbits/matmul_nbits_plan.h"
#include "kernels/sample/token_choice.h"

namespace sinter::kernels {
namespace {

// Upper bound on the rows of A that a workgroup computes at once.
constexpr uint32_t kMaxRowsAtOnce = 8;
// Upper bound on the octets of a normalized row that a thread keeps in registers.
constexpr uint32_t kMaxOctets = 4;

// Division of the work: constants of matmul_nbits_decode.wgsl.
struct Cut {
  uint32_t rows_a;       // kM
  uint32_t lanes;        // kLanes
  uint32_t chunk_words;  // kChunkWords
  uint32_t chunks;       // kChunks
  uint32_t phases;       // kPhases
  uint32_t octets;       // kOctets
};

// Returns the number of storage buffers that the shape binds.
uint64_t BindingCount(const MatMulNBitsShape& shape) {
  const MatMulNBitsNorm& norm = shape.norm;
  return 4 + (shape.zero_points != ZeroPoints::kDefault ? 1 : 0) + (shape.bias ? 1 : 0) +
         (shape.residual ? 1 : 0) + (norm.present ? 1 : 0) +
         (norm.present && norm.skip != Skip::kNone ? 1 : 0) +
         (norm.present && norm.skip == Skip::kNormalized ? 1 : 0) +
         (norm.present && norm.keeps_sum ? 1 : 0);
}

// Returns the upper bound on the lanes of a team.
uint32_t Subgroup(const Caps& caps) {
  return caps.subgroups ? std::clamp(caps.subgroup_min_size, 1u, 32u) : 32;
}

// Returns the threads of a team. The teams of a squad together have as many threads as a team on
// its own.
uint32_t Lanes(const Caps& caps, const MatMulNBitsShape& shape) {
  return std::max(1u, Subgroup(caps) / shape.interleave);
}

bool UsesIntegers(const Caps& caps, const MatMulNBitsShape& shape, const DecodeTuning& tuning) {
  // The octets of a chunk are in as many neighbouring threads of a subgroup.
  const uint32_t chunk_octets = shape.unit_words() * 4 / shape.bits;
  return tuning.integers && caps.packed_dot_product && caps.subgroups && shape.bits != 2 &&
         DeviceDType(caps, shape.dtype) == DType::kF16 && caps.subgroup_min_size >= chunk_octets;
}

// Returns the sums of a team in workgroup memory.
uint32_t Partials(const Caps& caps, const Cut& cut, const DecodeTuning& tuning) {
  if (!caps.subgroups) return cut.lanes + 1;
  return tuning.split > 1 ? 1 : 0;
}

// Returns nothing if the shape does not fit.
std::optional<Cut> CutWork(const Caps& caps, const MatMulNBitsShape& shape,
                           const DecodeTuning& tuning) {
  const Limits& limits = caps.limits;
  if (BindingCount(shape) > limits.max_storage_buffers_per_stage ||
      tuning.workgroup > limits.max_invocations_per_workgroup ||
      tuning.workgroup > limits.max_workgroup_size_x) {
    return std::nullopt;
  }
  Cut cut = {};
  cut.lanes = Lanes(caps, shape);
  if (cut.lanes * shape.interleave * tuning.split > tuning.workgroup) return std::nullopt;
  cut.chunk_words = shape.unit_words();
  cut.chunks = static_cast<uint32_t>(shape.b_row_bytes() / 4 / cut.chunk_words);
  const uint32_t chunk_codes = cut.chunk_words * 32 / shape.bits;
  cut.octets = CeilDiv(cut.chunks * chunk_codes, 8 * tuning.workgroup);

  const bool integers = UsesIntegers(caps, shape, tuning);
  const uint64_t chunk_bytes = integers ? 2 * chunk_codes + 8 : 4 * chunk_codes;
  const uint32_t iterations = CeilDiv(cut.chunks, cut.lanes * tuning.split);
  if (shape.norm.present && (cut.octets > kMaxOctets || shape.k % 8 != 0)) return std::nullopt;
  // Takes as many rows of A as fit. Rows that are normalized must fit whole.
  for (cut.rows_a = std::bit_ceil(std::min(shape.m, kMaxRowsAtOnce)); cut.rows_a > 0;
       cut.rows_a /= 2) {
    const uint64_t iteration_bytes = uint64_t{cut.rows_a} * cut.lanes * tuning.split * chunk_bytes;
    uint64_t used = 0;
    if (shape.norm.present) {
      used = caps.subgroups ? 8 * cut.rows_a * (tuning.workgroup / caps.subgroup_min_size)
                            : 4 * (tuning.workgroup + cut.rows_a);
    }
    used +=
        uint64_t{cut.rows_a} * (tuning.workgroup / cut.lanes) * Partials(caps, cut, tuning) * 16;
    if (used + iteration_bytes > limits.max_workgroup_storage_bytes) continue;
    const uint64_t fit = (limits.max_workgroup_storage_bytes - used) / iteration_bytes;
    cut.phases = static_cast<uint32_t>((iterations + fit - 1) / fit);
    if (cut.phases == 1 || !shape.norm.present) break;
  }
  if (cut.rows_a == 0) return std::nullopt;
  // A phase consists of whole blocks of one group.
  if (cut.phases > 1 && (tuning.groups > 1 || tuning.block > 1)) return std::nullopt;
  return cut;
}

// Returns `alias NAME = TYPE;`, with a vector of 4 if `vec4`.
std::string Alias(const Caps& caps, std::string_view name, DType dtype, bool vec4) {
  const std::string_view type = WgslType(caps, dtype);
  return fmt::format("alias {} = {};\n", name,
                     vec4 ? fmt::format("vec4<{}>", type) : std::string(type));
}

}  // namespace

std::string DecodeVariant(const DecodeTuning& tuning) {
  return fmt::format("decode.wg{}.r{}.b{}.g{}.s{}{}", tuning.workgroup, tuning.rows, tuning.block,
                     tuning.groups, tuning.split, tuning.integers ? "" : ".f32");
}

std::vector<DecodeTuning> DecodeTunings(const Caps& caps, const MatMulNBitsShape& shape) {
  std::vector<DecodeTuning> tunings;
  const uint32_t n = shape.n_count == 0 ? shape.n : shape.n_count;
  const uint32_t b_rows = shape.glu == Glu::kNone ? n : 2 * n;
  const uint32_t min_rows = shape.glu == Glu::kNone ? 1 : 2;
  const uint32_t chunks = static_cast<uint32_t>(shape.b_row_bytes() / 4 / shape.unit_words());
  const uint32_t lanes = Lanes(caps, shape);
  const auto add = [&](uint32_t workgroup, uint32_t rows, uint32_t groups, uint32_t split,
                       uint32_t largest_block) {
    if (rows < min_rows) return;
    // A CPU gains nothing from loads in flight, and takes long to compile unrolled code.
    if (caps.software) largest_block = 1;
    // Whole groups are in flight, as far as registers allow.
    const uint32_t steps = CeilDiv(chunks, lanes * split) * groups;
    uint32_t block = std::min({steps, 16 / rows, largest_block});
    while (steps % block != 0) --block;
    for (const uint32_t b : {block, 1u}) {
      DecodeTuning tuning = {workgroup, rows, b, groups, split, true};
      tuning.integers = UsesIntegers(caps, shape, tuning);
      if (!CutWork(caps, shape, tuning)) continue;
      if (std::find(tunings.begin(), tunings.end(), tuning) == tunings.end())
        tunings.push_back(tuning);
      return;
    }
  };
  // A thousand teams fill a large GPU (none has small subgroups); beyond that, more rows at once
  // read h less often. On an H200, for N x K of Qwen3-1.7B: 4096 x 2048 takes 5.50 us by 4 rows and
  // 6.2 by 1 row; 2048 x 2048 4.58 by 2 rows and 4.78 by 4; the gated 2 x 6144 x 2048 8.28 by 4
  // rows and 8.69 by 2 rows.
  const uint32_t teams = Subgroup(caps) < 16 ? 0 : 1024;
  const uint32_t rows = std::max(min_rows, b_rows >= 4 * teams   ? 4u
                                           : b_rows >= 2 * teams ? 2u
                                                                 : 1u);
  const std::vector<uint32_t> workgroups =
      caps.subgroups ? std::vector{256u, 512u, 128u} : std::vector{64u};
  if (shape.interleave > 1) {
    // Squads have many rows, and as many teams share them along K. A thread with more rows is fast
    // if weights are in the cache, as while measuring, but not if they come from memory. On an
    // H100, tokens/s of Phi-3-mini and Llama-3.2-1B with single products: 2 rows and 8 squads 614
    // and 1,497 (row by row 606 and 1,500), 4 rows and 16 squads 627 and 1,463, 1 row and 8 squads
    // 605 and 1,470, 4 rows and 8 squads 402 and 1,350, 1 row and 1 squad 307 and 895.
    uint32_t split = teams == 0 ? 1 : 8;
    while (split > 1 &&
           (chunks < lanes * split || lanes * shape.interleave * split > workgroups.front())) {
      split /= 2;
    }
    const uint32_t usual = workgroups.front(), large = workgroups[workgroups.size() / 2];
    if (split > 1) {
      add(usual, 2, 1, split, 8);
      add(large, 2, 1, split, 8);
      if (chunks >= 2 * lanes * split) add(large, 4, 1, 2 * split, 8);
      add(usual, 1, 1, split, 8);
    } else {
      for (const uint32_t workgroup : {usual, large}) {
        for (const uint32_t other : {4u, 2u, 1u}) add(workgroup, other, 1, 1, 8);
      }
    }
    add(workgroups.back(), min_rows, 1, 1, 8);
    return tunings;
  }
  for (const uint32_t workgroup : workgroups) add(workgroup, rows, 1, 1, 8);
  for (const uint32_t workgroup : workgroups) {
    for (const uint32_t r : {1u, 2u, 4u}) add(workgroup, r, 1, 1, 8);
  }
  for (const uint32_t workgroup : workgroups) {
    // Long rows: 2048 x 8192 takes 8.3 us by two teams and 8.5 by one.
    for (const uint32_t split : {2u, 4u}) {
      if (chunks >= lanes * split && b_rows <= 8192) add(workgroup, rows, 1, split, 8);
    }
    // Many rows: for a head of 151,936 rows, groups of 2 or 3 are as fast as 1 in some cases.
    for (const uint32_t groups : {2u, 3u}) {
      if (b_rows / rows / groups >= 4000) add(workgroup, rows, groups, 1, 4);
    }
  }
  return tunings;
}

KernelPlan PlanMatMulNBitsDecode(const Caps& caps, const MatMulNBitsShape& shape,
                                 const DecodeTuning& tuning) {
  const std::optional<Cut> cut = CutWork(caps, shape, tuning);
  SINTER_CHECK(cut.has_value(), "{} does not fit", DecodeVariant(tuning));
  const MatMulNBitsNorm& norm = shape.norm;
  const bool integers = UsesIntegers(caps, shape, tuning);
  const bool gate = shape.glu != Glu::kNone;
  const bool vec4 = shape.k % 4 == 0;
  const DType input_dtype = norm.present ? norm.input_dtype : shape.dtype;
  const std::string_view act = WgslType(caps, shape.dtype);

  KernelPlan plan;
  plan.wgsl = "matmul_nbits_decode/matmul_nbits_decode.wgsl";
  plan.prelude = fmt::format(
      "alias act_t = {0};\nalias output_t = {0};\nalias unit_t = {1};\n"
      "const kBits = {2}u;\nconst kBlockSize = {3}u;\nconst kK = {4}u;\nconst kBlocks = {5}u;\n"
      "const kChunkWords = {6}u;\nconst kChunks = {7}u;\nconst kPhases = {8}u;\n"
      "const kOctets = {9}u;\nconst kWorkgroupSize = {10}u;\nconst kLanes = {11}u;\n"
      "const kM = {12}u;\nconst kRows = {13}u;\nconst kPrefetch = {14}u;\nconst kRowGroups = "
      "{15}u;\n"
      "const kCodeUnit = {16};\nconst kSubgroups = {17}u;\n"
      "const kSplit = {18}u;\nconst kPartials = {19}u;\nconst kInterleave = {20}u;\n"
      "const kSubgroup = {21}u;\n",
      act, UnitType(cut->chunk_words), shape.bits, shape.block_size, shape.k, shape.blocks(),
      cut->chunk_words, cut->chunks, cut->phases, cut->octets, tuning.workgroup, cut->lanes,
      cut->rows_a, tuning.rows, tuning.block, tuning.groups,
      integers && shape.bits == 4 ? 1.0 / 16 : 1.0,
      caps.subgroups ? tuning.workgroup / std::max(1u, caps.subgroup_min_size) : 1, tuning.split,
      Partials(caps, *cut, tuning), shape.interleave, std::max(1u, caps.fixed_subgroup_size()));
  plan.prelude += Alias(caps, "input_v", input_dtype, vec4);
  std::string tag = fmt::format("matmul_nbits.{}.b{}.blk{}{}.{}x{}x{}", act, shape.bits,
                                shape.block_size, InterleaveTag(shape), shape.m, shape.n, shape.k);

  plan.defines.emplace_back(ZeroPointsName(shape.zero_points));
  tag += ZeroPointsTag(shape.zero_points);
  plan.defines.push_back(fmt::format("chunk{}", cut->chunk_words));
  const auto define = [&](bool condition, std::string_view name, std::string_view suffix) {
    if (!condition) return;
    plan.defines.emplace_back(name);
    if (!suffix.empty()) tag += fmt::format(".{}", suffix);
  };
  define(act == "f16" || WgslType(caps, input_dtype) == "f16", "f16", "");
  define(caps.subgroups, "subgroups", "");
  define(caps.subgroups && caps.fixed_subgroup_size() == 0, "subgroups_vary", "");
  define(Partials(caps, *cut, tuning) > 0, "partials", "");
  define(caps.subgroups && tuning.split > 1, "split", "");
  define(vec4, "vec4", "");
  define(integers, "integers", "");
  if (integers) plan.defines.push_back(fmt::format("integers_bits{}", shape.bits));
  define(integers && shape.zero_points != ZeroPoints::kDefault, "integers_zero_points", "");
  define(shape.bias, "bias", "bias");
  define(shape.bias && gate, "gate_bias", "");
  define(shape.residual, "residual", "residual");
  define(gate, "gate", GluName(shape.glu));
  if (gate) {
    plan.prelude +=
        fmt::format("fn activation(x: f32) -> f32 {{ return {}(x); }}\n", GluName(shape.glu));
  }
  if (shape.n_count != 0) tag += fmt::format(".rows{}+{}", shape.n_begin, shape.n_count);
  const bool whole = cut->phases == 1 && cut->octets <= kMaxOctets;
  define(!norm.present && whole, "whole_rows", "");
  define(!norm.present && !whole, "parted_rows", "");
  if (norm.present) {
    tag += fmt::format(".eps{:g}", norm.epsilon);
    if (norm.skip == Skip::kNormalized) tag += fmt::format("_{:g}", norm.skip_epsilon);
    const std::string_view input = WgslType(caps, norm.input_dtype);
    define(true, "norm", fmt::format("norm_{}_{}", input, WgslType(caps, norm.scale_dtype)));
    plan.prelude += Alias(caps, "norm_v", norm.scale_dtype, true);
    if (norm.skip != Skip::kNone) {
      define(true, "skip", fmt::format("skip_{}", WgslType(caps, norm.skip_dtype)));
      plan.prelude += Alias(caps, "skip_v", norm.skip_dtype, true);
    }
    if (norm.skip == Skip::kNormalized) {
      define(true, "skip_norm", fmt::format("skip_norm_{}", WgslType(caps, norm.skip_scale_dtype)));
      plan.prelude += Alias(caps, "skip_norm_v", norm.skip_scale_dtype, true);
    }
    define(norm.skip == Skip::kPlain, "skip_plain", "");
    define(norm.skip == Skip::kNone, "skip_none", "");
    define(norm.keeps_sum, "sum", "sum");
  } else {
    plan.defines.emplace_back("skip_none");
  }

  const uint32_t n_count = shape.n_count == 0 ? shape.n - shape.n_begin : shape.n_count;
  const uint32_t outputs = tuning.workgroup / cut->lanes / tuning.split * tuning.groups *
                           (gate ? tuning.rows / 2 : tuning.rows);
  plan.workgroups = FoldGrid(caps, CeilDiv(n_count, outputs));
  plan.workgroups[2] = CeilDiv(shape.m, cut->rows_a);
  plan.prelude += fmt::format(
      "const kN = {}u;\nconst kNBegin = {}u;\nconst kNCount = {}u;\nconst kRowsA = {}u;\n"
      "const kGridX = {}u;\nconst kZeroPointsRowBytes = {}u;\n"
      "const kEpsilon = {:.9e};\nconst kSkipEpsilon = {:.9e};\n",
      shape.n, shape.n_begin, n_count, shape.m, plan.workgroups[0],
      shape.packed_zero_points_row_bytes(), norm.epsilon, norm.skip_epsilon);
  plan.variant = fmt::format("{}.{}{}", tag, DecodeVariant(tuning),
                             caps.subgroups ? fmt::format(".sg{}", Subgroup(caps)) : "");
  return plan;
}

}  // namespace sinter::kernels
