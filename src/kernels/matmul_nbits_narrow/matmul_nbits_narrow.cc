#include "kernels/matmul_nbits_narrow/matmul_nbits_narrow.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/check.h"
#include "kernels/common/matrix_tile.h"
#include "kernels/matmul_nbits/matmul_nbits_plan.h"

namespace sinter::kernels {
namespace {

// Upper bounds on what a thread holds: chunks of A and units of B of a step, quads of Y.
constexpr uint32_t kMaxNarrowAFetches = 8, kMaxNarrowBFetches = 8, kMaxNarrowQuads = 8;
// Registers of a multiprocessor of the GPUs that were measured, and those of a thread that are not
// loads or sums.
constexpr uint32_t kRegisters = 65536, kOtherRegisters = 48;
// Chunks of a row that a lane loads for the norm.
constexpr uint32_t kMaxNormLoads = 32;

// Properties of a tuning on an adapter.
struct NarrowLayout {
  MatrixTile tile;
  MatrixTileLayout matrices;
  uint32_t unit_words;            // words of a load of B
  uint32_t a_fetches, b_fetches;  // loads of a thread for a step
  uint32_t part_steps;            // steps of a part
  uint32_t depth;                 // steps of a prefetch, which divides part_steps
  uint32_t norm_loads;
};

uint32_t NarrowColumns(const MatMulNBitsShape& shape) {
  const uint32_t n = shape.n_count == 0 ? shape.n - shape.n_begin : shape.n_count;
  return shape.glu == Glu::kNone ? n : 2 * n;
}

uint32_t NarrowTiles(const MatMulNBitsShape& shape, const NarrowTuning& tuning) {
  return CeilDiv(shape.m, tuning.m) * CeilDiv(NarrowColumns(shape), tuning.n);
}

// Returns the words of the counters and of the sums of every part.
uint64_t NarrowWords(const MatMulNBitsShape& shape, const NarrowTuning& tuning) {
  if (tuning.parts == 1) return 0;
  return kCounterWords + uint64_t{NarrowTiles(shape, tuning)} * tuning.parts * tuning.m * tuning.n;
}

// Returns whether the kernel computes what the shape requires.
bool SupportsNarrow(const Caps& caps, const MatMulNBitsShape& shape) {
  const MatMulNBitsNorm& norm = shape.norm;
  if (shape.dtype != DType::kF16 || shape.experts > 0 || shape.k % 8 != 0) return false;
  if (shape.glu != Glu::kNone && shape.n_count != 0) return false;
  if (norm.present &&
      (norm.skip != Skip::kNone || norm.keeps_sum || norm.input_dtype != DType::kF16)) {
    return false;
  }
  const uint32_t buffers = 4 + (shape.zero_points != ZeroPoints::kDefault ? 1 : 0) +
                           (shape.bias ? 1 : 0) + (shape.residual ? 1 : 0) +
                           (norm.present ? 1 : 0) + 1;
  return buffers <= caps.limits.max_storage_buffers_per_stage;
}

// Returns the words of the widest load of B with which all threads have the same number of loads,
// or, if there is none, of the widest load. A load stays inside one block and has at least the 8
// codes that are dequantized together.
uint32_t NarrowUnitWords(const MatMulNBitsShape& shape, const NarrowTuning& tuning,
                         uint32_t threads) {
  const uint32_t step_words = tuning.step * shape.bits / 32;
  const uint32_t least = std::max(1u, shape.bits / 4);
  for (uint32_t words = shape.unit_words(); words >= least; words /= 2) {
    if (step_words % words == 0 && tuning.n * (step_words / words) % threads == 0) return words;
  }
  return shape.unit_words();
}

// Returns nothing if the adapter cannot run the tuning.
std::optional<NarrowLayout> LayOutNarrow(const Caps& caps, const MatMulNBitsShape& shape,
                                         const NarrowTuning& tuning) {
  const std::optional<SubgroupMatrixConfig> config = FindMatrixConfig(caps);
  if (!config || !SupportsNarrow(caps, shape) || tuning.m % config->m != 0) return {};
  NarrowLayout layout = {};
  layout.tile = {.m = tuning.m,
                 .n = tuning.n,
                 .step = tuning.step,
                 .rows = std::min(4u, tuning.m / config->m),
                 .cols = tuning.cols,
                 .split = tuning.split,
                 .buffers = tuning.buffers};
  const std::optional<MatrixTileLayout> matrices = LayOutMatrixTile(caps, layout.tile, true);
  if (!matrices) return {};
  layout.matrices = *matrices;
  const uint32_t threads = matrices->threads;
  const uint32_t subgroup = matrices->subgroup_size;

  const uint32_t tile_bytes = tuning.buffers * (tuning.m + tuning.n) * (tuning.step / 8 + 1) * 16;
  if (tile_bytes + 4 * tuning.m + 16 > caps.limits.max_workgroup_storage_bytes) return {};

  // Steps of whole blocks, of which each thread has its own place in a row.
  if (tuning.step % shape.block_size != 0 || threads % (tuning.step / 8) != 0) return {};
  layout.unit_words = NarrowUnitWords(shape, tuning, threads);
  const uint32_t units = tuning.step * shape.bits / 32 / layout.unit_words;
  layout.a_fetches = CeilDiv(tuning.m * tuning.step / 8, threads);
  layout.b_fetches = CeilDiv(tuning.n * units, threads);
  if (layout.a_fetches > kMaxNarrowAFetches || layout.b_fetches > kMaxNarrowBFetches) return {};

  // Products are written in quads of a row, of either half if they are gated.
  const bool gated = shape.glu != Glu::kNone;
  if (gated && tuning.cols * config->n % 8 != 0) return {};
  const uint32_t quads = config->m * tuning.cols * config->n / (gated ? 8 : 4);
  if (CeilDiv(quads, tuning.split * subgroup) > kMaxNarrowQuads) return {};

  const uint32_t steps = CeilDiv(shape.k, tuning.step);
  if (tuning.parts > 1 &&
      (gated || steps % tuning.parts != 0 || NarrowTiles(shape, tuning) > kCounterWords)) {
    return {};
  }
  layout.part_steps = CeilDiv(steps, tuning.parts);
  layout.norm_loads = CeilDiv(shape.k / 8, subgroup);
  if (shape.norm.present && layout.norm_loads > kMaxNormLoads) return {};

  // Two prefetches are in registers, unless one has all steps.
  uint32_t norm_words = 0;
  if (shape.norm.present) norm_words = shape.norm.scale_dtype == DType::kF16 ? 4 : 8;
  const uint32_t step_words =
      4 * layout.a_fetches + (layout.unit_words + 1) * layout.b_fetches + norm_words;
  const uint32_t sum_words = layout.tile.rows * layout.tile.cols * config->m * config->n / subgroup;
  const auto fits = [&](uint32_t depth) {
    const uint32_t prefetches = depth < layout.part_steps ? 2 : 1;
    return prefetches * depth * step_words + sum_words + kOtherRegisters <=
           std::min(255u, kRegisters / threads);
  };
  layout.depth = std::min(tuning.depth, layout.part_steps);
  while (layout.depth > 1 && (layout.part_steps % layout.depth != 0 || !fits(layout.depth)))
    --layout.depth;
  return layout;
}

// A tile that may be guessed, and the microseconds that 1,024 of K take a workgroup on an H200.
struct NarrowGuess {
  NarrowTuning tuning;
  double microseconds;
};
// Up to 64 rows: tiles with one order of sums (see NarrowTuning), apart from their parts.
constexpr NarrowGuess kNarrowGuesses[] = {
    {{16, 64, 128, 2, 4, 1, 2}, 2.9}, {{16, 96, 128, 3, 4, 1, 2}, 5.0},
    {{16, 32, 128, 2, 4, 1, 2}, 2.8}, {{32, 64, 128, 2, 4, 1, 2}, 3.7},
    {{32, 96, 128, 3, 4, 1, 2}, 6.2}, {{32, 32, 128, 2, 4, 1, 2}, 3.5},
    {{64, 64, 128, 2, 4, 1, 2}, 6.2}, {{64, 96, 128, 3, 4, 1, 2}, 8.8},
    {{64, 32, 128, 2, 4, 1, 2}, 5.2},
};
// More rows.
constexpr NarrowGuess kTallGuesses[] = {{{64, 64, 64, 2, 4, 2, 4}, 5.7},
                                        {{64, 64, 64, 2, 4, 2, 4, 2}, 5.7},
                                        {{64, 128, 64, 4, 4, 1, 4}, 11.2}};
constexpr double kNarrowJoinMicroseconds = 1.6;

// Other tunings that are the fastest for some product of Qwen3-1.7B, or for GPUs with little
// workgroup memory.
constexpr NarrowTuning kNarrowOthers[] = {
    {16, 32, 256, 2, 16, 1, 8}, {16, 32, 256, 2, 8, 1, 8}, {16, 16, 256, 1, 8, 1, 4},
    {32, 32, 128, 2, 8, 2, 4},  {32, 16, 256, 1, 8, 1, 4}, {64, 64, 64, 2, 4, 2, 4},
    {64, 32, 128, 2, 8, 1, 2},  {64, 128, 64, 4, 4, 1, 4}, {16, 16, 128, 1, 4, 1, 1},
    {32, 16, 64, 1, 2, 1, 1},   {64, 32, 64, 1, 2, 1, 1},
};
constexpr uint32_t kNarrowParts[] = {1, 2, 4, 8};
// Workgroups that are not worth measuring because they are too few or because parts gain nothing,
// and the multiprocessors of an H200.
constexpr uint32_t kFewWorkgroups = 64, kManyWorkgroups = 300, kNarrowMultiprocessors = 132;
// Least length of a guessed part.
constexpr uint32_t kLeastPart = 512;

// Returns the rows of the smallest tile that holds all rows, or the largest tile.
uint32_t TileRowsOf(uint32_t m) { return m <= 16 ? 16 : m <= 32 ? 32 : 64; }

// Returns how many parts of K are guessed to be fastest for up to 64 rows: so many that about all
// multiprocessors have a tile of 64 columns. The number of rows does not matter, so that it does
// not change the result.
uint32_t GuessedParts(const MatMulNBitsShape& shape) {
  if (shape.glu != Glu::kNone) return 1;
  const uint32_t tiles = CeilDiv(NarrowColumns(shape), 64);
  uint32_t parts = 1;
  while (parts < 4 && 2 * parts * tiles <= kNarrowMultiprocessors &&
         shape.k >= 2 * parts * kLeastPart && shape.k % (2 * parts * 128) == 0) {
    parts *= 2;
  }
  return parts;
}

// Returns the guesses that the adapter can run, the one with the least predicted time first.
std::vector<NarrowTuning> GuessNarrow(const Caps& caps, const MatMulNBitsShape& shape) {
  std::vector<NarrowGuess> guesses;
  const auto consider = [&](NarrowGuess guess) {
    const NarrowTuning& tuning = guess.tuning;
    if (tuning.m != TileRowsOf(shape.m) || !LayOutNarrow(caps, shape, tuning)) return;
    const uint32_t workgroups = NarrowTiles(shape, tuning) * tuning.parts;
    guess.microseconds *=
        CeilDiv(workgroups, kNarrowMultiprocessors) * (shape.k / 1024.0) / tuning.parts;
    if (tuning.parts > 1) guess.microseconds += kNarrowJoinMicroseconds;
    guesses.push_back(guess);
  };
  if (shape.m > 64) std::ranges::for_each(kTallGuesses, consider);
  for (NarrowGuess guess : kNarrowGuesses) {
    if (shape.m > 64) break;
    guess.tuning.parts = GuessedParts(shape);
    consider(guess);
  }
  std::ranges::stable_sort(guesses, {}, &NarrowGuess::microseconds);
  std::vector<NarrowTuning> tunings;
  tunings.reserve(guesses.size());
  for (const NarrowGuess& guess : guesses) tunings.push_back(guess.tuning);
  return tunings;
}

}  // namespace

std::string NarrowVariant(const NarrowTuning& tuning) {
  return fmt::format("narrow.{}x{}x{}.c{}.k{}.d{}{}{}", tuning.m, tuning.n, tuning.step,
                     tuning.cols, tuning.split, tuning.depth, tuning.buffers == 2 ? ".double" : "",
                     tuning.parts == 1 ? "" : fmt::format(".p{}", tuning.parts));
}

std::vector<NarrowTuning> NarrowTunings(const Caps& caps, const MatMulNBitsShape& shape) {
  if (shape.m > kMatMulNBitsNarrowRows) return {};
  std::vector<NarrowTuning> tunings = GuessNarrow(caps, shape);
  const auto offer = [&](NarrowTuning tuning) {
    if (tuning.m != TileRowsOf(shape.m)) return;
    for (const uint32_t parts : kNarrowParts) {
      tuning.parts = parts;
      const uint32_t workgroups = NarrowTiles(shape, tuning) * parts;
      if (parts > 1 && workgroups > kManyWorkgroups) break;
      // A real GPU is too large for few workgroups: the first guess is enough of them.
      if (!caps.software && !tunings.empty() && workgroups < kFewWorkgroups) continue;
      if (LayOutNarrow(caps, shape, tuning) && std::ranges::find(tunings, tuning) == tunings.end())
        tunings.push_back(tuning);
    }
  };
  for (const NarrowGuess& guess : kNarrowGuesses) offer(guess.tuning);
  std::ranges::for_each(kNarrowOthers, offer);
  // A CPU gains nothing from loads in flight, and takes up to a minute to compile unrolled steps.
  for (NarrowTuning& tuning : tunings) tuning.depth = caps.software ? 1 : tuning.depth;
  return tunings;
}

uint64_t NarrowScratchWords(const Caps& caps, const MatMulNBitsShape& shape) {
  uint64_t words = 0;
  for (const NarrowTuning& tuning : NarrowTunings(caps, shape))
    words = std::max(words, NarrowWords(shape, tuning));
  return words;
}

KernelPlan PlanMatMulNBitsNarrow(const Caps& caps, const MatMulNBitsShape& shape,
                                 const NarrowTuning& tuning) {
  const std::optional<NarrowLayout> layout = LayOutNarrow(caps, shape, tuning);
  SINTER_CHECK(layout.has_value(), "{} on this adapter", NarrowVariant(tuning));
  const bool gated = shape.glu != Glu::kNone;
  const uint32_t n_count = shape.n_count == 0 ? shape.n - shape.n_begin : shape.n_count;
  const bool whole_steps = tuning.step * layout->part_steps * tuning.parts == shape.k;
  const bool whole_columns = NarrowColumns(shape) % tuning.n == 0;
  const bool y_vec4 = shape.n % 4 == 0 && shape.n_begin % 4 == 0 && n_count % 4 == 0;
  const uint32_t tiles_m = CeilDiv(shape.m, tuning.m);

  KernelPlan plan;
  plan.wgsl = "matmul_nbits_narrow/matmul_nbits_narrow.wgsl";
  plan.prelude = MatrixTilePrelude(layout->tile, layout->matrices, /*turned=*/true);
  plan.prelude += fmt::format(
      "alias unit_t = {};\nconst kUnitWords = {}u;\nconst kBits = {}u;\nconst kBlockSize = {}u;\n"
      "const kInterleave = {}u;\nconst kUnitsTogether = {}u;\n",
      UnitType(layout->unit_words), layout->unit_words, shape.bits, shape.block_size,
      shape.interleave, shape.unit_words() / layout->unit_words);
  plan.prelude += fmt::format(
      "const kM = {}u;\nconst kN = {}u;\nconst kNBegin = {}u;\nconst kNCount = {}u;\n"
      "const kK = {}u;\nconst kWholeSteps = {};\nconst kWholeColumns = {};\n",
      shape.m, shape.n, shape.n_begin, n_count, shape.k, whole_steps, whole_columns);
  plan.prelude += fmt::format(
      "const kAFetches = {}u;\nconst kBFetches = {}u;\nconst kPartSteps = {}u;\n"
      "const kDepth = {}u;\nconst kParts = {}u;\nconst kTilesM = {}u;\nconst kCounterWords = "
      "{}u;\nconst kNormLoads = {}u;\nconst kEpsilon = {:.9e};\n",
      layout->a_fetches, layout->b_fetches, layout->part_steps, layout->depth, tuning.parts,
      tiles_m, kCounterWords, layout->norm_loads, shape.norm.epsilon);
  plan.defines = {"f16", "subgroups", "subgroup_matrix", fmt::format("unit{}", layout->unit_words),
                  std::string(ZeroPointsName(shape.zero_points))};
  plan.variant = fmt::format("matmul_nbits.f16.b{}.blk{}{}{}.{}x{}x{}", shape.bits,
                             shape.block_size, InterleaveTag(shape),
                             ZeroPointsTag(shape.zero_points), shape.m, shape.n, shape.k);
  if (shape.n_begin != 0 || shape.n_count != 0)
    plan.variant += fmt::format(".rows{}+{}", shape.n_begin, n_count);
  const auto define = [&](bool condition, std::string_view name, std::string_view tag) {
    if (!condition) return;
    plan.defines.emplace_back(name);
    plan.variant += tag;
  };
  define(shape.bias, "bias", ".bias");
  define(gated, "glu", fmt::format(".{}", GluName(shape.glu)));
  define(shape.residual, y_vec4 ? "residual_vec4" : "residual", ".residual");
  define(y_vec4, "y_vec4", "");
  define(tuning.parts > 1, "join", "");
  if (gated) {
    plan.prelude +=
        fmt::format("fn activation(x: f32) -> f32 {{ return {}(x); }}\n", GluName(shape.glu));
  }
  if (shape.norm.present) {
    const std::string_view scale = WgslType(caps, shape.norm.scale_dtype);
    define(true, "norm", fmt::format(".eps{:g}.norm_{}", shape.norm.epsilon, scale));
    plan.prelude += fmt::format("alias norm_v = vec4<{}>;\n", scale);
  }
  plan.variant +=
      fmt::format(".{}.sg{}.{}x{}x{}", NarrowVariant(tuning), layout->matrices.subgroup_size,
                  layout->matrices.config.m, layout->matrices.config.n, layout->matrices.config.k);

  plan.workgroups = {tiles_m, CeilDiv(NarrowColumns(shape), tuning.n), tuning.parts};
  plan.scratch_words = NarrowWords(shape, tuning);
  plan.SetParams(MatMulNBitsNarrowParams{shape.m, {}});
  return plan;
}

}  // namespace sinter::kernels
