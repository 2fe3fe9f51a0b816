// Gate of a gated MLP whose two products are stored side by side:
//   y[r, i] = activation(x[r, i]) * x[r, cols + i]
//
// Operands: x [rows, 2 * cols], y [rows, cols]. Computed in f32, rounded once.
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

enum class GatedActivation {
  kSilu,      // x * sigmoid(x)
  kGelu,      // x * (1 + erf(x / sqrt(2))) / 2
  kGeluTanh,  // x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))) / 2
};

struct GatedActivationRoles {
  static constexpr Role kX{1}, kY{2, Access::kWrite};
};

struct GatedActivationShape {
  uint32_t rows = 1;
  uint32_t cols = 1;  // columns of y
  GatedActivation activation = GatedActivation::kSilu;
  DType dtype = DType::kF32;
};

// Mirrors Params in gated_activation.wgsl.
struct GatedActivationParams {
  uint32_t threads;  // threads with work
  uint32_t cols;     // columns of y, divided by the elements of a thread
  uint32_t grid_x;
  uint32_t pad;
};
static_assert(sizeof(GatedActivationParams) == 16);

// Returns the variants that fit the shape, the preferred one first: `vec4` (a thread computes four
// neighbours; cols must be a multiple of four) and `scalar`.
std::vector<std::string> GatedActivationVariants(const GatedActivationShape& shape);

// Plans one dispatch. Throws Error for a variant that is unknown or does not fit, and for a type
// other than f16 and f32.
KernelPlan PlanGatedActivation(const Caps& caps, const GatedActivationShape& shape,
                               std::string_view variant = "");

// Returns y by the definition above, in double.
std::vector<double> GatedActivationReference(const GatedActivationShape& shape,
                                             std::span<const double> x);

}  // namespace sinter::kernels
