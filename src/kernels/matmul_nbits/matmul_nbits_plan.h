// What the plans of MatMulNBits have in common.
#pragma once

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/common/plan_util.h"
#include "kernels/matmul_nbits/matmul_nbits.h"

namespace sinter::kernels {

// The function of common/activations.wgsl; "" for none.
inline std::string_view GluName(Glu glu) {
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

// The WGSL type of a load of B of 1, 2 or 4 words.
inline std::string UnitType(uint32_t words) {
  return words == 1 ? "u32" : fmt::format("vec{}<u32>", words);
}

// What plans' variants say of the order of rows; "" for row by row.
inline std::string_view InterleaveTag(const MatMulNBitsShape& shape) {
  return shape.interleave > 1 ? ".by8" : "";
}

// The name by which shaders know the kind of zero points.
inline std::string_view ZeroPointsName(ZeroPoints zero_points) {
  switch (zero_points) {
    case ZeroPoints::kPacked:
      return "zero_points_packed";
    case ZeroPoints::kFloat:
      return "zero_points_float";
    default:
      return "zero_points_default";
  }
}

// What plans' variants say of the zero points; "" for the default ones.
inline std::string_view ZeroPointsTag(ZeroPoints zero_points) {
  switch (zero_points) {
    case ZeroPoints::kPacked:
      return ".zp";
    case ZeroPoints::kFloat:
      return ".zpf";
    default:
      return "";
  }
}

// What the shaders on matmul_nbits_inputs.wgsl share; their own parts follow in variant, prelude,
// params and workgroups. They load B by `unit_words` words.
KernelPlan PlanMatMulNBitsInputs(const Caps& caps, const MatMulNBitsShape& shape,
                                 uint32_t unit_words);

// All but row_units.
MatMulNBitsParams MakeMatMulNBitsParams(const MatMulNBitsShape& shape);

// Brings the best guess to the front of tunings (whose `m` and `n` are a workgroup's tile of Y)
// that go from large tiles to small ones; `rows_of_b`: those that the dispatch multiplies.
template <typename Tuning>
void BringBestTileToFront(const MatMulNBitsShape& shape, uint32_t rows_of_b,
                          std::vector<Tuning>& tunings) {
  // Large tiles load least for what they multiply, but only many tiles keep all of a GPU busy.
  constexpr uint64_t kEnough = 128;
  const auto tiles = [&](const Tuning& tuning) {
    return std::min(kEnough, uint64_t{CeilDiv(shape.m, tuning.m)} * CeilDiv(rows_of_b, tuning.n));
  };
  const auto is_better = [&](const Tuning& x, const Tuning& y) {
    // Rows past the end are multiplied for nothing.
    const uint32_t x_rows = CeilDiv(shape.m, x.m) * x.m;
    const uint32_t y_rows = CeilDiv(shape.m, y.m) * y.m;
    if (std::max(x_rows, y_rows) >= 2 * std::min(x_rows, y_rows)) return x_rows < y_rows;
    return tiles(x) > tiles(y);
  };
  // The first of the best.
  size_t best = 0;
  for (size_t i = 1; i < tunings.size(); ++i) {
    if (is_better(tunings[i], tunings[best])) best = i;
  }
  if (!tunings.empty())
    std::rotate(tunings.begin(), tunings.begin() + best, tunings.begin() + best + 1);
}

}  // namespace sinter::kernels
