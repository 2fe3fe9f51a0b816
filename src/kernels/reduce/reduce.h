// Reductions over any set of axes: sum, mean, max, min, product, sum of squares, L2 norm.
//
// Floats are accumulated in f32 and rounded once; integers wrap, their mean truncates towards zero.
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

// The operator of an ONNX name such as "ReduceSum".
std::optional<ReduceOp> ReduceOpFromName(std::string_view onnx_name);
// `sum`, `sum_square`: as in the variants.
std::string_view ReduceOpName(ReduceOp op);

struct ReduceRoles {
  static constexpr Role kX{1}, kY{2, Access::kWrite};
};

struct ReduceShape {
  ReduceOp op = ReduceOp::kSum;
  DType dtype = DType::kF32;  // f32, f16, i32 or i64 (kL2: floats only)
  std::vector<int64_t> shape;
  // The axes to reduce, each in [0, rank). None: y is op over single elements (a copy, but for the
  // squares and norms). ONNX's "empty means all" is the caller's to spell out; keepdims changes no
  // element.
  std::vector<int64_t> axes;
};

struct ReduceParams {
  uint32_t outputs;    // Elements of y.
  uint32_t reduced;    // Elements that each comes from.
  uint32_t grid_x;     // Workgroups in a row of the grid.
  uint32_t kept_rank;  // Dimensions in use below, innermost first.
  uint32_t reduced_rank;
  uint32_t padding[3];
  std::array<int32_t, kMaxDims> kept_sizes, kept_strides;  // Strides of x in elements.
  std::array<int32_t, kMaxDims> reduced_sizes, reduced_strides;
};
static_assert(sizeof(ReduceParams) == 160 && offsetof(ReduceParams, kept_sizes) == 32 &&
              offsetof(ReduceParams, kept_strides) == 64 &&
              offsetof(ReduceParams, reduced_sizes) == 96 &&
              offsetof(ReduceParams, reduced_strides) == 128);

// Variants: `serial` (a thread an output element; short reductions) and `tree` (a workgroup of 256
// an output element: strided partial results, then a tree in workgroup memory). Bindings: 0 params,
// 1 x, 2 y (the kept dimensions in order). Throws Error: an axis out of range or named twice, an
// operator that does not take `dtype`, no element to take the mean, max or min of.
KernelPlan PlanReduce(const Caps& caps, const ReduceShape& shape, std::string_view variant = "");
std::vector<std::string> ReduceVariants();

// `axes` as in ReduceShape.
std::vector<double> ReduceReference(ReduceOp op, DType dtype, std::span<const double> x,
                                    std::span<const int64_t> shape, std::span<const int64_t> axes);

}  // namespace sinter::kernels
