// ONNX Softmax along any axis.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/kernel_plan.h"
#include "kernels/operand.h"

namespace sinter::kernels {

struct SoftmaxRoles {
  static constexpr Role kInput{1}, kOutput{2, Access::kWrite};
};

// Computes output[o, a, i] = exp(input[o, a, i] - max) / sum over a of the same, for a tensor seen
// as [outer, axis, inner]. Accumulates in f32. Operands: input, output.
struct SoftmaxShape {
  uint32_t outer = 1;
  uint32_t axis = 1;
  uint32_t inner = 1;
  DType dtype = DType::kF32;
};

// Mirrors Params in softmax.wgsl.
struct SoftmaxParams {
  uint32_t rows;  // outer * inner
  uint32_t axis;
  uint32_t inner;
  uint32_t grid_x;
};
static_assert(sizeof(SoftmaxParams) == 16);

// Returns the variants: `wg64` and `wg256` (threads of a workgroup, which computes one row), and
// with subgroups `wg64.sg` and `wg256.sg`.
std::vector<std::string> SoftmaxVariants(const Caps& caps);

// Plans one dispatch. Throws Error for an unknown variant, and for a type other than f16 and f32.
KernelPlan PlanSoftmax(const Caps& caps, const SoftmaxShape& shape, std::string_view variant = "");

// Returns the output by the definition above, in double.
std::vector<double> SoftmaxReference(const SoftmaxShape& shape, std::span<const double> input);

}  // namespace sinter::kernels
