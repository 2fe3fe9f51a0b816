// Root mean square normalization of rows, with an optional residual addition before it: ONNX's
// SimplifiedLayerNormalization and com.microsoft's SkipSimplifiedLayerNormalization.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/kernel_plan.h"
#include "kernels/operand.h"

namespace sinter::kernels {

struct RmsNormRoles {
  static constexpr Role kInput{1}, kScale{2}, kSkip{3}, kBias{4}, kOutput{5, Access::kWrite},
      kInvStd{6, Access::kWrite}, kSum{7, Access::kWrite};
};

// sum = input [+ skip] [+ bias]; output = sum * inv_std * scale, with
// inv_std = 1 / sqrt(mean(sum^2) + epsilon) over a row. Statistics are of the unrounded sum, in
// f32.
//
// Operands: input [rows, cols], scale [cols], skip [skip_rows, cols] (optional), bias [cols]
// (optional), output [rows, cols], inv_std [rows] f32 (optional), sum [rows, cols] (optional).
struct RmsNormShape {
  uint32_t rows = 1;
  uint32_t cols = 1;
  float epsilon = 1e-5f;
  DType dtype = DType::kF32;         // type of input, skip, bias and sum
  DType scale_dtype = DType::kF32;   // SimplifiedLayerNormalization allows another type than the
  DType output_dtype = DType::kF32;  // input's for the scale and the output
  bool has_skip = false;
  bool has_bias = false;
  bool has_inv_std = false;
  bool has_sum = false;
  uint32_t skip_rows = 0;  // row r adds skip row r % skip_rows; 0 means `rows`
};

// Mirrors Params in rms_norm.wgsl.
struct RmsNormParams {
  uint32_t rows;
  uint32_t cols;
  uint32_t skip_rows;
  uint32_t grid_x;
  float epsilon;
  uint32_t pad[3];
};
static_assert(sizeof(RmsNormParams) == 32 && offsetof(RmsNormParams, epsilon) == 16);

// Returns the variants that `caps` can run: `wg64` and `wg256` (threads of a workgroup, which
// computes one row), and with subgroups `wg64.sg` and `wg256.sg`.
std::vector<std::string> RmsNormVariants(const Caps& caps);

// Plans one dispatch. Throws Error for a variant that is not among RmsNormVariants(), and for a
// type other than f16 and f32.
KernelPlan PlanRmsNorm(const Caps& caps, const RmsNormShape& shape, std::string_view variant = "");

// All outputs of RmsNormReference.
struct RmsNormResult {
  std::vector<double> output;   // [rows, cols]
  std::vector<double> inv_std;  // [rows]
  std::vector<double> sum;      // [rows, cols]
};

// Computes the definition above in double. `skip` and `bias` may be empty.
RmsNormResult RmsNormReference(uint32_t rows, uint32_t cols, double epsilon,
                               std::span<const double> input, std::span<const double> scale,
                               std::span<const double> skip, std::span<const double> bias);

}  // namespace sinter::kernels
