// Reductions over any set of axes: sum, mean, max, min, product, sum of squares, L2 norm.
//
// Floats are accumulated in f32 and rounded once. Integers wrap, and their mean truncates towards
// zero. Maxima and minima of floats are NaN if an element is. Of no elements the sum is 0, the
// product 1, the maximum -inf or the smallest integer, the minimum +inf or the largest integer, and
// the mean 0 (as in ONNX Runtime).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/caps.h"
#include "base/dtype.h"
#include "kernels/common/indexing.h"
#include "kernels/kernel_plan.h"
#include "kernels/operand.h"

namespace sinter::kernels {

enum class ReduceOp { kL2, kMax, kMean, kMin, kProd, kSum, kSumSquare };

// Returns the operator of an ONNX name such as "ReduceSum".
std::optional<ReduceOp> ReduceOpFromName(std::string_view onnx_name);
// Returns the name that variants use, such as `sum` or `sum_square`.
std::string_view ReduceOpName(ReduceOp op);

// Returns whether results of the operator on int64 may have more bits than the elements.
bool MayLeaveRange(ReduceOp op);

struct ReduceRoles {
  static constexpr Role kX{1}, kY{2, Access::kWrite}, kFaults{3, Access::kReadWrite};
};

struct ReduceShape {
  ReduceOp op = ReduceOp::kSum;
  DType dtype = DType::kF32;  // f32, f16, i32 or i64 (kL2: floats only)
  std::vector<int64_t> shape;
  // Axes to reduce, each in [0, rank). Without axes, y is op over single elements (a copy, except
  // for squares and norms). The caller expands ONNX's "empty means all"; keepdims changes no
  // element.
  std::vector<int64_t> axes;
  // If not 0, a sum or product beyond 32 bits puts this number into the word of kFaults, unless a
  // larger one is there. For int64.
  uint32_t fault_word = 0;
};

struct ReduceParams {
  uint32_t outputs;    // elements of y
  uint32_t reduced;    // elements that each of them is computed from
  uint32_t grid_x;     // workgroups in a row of the grid
  uint32_t kept_rank;  // dimensions in use below, innermost first
  uint32_t reduced_rank;
  uint32_t identity;  // bits of the result of no elements, f32 or i32
  uint32_t fault_word;
  uint32_t padding;
  std::array<int32_t, kMaxDims> kept_sizes, kept_strides;  // strides of x in elements
  std::array<int32_t, kMaxDims> reduced_sizes, reduced_strides;
};
static_assert(sizeof(ReduceParams) == 160 && offsetof(ReduceParams, kept_sizes) == 32 &&
              offsetof(ReduceParams, kept_strides) == 64 &&
              offsetof(ReduceParams, reduced_sizes) == 96 &&
              offsetof(ReduceParams, reduced_strides) == 128);

// Plans one dispatch. Operands: x, y (the kept dimensions in order). Throws Error for an axis out
// of range or named twice, for an operator that does not take `dtype`, and for the maximum or
// minimum of no i64, which has 64 bits.
//
// - `serial`: a thread per output element, for short reductions.
// - `tree`: a workgroup of 256 threads per output element, with strided partial results and then a
//   tree in workgroup memory.
KernelPlan PlanReduce(const Caps& caps, const ReduceShape& shape, std::string_view variant = "");
std::vector<std::string> ReduceVariants();

// Returns y in double. `axes` are those of ReduceShape.
std::vector<double> ReduceReference(ReduceOp op, DType dtype, std::span<const double> x,
                                    std::span<const int64_t> shape, std::span<const int64_t> axes);

}  // namespace sinter::kernels
