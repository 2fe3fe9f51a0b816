// Layer normalization of rows: ONNX's LayerNormalization.
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

struct LayerNormRoles {
  static constexpr Role kInput{1}, kScale{2}, kBias{3}, kOutput{4, Access::kWrite},
      kMean{5, Access::kWrite}, kInvStd{6, Access::kWrite};
};

// output = (input - mean) * inv_std * scale [+ bias], with inv_std = 1 / sqrt(variance + epsilon),
// where mean and variance are those of a row. All in f32.
//
// Operands: input [rows, cols], scale [cols], bias [cols] (optional), output [rows, cols], mean
// [rows] f32 (optional), inv_std [rows] f32 (optional).
struct LayerNormShape {
  uint32_t rows = 1;
  uint32_t cols = 1;
  float epsilon = 1e-5f;
  DType dtype = DType::kF32;        // type of the input
  DType scale_dtype = DType::kF32;  // type of scale and bias
  DType output_dtype = DType::kF32;
  bool has_bias = false;
  bool has_mean = false;
  bool has_inv_std = false;
};

// Mirrors Params in layer_norm.wgsl.
struct LayerNormParams {
  uint32_t rows;
  uint32_t cols;
  uint32_t grid_x;
  float epsilon;
};
static_assert(sizeof(LayerNormParams) == 16 && offsetof(LayerNormParams, epsilon) == 12);

// Returns the variants that `caps` can run: `wg64` and `wg256` (threads of a workgroup, which
// computes one row), and with subgroups `wg64.sg` and `wg256.sg`.
std::vector<std::string> LayerNormVariants(const Caps& caps);

// Plans one dispatch. Throws Error for a variant that is not among LayerNormVariants(), and for a
// type other than f16 and f32.
KernelPlan PlanLayerNorm(const Caps& caps, const LayerNormShape& shape,
                         std::string_view variant = "");

// All outputs of LayerNormReference.
struct LayerNormResult {
  std::vector<double> output;   // [rows, cols]
  std::vector<double> mean;     // [rows]
  std::vector<double> inv_std;  // [rows]
};

// Computes the definition above in double. `bias` may be empty.
LayerNormResult LayerNormReference(uint32_t rows, uint32_t cols, double epsilon,
                                   std::span<const double> input, std::span<const double> scale,
                                   std::span<const double> bias);

}  // namespace sinter::kernels
