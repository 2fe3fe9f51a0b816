// ONNX Gather: out[o, i, :] = data[o, index[i], :], with data seen as [outer, axis, inner].
//
// Operands:
//   data     [outer, axis, inner] of any type on the GPU (f32, f16, i32, u32)
//   indices  [indices] i32; negative ones count from the end; any out of range is clamped
//   out      [outer, indices, inner], the type of data
// Bits are copied unchanged, in units of up to 16 bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "kernels/common/row_split.h"
#include "kernels/kernel_plan.h"
#include "kernels/operand.h"

namespace sinter::kernels {

struct GatherRoles {
  static constexpr Role kData{1, Access::kReadRows}, kIndices{2}, kOut{3, Access::kWrite};
};

struct GatherShape {
  uint32_t outer = 1, axis = 1, inner = 1;
  uint32_t indices = 1;
  DType dtype = DType::kF32;  // ONNX type of data
  // Rows along the axis that are bound; data starts at row_begin. Only indices that fall into them
  // are written. row_count 0 means all rows; other values require outer 1.
  uint32_t row_begin = 0, row_count = 0;
};

// Mirrors struct Params in gather.wgsl.
struct GatherParams {
  uint32_t axis, inner_units, indices;
  uint32_t row_begin, row_count;
  uint32_t threads;  // units of out
  uint32_t grid_x;
  uint32_t pad;
};
static_assert(sizeof(GatherParams) == 32);
static_assert(offsetof(GatherParams, grid_x) == 24);

// Plans one dispatch. The variants `b16`, `b8`, `b4` and `b2` name the bytes that one thread
// copies, of which `inner` must be a multiple; the widest is preferred. Throws Error for an unknown
// variant, and for a row range with outer > 1.
KernelPlan PlanGather(const Caps& caps, const GatherShape& shape, std::string_view variant = "");

std::vector<std::string> GatherVariants(const Caps& caps, const GatherShape& shape);

// Returns the ranges (row_begin, row_count) of the dispatches that together write all of `out`.
std::vector<RowRange> SplitGather(const Caps& caps, const GatherShape& shape);

// Returns out in double, from the whole data; ignores row_begin and row_count.
std::vector<double> GatherReference(const GatherShape& shape, std::span<const double> data,
                                    std::span<const double> indices);

}  // namespace sinter::kernels
