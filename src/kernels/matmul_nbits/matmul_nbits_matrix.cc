#include "kernels/matmul_nbits/matmul_nbits_matrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/check.h"
#include "kernels/common/matrix_config.h"

namespace sinter::kernels {
namespace {

// Large ones first: tile_m, tile_n, step, rows, cols, split, buffers.
constexpr MatrixTuning kTunings[] = {
    {256, 128, 32, 4, 4, 1, 1}, {128, 256, 32, 4, 4, 1, 1}, {128, 128, 32, 4, 4, 1, 2},
    {128, 128, 32, 4, 2, 1, 2}, {128, 128, 32, 4, 4, 1, 1}, {128, 128, 64, 4, 4, 1, 1},
    {128, 128, 64, 4, 4, 2, 1}, {128, 64, 32, 4, 4, 1, 2},  {128, 64, 32, 4, 2, 1, 2},
    {128, 64, 64, 4, 4, 2, 1},  {64, 128, 32, 4, 4, 1, 2},  {64, 128, 32, 2, 4, 1, 2},
    {64, 128, 64, 4, 4, 2, 1},  {64, 64, 64, 4, 4, 4, 2},   {64, 64, 64, 2, 2, 1, 2},
    {64, 64, 32, 2, 2, 1, 2},   {64, 64, 32, 4, 2, 1, 2},   {32, 128, 64, 2, 2, 1, 2},
    {32, 64, 128, 2, 2, 2, 1},  {32, 32, 256, 2, 1, 4, 1},  {16, 64, 128, 1, 1, 1, 1},
    {16, 32, 256, 1, 1, 4, 1},  {16, 16, 512, 1, 1, 8, 1},
};

// What the kernel holds of a step in registers, at most.
constexpr uint32_t kMaxAFetches = 8, kMaxBFetches = 4;

uint32_t CeilDiv(uint32_t a, uint32_t b) { return (a + b - 1) / b; }

// What follows from a tuning on an adapter.
struct Layout {
  gpu::SubgroupMatrixConfig config;
  uint32_t subgroup_size, threads;
  uint32_t unit_words;  // of a load of B
};

// Empty where the adapter cannot run it.
std::optional<Layout> LayOut(const gpu::Caps& caps, const MatMulNBitsShape& shape,
                             const MatrixTuning& tuning) {
  const std::optional<gpu::SubgroupMatrixConfig> config = FindMatrixConfig(caps);
  const uint32_t subgroup_size = caps.fixed_subgroup_size();
  if (!config || shape.dtype != DType::kF16) return {};
  const uint32_t sub_m = tuning.rows * config->m, sub_n = tuning.cols * config->n;
  if (tuning.tile_m % sub_m != 0 || tuning.tile_n % sub_n != 0) return {};
  // Either half of a gated product has whole quads of a subgroup's columns.
  if (shape.glu != Glu::kNone && sub_n % 8 != 0) return {};
  if (tuning.step % (tuning.split * config->k) != 0) return {};

  Layout layout{.config = *config, .subgroup_size = subgroup_size};
  const uint32_t subgroups = tuning.tile_m / sub_m * (tuning.tile_n / sub_n) * tuning.split;
  layout.threads = subgroups * subgroup_size;
  // A load lies inside one block and one step.
  layout.unit_words =
      std::min({4u, shape.block_size * shape.bits / 32, tuning.step * shape.bits / 32});
  if (layout.threads > caps.limits.max_invocations_per_workgroup ||
      layout.threads > caps.limits.max_workgroup_size_x) {
    return {};
  }
  const uint32_t units = tuning.step * shape.bits / 32 / layout.unit_words;
  if (CeilDiv(tuning.tile_m * tuning.step / 8, layout.threads) > kMaxAFetches ||
      CeilDiv(tuning.tile_n * units, layout.threads) > kMaxBFetches) {
    return {};
  }
  const uint32_t step_bytes = (tuning.tile_m + tuning.tile_n) * (tuning.step / 8 + 1) * 16;
  const uint32_t stage_bytes = subgroups * config->m * (sub_n / 4 + 1) * 16;
  if (std::max(tuning.buffers * step_bytes, stage_bytes) > caps.limits.max_workgroup_storage_bytes)
    return {};
  return layout;
}

std::string_view GluName(Glu glu) {
  switch (glu) {
    case Glu::kSilu:
      return "silu";
    case Glu::kGelu:
      return "gelu";
    case Glu::kGeluTanh:
      return "gelu_tanh";
    default:
      return "";
  }
}

std::string_view ZeroPointsName(ZeroPoints zero_points) {
  switch (zero_points) {
    case ZeroPoints::kPacked:
      return "zero_points_packed";
    case ZeroPoints::kFloat:
      return "zero_points_float";
    default:
      return "zero_points_default";
  }
}

// Tiles that Y is cut into.
uint64_t Tiles(const MatMulNBitsShape& shape, const MatrixTuning& tuning) {
  const uint32_t n = (shape.n_count == 0 ? shape.n : shape.n_count) * (shape.b_rows() / shape.n);
  return uint64_t{CeilDiv(shape.m, tuning.tile_m)} * CeilDiv(n, tuning.tile_n);
}

}  // namespace

std::string MatrixVariant(const MatrixTuning& tuning) {
  return fmt::format("matrix.{}x{}x{}.{}x{}{}{}", tuning.tile_m, tuning.tile_n, tuning.step,
                     tuning.rows, tuning.cols,
                     tuning.split == 1 ? "" : fmt::format(".k{}", tuning.split),
                     tuning.buffers == 1 ? ".single" : "");
}

std::vector<MatrixTuning> MatrixTunings(const gpu::Caps& caps, const MatMulNBitsShape& shape) {
  std::vector<MatrixTuning> tunings;
  for (const MatrixTuning& tuning : kTunings) {
    if (LayOut(caps, shape, tuning)) tunings.push_back(tuning);
  }
  // Large tiles load least for what they multiply, but only many tiles keep all of a GPU busy.
  constexpr uint64_t kEnough = 128;
  const auto is_better = [&](const MatrixTuning& x, const MatrixTuning& y) {
    // Rows past the end are multiplied for nothing.
    const uint32_t x_rows = CeilDiv(shape.m, x.tile_m) * x.tile_m;
    const uint32_t y_rows = CeilDiv(shape.m, y.tile_m) * y.tile_m;
    if (std::max(x_rows, y_rows) >= 2 * std::min(x_rows, y_rows)) return x_rows < y_rows;
    return std::min(Tiles(shape, x), kEnough) > std::min(Tiles(shape, y), kEnough);
  };
  // The first of the best.
  size_t best = 0;
  for (size_t i = 1; i < tunings.size(); ++i) {
    if (is_better(tunings[i], tunings[best])) best = i;
  }
  if (!tunings.empty())
    std::rotate(tunings.begin(), tunings.begin() + best, tunings.begin() + best + 1);
  return tunings;
}

KernelPlan PlanMatMulNBitsMatrix(const gpu::Caps& caps, const MatMulNBitsShape& shape,
                                 const MatrixTuning& tuning) {
  const std::optional<Layout> layout = LayOut(caps, shape, tuning);
  SINTER_CHECK(layout.has_value(), "{} on this adapter", MatrixVariant(tuning));
  const bool gated = shape.glu != Glu::kNone;
  SINTER_CHECK(!gated || shape.n_count == 0, "a part of a gated product");
  const gpu::SubgroupMatrixConfig& config = layout->config;

  MatMulNBitsMatrixParams params = {};
  params.m = shape.m;
  params.n = shape.n;
  params.k = shape.k;
  params.n_begin = shape.n_begin;
  params.n_count = shape.n_count == 0 ? shape.n - shape.n_begin : shape.n_count;
  params.blocks = shape.blocks();
  params.row_units = static_cast<uint32_t>(shape.b_row_bytes() / 4 / layout->unit_words);
  params.zero_points_row_bytes = static_cast<uint32_t>(shape.packed_zero_points_row_bytes());

  const bool whole_steps = shape.k % tuning.step == 0;
  const bool a_vec8 = shape.k % 8 == 0;
  const bool y_vec4 = shape.n % 4 == 0 && params.n_begin % 4 == 0 && params.n_count % 4 == 0;

  KernelPlan plan;
  plan.wgsl = "matmul_nbits/matmul_nbits_matrix.wgsl";
  plan.prelude = fmt::format(
      "alias unit_t = {};\nconst kUnitWords = {}u;\nconst kBits = {}u;\nconst kBlockSize = {}u;\n"
      "const kWholeSteps = {};\nconst kTileM = {}u;\nconst kTileN = {}u;\nconst kStep = {}u;\n"
      "const kTurned = true;\nconst kRows = {}u;\nconst kCols = {}u;\nconst kSplit = {}u;\nconst "
      "kBuffers = {}u;\nconst kSubgroup = {}u;\n"
      "const kMatM = {}u;\nconst kMatN = {}u;\nconst kMatK = {}u;\n",
      layout->unit_words == 1 ? "u32" : fmt::format("vec{}<u32>", layout->unit_words),
      layout->unit_words, shape.bits, shape.block_size, whole_steps, tuning.tile_m, tuning.tile_n,
      tuning.step, tuning.rows, tuning.cols, tuning.split, tuning.buffers, layout->subgroup_size,
      config.m, config.n, config.k);
  if (gated) {
    plan.prelude +=
        fmt::format("fn activation(x: f32) -> f32 {{ return {}(x); }}\n", GluName(shape.glu));
  }
  plan.defines = {"f16", "subgroups", "subgroup_matrix", fmt::format("unit{}", layout->unit_words),
                  std::string(ZeroPointsName(shape.zero_points))};
  plan.variant = fmt::format("matmul_nbits.f16.b{}.blk{}", shape.bits, shape.block_size);
  const auto define = [&](bool condition, std::string_view name, std::string_view tag) {
    if (!condition) return;
    plan.defines.emplace_back(name);
    plan.variant += tag;
  };
  if (shape.zero_points == ZeroPoints::kPacked) plan.variant += ".zp";
  if (shape.zero_points == ZeroPoints::kFloat) plan.variant += ".zpf";
  define(shape.bias, "bias", ".bias");
  define(gated, "glu", fmt::format(".{}", GluName(shape.glu)));
  define(shape.residual, "residual", ".residual");
  if (a_vec8) plan.defines.emplace_back("a_vec8");
  if (y_vec4) plan.defines.emplace_back("y_vec4");
  plan.variant +=
      fmt::format("{}{}{}.{}.sg{}.{}x{}x{}", a_vec8 ? "" : ".odd", whole_steps ? "" : ".rest",
                  y_vec4 ? "" : ".cols", MatrixVariant(tuning), layout->subgroup_size, config.m,
                  config.n, config.k);

  plan.workgroups = {CeilDiv(shape.m, tuning.tile_m),
                     CeilDiv(params.n_count * (gated ? 2 : 1), tuning.tile_n), 1};
  plan.SetParams(params);
  return plan;
}

}  // namespace sinter::kernels
