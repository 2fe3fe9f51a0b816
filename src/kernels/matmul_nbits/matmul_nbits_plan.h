// Helpers that the plans of MatMulNBits share.
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

// Returns the name of the function in common/activations.wgsl; "" for none.
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

// Returns the WGSL type of a load of 1, 2 or 4 words of B.
inline std::string UnitType(uint32_t words) {
  return words == 1 ? "u32" : fmt::format("vec{}<u32>", words);
}

// Returns the part of a variant that names the order of rows; "" for row by row.
inline std::string_view InterleaveTag(const MatMulNBitsShape& shape) {
  return shape.interleave > 1 ? ".by8" : "";
}

// Returns the name of the kind of zero points in shaders.
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

// Returns the part of a variant that names the zero points; "" for the default ones.
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

// Returns the common part of the plans whose shaders include matmul_nbits_inputs.wgsl and load B in
// units of `unit_words` words. The caller completes variant, prelude, params and workgroups.
KernelPlan PlanMatMulNBitsInputs(const Caps& caps, const MatMulNBitsShape& shape,
                                 uint32_t unit_words);

// Returns the params without row_units.
MatMulNBitsParams MakeMatMulNBitsParams(const MatMulNBitsShape& shape);

// Moves the best guess to the front of tunings that are ordered from large tiles to small ones. `m`
// and `n` of a tuning are a workgroup's tile of Y; `rows_of_b` is the number of rows that the
// dispatch multiplies.
template <typename Tuning>
void BringBestTileToFront(const MatMulNBitsShape& shape, uint32_t rows_of_b,
                          std::vector<Tuning>& tunings) {
  // Large tiles load least per multiplication, but only many tiles keep all of a GPU busy.
  constexpr uint64_t kEnough = 128;
  const auto tiles = [&](const Tuning& tuning) {
    return std::min(kEnough, uint64_t{CeilDiv(shape.m, tuning.m)} * CeilDiv(rows_of_b, tuning.n));
  };
  const auto is_better = [&](const Tuning& x, const Tuning& y) {
    // Rows past the end are multiplied in vain.
    const uint32_t x_rows = CeilDiv(shape.m, x.m) * x.m;
    const uint32_t y_rows = CeilDiv(shape.m, y.m) * y.m;
    if (std::max(x_rows, y_rows) >= 2 * std::min(x_rows, y_rows)) return x_rows < y_rows;
    return tiles(x) > tiles(y);
  };
  // Takes the first of the best.
  size_t best = 0;
  for (size_t i = 1; i < tunings.size(); ++i) {
    if (is_better(tunings[i], tunings[best])) best = i;
  }
  if (!tunings.empty())
    std::rotate(tunings.begin(), tunings.begin() + best, tunings.begin() + best + 1);
}

}  // namespace sinter::kernels
