#include "kernels/matmul_nbits_matrix/matmul_nbits_matrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/check.h"
#include "kernels/matmul_nbits/matmul_nbits_plan.h"

namespace sinter::kernels {
namespace {

// Tilings in the order of preference, large ones first: m, n, step, rows, cols, split, buffers,
// parts, late. All but the last have four subgroups or more: fewer do not hide the latency of
// loads.
constexpr MatrixTuning kTunings[] = {
    {128, 128, 32, 4, 4, 1, 2},
    {128, 128, 64, 4, 4, 2, 1},
    {128, 128, 32, 4, 2, 1, 2},
    {128, 128, 32, 4, 4, 1, 1},
    {256, 128, 32, 4, 4, 1, 1},
    {64, 128, 64, 4, 4, 2, 1},
    {64, 128, 32, 2, 4, 1, 2},
    {128, 64, 64, 4, 4, 2, 1},
    {128, 64, 32, 4, 2, 1, 2},
    {64, 64, 64, 4, 4, 4, 2},
    {64, 64, 64, 2, 2, 1, 2},
    {64, 64, 32, 2, 2, 1, 2},
    {32, 128, 64, 2, 2, 1, 2},
    {32, 64, 128, 2, 2, 2, 1},
    {32, 32, 256, 2, 1, 4, 1},
    {16, 64, 128, 1, 1, 1, 1},
    {16, 32, 256, 1, 1, 4, 1},
    {16, 16, 512, 1, 1, 8, 1},
    // Widths that divide a weight's columns into as many tiles as the 132 multiprocessors of an
    // H100 or H200 run at once, or a little fewer: with 512 rows, 128 tiles of 96 of 3,072 columns,
    // 256 of 144 of 9,216 (two per multiprocessor, 106 us instead of 145 with 128 x 128), 256 of
    // 192 of gates and ups of 6,144. Two workgroups of 192 threads leave a thread 168 registers,
    // too few for early loads.
    {128, 96, 64, 4, 3, 2, 1},
    {128, 144, 32, 4, 3, 1, 1, 1, true},
    {128, 192, 64, 4, 3, 1, 1},
    // Half as many sums in a thread's registers.
    {128, 128, 64, 4, 2, 1, 1},
};

// From kManyRows rows on, tiles of fewer than kMinTileOfManyRows rows are an alternative only if no
// other tile fits: each of them dequantizes all of B again. Compiling tilings that never win only
// makes first loads long.
constexpr uint32_t kManyRows = 256, kMinTileOfManyRows = 64;
// Rows up to which the costs below do not tell the fastest tiling.
constexpr uint32_t kFewRows = 64;

// Tilings with two workgroups per tile, for shapes with at most this many tiles, so that each of
// the 132 multiprocessors of an H100 or H200 runs two of them, or one; and with at least this many
// steps of K, so that halves pay off. Measuring at load, repeatedly with one scratch, does not show
// the cost: for 3,072 columns, 64 tiles of the widest kind, a K of 3,072 takes 45 us there and 56
// in a model, while one workgroup per tile takes 48; a K of 8,192 takes 92 and 100 instead of 106.
struct PartTuning {
  MatrixTuning tuning;
  uint32_t min_steps;
};
constexpr uint32_t kMinPartSteps = 8;
constexpr PartTuning kPartTunings[] = {{{128, 128, 64, 4, 4, 2, 1, 2}, kMinPartSteps},
                                       {{128, 64, 64, 4, 4, 2, 1, 2}, kMinPartSteps},
                                       {{128, 192, 64, 4, 3, 1, 1, 2}, 64}};
constexpr uint32_t kMaxPartTiles = 128;

// Cost of a tiling as measured on an H200, whose 132 multiprocessors run `at_once` of its
// workgroups each: kLaunchMicroseconds and, if K is 2,048, `round` microseconds for each of the
// first two rounds of workgroups and `further` for each of the others, in which workgroups no
// longer begin together. It predicts the fastest tiling of every product of Qwen3-1.7B,
// Llama-3.2-1B and Phi-3-mini at 512, 1,024 and 2,048 rows, and of the gates of Qwen3-1.7B at 128
// and 256. WebGPU does not tell how many
// multiprocessors a GPU has; on others the guess is as good as any, and measuring corrects it.
struct TilingCost {
  uint32_t m, n, step, cols, split, buffers, parts;
  uint32_t at_once;
  double round, further;
};
constexpr TilingCost kCosts[] = {
    {128, 128, 64, 4, 2, 1, 1, 1, 30, 30},    {128, 128, 64, 4, 2, 1, 2, 1, 30, 30},
    {128, 128, 32, 4, 1, 1, 1, 2, 55, 47},    {128, 192, 64, 3, 1, 1, 1, 1, 40, 40},
    {128, 192, 64, 3, 1, 1, 2, 1, 40, 40},    {128, 144, 32, 3, 1, 1, 1, 2, 64.7, 64.7},
    {128, 96, 64, 3, 2, 1, 1, 1, 26.5, 26.5}, {64, 128, 64, 4, 2, 1, 1, 1, 26, 26},
};
constexpr uint32_t kMultiprocessors = 132;
constexpr double kLaunchMicroseconds = 8, kJoinMicroseconds = 7;

// Returns the predicted microseconds of a tiling for a product of `columns` columns of B, or
// nothing if the tiling's cost is unknown.
std::optional<double> PredictMicroseconds(const MatMulNBitsShape& shape, uint32_t columns,
                                          const MatrixTuning& tuning) {
  for (const TilingCost& cost : kCosts) {
    if (cost.m != tuning.m || cost.n != tuning.n || cost.step != tuning.step ||
        cost.cols != tuning.cols || cost.split != tuning.split || cost.buffers != tuning.buffers ||
        cost.parts != tuning.parts || tuning.rows != 4) {
      continue;
    }
    const uint32_t workgroups =
        CeilDiv(shape.m, tuning.m) * CeilDiv(columns, tuning.n) * tuning.parts;
    const uint32_t rounds = CeilDiv(workgroups, kMultiprocessors * cost.at_once);
    const double depth = static_cast<double>(shape.k) / tuning.parts / 2048;
    const uint32_t first = std::min(rounds, 2u);
    const double all = first * cost.round + (rounds - first) * cost.further;
    return kLaunchMicroseconds + all * depth + (tuning.parts > 1 ? kJoinMicroseconds : 0);
  }
  return {};
}

// Moves the tiling with the least predicted time to the front, if any is known.
void BringQuickestToFront(const MatMulNBitsShape& shape, uint32_t columns,
                          std::vector<MatrixTuning>& tunings) {
  auto best = tunings.end();
  double least = 0;
  for (auto it = tunings.begin(); it != tunings.end(); ++it) {
    const std::optional<double> time = PredictMicroseconds(shape, columns, *it);
    if (!time || (best != tunings.end() && *time >= least)) continue;
    best = it;
    least = *time;
  }
  if (best != tunings.end()) std::rotate(tunings.begin(), best, best + 1);
}

// Upper bounds on the loads of a step that the kernel holds in registers.
constexpr uint32_t kMaxAFetches = 8, kMaxBFetches = 4;

// Properties of a tuning on an adapter.
struct MatrixLayout {
  MatrixTileLayout tile;
  uint32_t unit_words;  // words of a load of B
};

uint32_t PartTiles(const MatMulNBitsShape& shape, const MatrixTuning& tuning) {
  return CeilDiv(shape.m, tuning.m) * CeilDiv(shape.n, tuning.n);
}

// Returns the words of a counter per tile and the sums of every part.
uint64_t ScratchWords(const MatMulNBitsShape& shape, const MatrixTuning& tuning) {
  return kCounterWords + uint64_t{PartTiles(shape, tuning)} * tuning.parts * tuning.m * tuning.n;
}

// Returns the words of a load of B, which stays inside one block and one step and has at least the
// 8 codes that are dequantized together. All threads have the same number of loads if possible
// (multiply_tile in the shader says why), otherwise at least one.
uint32_t UnitWords(const MatMulNBitsShape& shape, const MatrixTuning& tuning, uint32_t threads) {
  const uint32_t step_words = tuning.step * shape.bits / 32;
  const uint32_t most = std::min(shape.unit_words(), step_words);
  const uint32_t least = std::max(1u, shape.bits / 4);
  const auto loads = [&](uint32_t words) { return tuning.n * (step_words / words); };
  for (uint32_t words = most; words >= least; words /= 2) {
    if (step_words % words == 0 && loads(words) % threads == 0) return words;
  }
  uint32_t words = most;
  while (words > least && (step_words % words != 0 || loads(words) < threads)) words /= 2;
  return words;
}

// Returns nothing if the adapter cannot run the tuning.
std::optional<MatrixLayout> LayOut(const Caps& caps, const MatMulNBitsShape& shape,
                                   const MatrixTuning& tuning) {
  const std::optional<MatrixTileLayout> tile = LayOutMatrixTile(caps, tuning, /*turned=*/true);
  if (!tile || shape.dtype != DType::kF16) return {};
  // A tile uses one weight.
  if (shape.experts > 0 && tuning.m != kMatMulNBitsExpertRows) return {};
  // Either half of a gated product must have whole quads of a subgroup's columns.
  if (shape.glu != Glu::kNone && tuning.cols * tile->config.n % 8 != 0) return {};
  // Products are written in quads of a row, with eight quads per thread.
  const uint32_t quads =
      tile->config.m * tuning.cols * tile->config.n / (shape.glu == Glu::kNone ? 4 : 8);
  const uint32_t threads = tuning.split * tile->subgroup_size;
  if (CeilDiv(quads, threads) > 8) return {};
  if (tuning.parts > 1) {
    if (shape.glu != Glu::kNone || shape.experts > 0 || shape.n_count > 0 || quads % threads != 0 ||
        CeilDiv(shape.k, tuning.step) < kMinPartSteps || PartTiles(shape, tuning) > kMaxPartTiles) {
      return {};
    }
  }
  const uint32_t step_words = tuning.step * shape.bits / 32;
  const uint32_t unit_words = UnitWords(shape, tuning, tile->threads);
  const uint32_t units = step_words / unit_words;
  // Each thread has its own place in a row.
  if (tile->threads % (tuning.step / 8) != 0 || tile->threads % units != 0) return {};
  if (CeilDiv(tuning.m * tuning.step / 8, tile->threads) > kMaxAFetches ||
      CeilDiv(tuning.n * units, tile->threads) > kMaxBFetches) {
    return {};
  }
  return MatrixLayout{*tile, unit_words};
}

// Returns those of kPartTunings that the adapter can run and whose sums are long enough.
std::vector<MatrixTuning> PartTunings(const Caps& caps, const MatMulNBitsShape& shape) {
  std::vector<MatrixTuning> tunings;
  for (const auto& [tuning, min_steps] : kPartTunings) {
    if (CeilDiv(shape.k, tuning.step) >= min_steps && LayOut(caps, shape, tuning))
      tunings.push_back(tuning);
  }
  return tunings;
}

}  // namespace

std::string MatrixVariant(const MatrixTuning& tuning) { return "matrix." + MatrixTileName(tuning); }

std::vector<MatrixTuning> MatrixTunings(const Caps& caps, const MatMulNBitsShape& shape) {
  std::vector<MatrixTuning> tunings;
  const auto offer = [&](MatrixTuning tuning) {
    // The loop with early loads contains its products twice, which is a lot of code to compile if
    // each of them is many instructions of a CPU. There only the smallest tiles use it.
    tuning.late |= caps.software && tuning.rows * tuning.cols > 2;
    if (LayOut(caps, shape, tuning)) tunings.push_back(tuning);
  };
  std::ranges::for_each(kTunings, offer);
  const auto is_low = [](const MatrixTuning& tuning) { return tuning.m < kMinTileOfManyRows; };
  if (shape.m >= kManyRows && !std::ranges::all_of(tunings, is_low)) std::erase_if(tunings, is_low);
  const uint32_t n = shape.n_count == 0 ? shape.n : shape.n_count;
  BringBestTileToFront(shape, shape.glu == Glu::kNone ? n : 2 * n, tunings);
  if (!tunings.empty()) std::ranges::for_each(PartTunings(caps, shape), offer);
  if (shape.m > kFewRows && shape.experts == 0 && !caps.software)
    BringQuickestToFront(shape, shape.glu == Glu::kNone ? n : 2 * n, tunings);
  return tunings;
}

uint64_t MatrixScratchWords(const Caps& caps, const MatMulNBitsShape& shape) {
  uint64_t words = 0;
  if (shape.m <= kMatMulNBitsDecodeRows || shape.norm.present) return words;
  for (const MatrixTuning& tuning : PartTunings(caps, shape))
    words = std::max(words, ScratchWords(shape, tuning));
  return words;
}

KernelPlan PlanMatMulNBitsMatrix(const Caps& caps, const MatMulNBitsShape& shape,
                                 const MatrixTuning& tuning) {
  const std::optional<MatrixLayout> layout = LayOut(caps, shape, tuning);
  SINTER_CHECK(layout.has_value(), "{} on this adapter", MatrixVariant(tuning));
  const bool gated = shape.glu != Glu::kNone;
  SINTER_CHECK(!gated || shape.n_count == 0, "a part of a gated product");

  MatMulNBitsMatrixParams params = {};
  params.m = shape.m;
  params.n = shape.n;
  params.n_begin = shape.n_begin;
  params.n_count = shape.n_count == 0 ? shape.n - shape.n_begin : shape.n_count;

  const uint32_t columns = params.n_count * (gated ? 2 : 1);
  const bool whole_steps = shape.k % tuning.step == 0;
  const bool whole_rows = shape.m % tuning.m == 0, whole_columns = columns % tuning.n == 0;
  const bool a_vec8 = shape.k % 8 == 0;
  const bool y_vec4 = shape.n % 4 == 0 && params.n_begin % 4 == 0 && params.n_count % 4 == 0;

  KernelPlan plan;
  plan.wgsl = "matmul_nbits_matrix/matmul_nbits_matrix.wgsl";
  plan.prelude = MatrixTilePrelude(tuning, layout->tile, /*turned=*/true);
  plan.prelude += fmt::format(
      "alias unit_t = {};\nconst kUnitWords = {}u;\nconst kBits = {}u;\nconst kBlockSize = {}u;\n"
      "const kK = {}u;\nconst kWholeSteps = {};\nconst kWholeRows = {};\n"
      "const kWholeColumns = {};\nconst kInterleave = {}u;\nconst kUnitsTogether = {}u;\n",
      UnitType(layout->unit_words), layout->unit_words, shape.bits, shape.block_size, shape.k,
      whole_steps, whole_rows, whole_columns, shape.interleave,
      shape.unit_words() / layout->unit_words);
  plan.prelude += fmt::format("const kExperts = {}u;\n", shape.experts);
  if (gated) {
    plan.prelude +=
        fmt::format("fn activation(x: f32) -> f32 {{ return {}(x); }}\n", GluName(shape.glu));
  }
  plan.defines = {"f16", "subgroups", "subgroup_matrix", fmt::format("unit{}", layout->unit_words),
                  std::string(ZeroPointsName(shape.zero_points))};
  plan.variant = fmt::format("matmul_nbits.f16.b{}.blk{}{}", shape.bits, shape.block_size,
                             InterleaveTag(shape));
  const auto define = [&](bool condition, std::string_view name, std::string_view tag) {
    if (!condition) return;
    plan.defines.emplace_back(name);
    plan.variant += tag;
  };
  plan.variant += ZeroPointsTag(shape.zero_points);
  define(shape.bias, "bias", ".bias");
  define(gated, "glu", fmt::format(".{}", GluName(shape.glu)));
  define(shape.residual, y_vec4 ? "residual_vec4" : "residual", ".residual");
  define(shape.experts > 0, "experts", fmt::format(".of{}", shape.experts));
  if (a_vec8) plan.defines.emplace_back("a_vec8");
  if (y_vec4) plan.defines.emplace_back("y_vec4");
  if (tuning.late) plan.defines.emplace_back("late");
  plan.variant += fmt::format(".k{}{}{}{}.{}", shape.k, whole_rows ? "" : ".rows",
                              whole_columns ? "" : ".columns", y_vec4 ? "" : ".odd",
                              MatrixTileVariant(tuning, layout->tile));

  plan.workgroups = {CeilDiv(shape.m, tuning.m), CeilDiv(columns, tuning.n), tuning.parts};
  if (tuning.parts > 1) {
    plan.defines.emplace_back("parts");
    plan.prelude += fmt::format("const kCounterWords = {}u;\nconst kTilesM = {}u;\n", kCounterWords,
                                plan.workgroups[0]);
    plan.variant += fmt::format(".of{}", plan.workgroups[0]);
    plan.scratch_words = ScratchWords(shape, tuning);
  }
  plan.SetParams(params);
  return plan;
}

}  // namespace sinter::kernels
