#include "kernels/matmul_nbits_dot/matmul_nbits_dot.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "kernels/matmul_nbits/matmul_nbits_plan.h"

namespace sinter::kernels {
namespace {

// Tilings in the order of preference, large ones first: m, n, step, rows.
constexpr DotTuning kDotTunings[] = {
    {128, 128, 32, 8}, {128, 64, 32, 8}, {64, 64, 64, 4}, {64, 64, 32, 8}, {32, 64, 64, 4},
};

// Elements of A that share a unit as integers; they are inside one block.
uint32_t Chunk(const MatMulNBitsShape& shape) { return std::min(32u, shape.block_size); }

uint64_t WorkgroupBytes(const MatMulNBitsShape& shape, const DotTuning& tuning) {
  const uint64_t values = shape.zero_points == ZeroPoints::kDefault ? 1 : 2;
  return uint64_t{tuning.step} / 8 * (tuning.m + 2) * 16 +
         uint64_t{tuning.step} / 16 * tuning.n * 16 +
         values * (tuning.step / Chunk(shape)) * (tuning.m + tuning.n) * 4;
}

uint64_t DotBindingCount(const MatMulNBitsShape& shape) {
  return 4 + (shape.zero_points != ZeroPoints::kDefault ? 1 : 0) + (shape.bias ? 1 : 0) +
         (shape.residual ? 1 : 0) + (shape.experts > 0 ? 1 : 0);
}

bool Fits(const Caps& caps, const MatMulNBitsShape& shape, const DotTuning& tuning) {
  const Limits& limits = caps.limits;
  return tuning.threads() <= limits.max_invocations_per_workgroup &&
         tuning.threads() <= limits.max_workgroup_size_x &&
         WorkgroupBytes(shape, tuning) <= limits.max_workgroup_storage_bytes &&
         DotBindingCount(shape) <= limits.max_storage_buffers_per_stage &&
         // A tile uses one weight.
         (shape.experts == 0 || tuning.m == kMatMulNBitsExpertRows);
}

// Returns the rows of B that a dispatch multiplies.
uint32_t RowsOfB(const MatMulNBitsShape& shape) {
  const uint32_t n = shape.n_count == 0 ? shape.n - shape.n_begin : shape.n_count;
  return shape.glu == Glu::kNone ? n : 2 * n;
}

}  // namespace

std::string DotVariant(const DotTuning& tuning) {
  return fmt::format("dot.{}x{}x{}.{}x4", tuning.m, tuning.n, tuning.step, tuning.rows);
}

std::vector<DotTuning> DotTunings(const Caps& caps, const MatMulNBitsShape& shape) {
  std::vector<DotTuning> tunings;
  if (!caps.packed_dot_product || shape.bits == 2 || shape.norm.present) return tunings;
  for (const DotTuning& tuning : kDotTunings) {
    if (Fits(caps, shape, tuning)) tunings.push_back(tuning);
  }
  BringBestTileToFront(shape, RowsOfB(shape), tunings);
  return tunings;
}

KernelPlan PlanMatMulNBitsDot(const Caps& caps, const MatMulNBitsShape& shape,
                              const DotTuning& tuning) {
  SINTER_CHECK(Fits(caps, shape, tuning) && shape.bits != 2 && !shape.norm.present, "{}",
               DotVariant(tuning));
  const bool gated = shape.glu != Glu::kNone;
  SINTER_CHECK(!gated || shape.n_count == 0, "a part of a gated product");
  SINTER_CHECK(shape.experts == 0 || (shape.m % tuning.m == 0 && !gated), "{} rows of {} weights",
               shape.m, shape.experts);

  // A unit is 16 codes.
  KernelPlan plan = PlanMatMulNBitsInputs(caps, shape, shape.bits / 2);
  MatMulNBitsParams params = MakeMatMulNBitsParams(shape);
  params.row_units = static_cast<uint32_t>(shape.b_row_bytes() / (2 * shape.bits));
  plan.wgsl = "matmul_nbits_dot/matmul_nbits_dot.wgsl";
  // 4-bit codes are in the upper half of a byte.
  plan.prelude += fmt::format(
      "const kCodeUnit = {};\nconst kChunk = {}u;\nconst kTileM = {}u;\n"
      "const kTileN = {}u;\nconst kStep = {}u;\nconst kRows = {}u;\nconst kExperts = {}u;\n",
      shape.bits == 4 ? "0.0625" : "1.0", Chunk(shape), tuning.m, tuning.n, tuning.step,
      tuning.rows, shape.experts);
  plan.defines.push_back(fmt::format("integers_bits{}", shape.bits));
  const auto define = [&](bool condition, std::string_view name, std::string_view tag) {
    if (!condition) return;
    plan.defines.emplace_back(name);
    plan.variant += tag;
  };
  if (gated) {
    const std::string_view name = GluName(shape.glu);
    plan.prelude += fmt::format("fn activation(x: f32) -> f32 {{ return {}(x); }}\n", name);
    define(true, "glu", fmt::format(".{}", name));
  }
  define(shape.residual, "residual", ".residual");
  define(shape.experts > 0, "experts", fmt::format(".of{}", shape.experts));
  plan.variant += fmt::format(".{}", DotVariant(tuning));
  plan.workgroups = {CeilDiv(shape.m, tuning.m), CeilDiv(RowsOfB(shape), tuning.n), 1};
  plan.SetParams(params);
  return plan;
}

}  // namespace sinter::kernels
