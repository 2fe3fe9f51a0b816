// What the plans of MatMulNBits for many rows have in common.
#pragma once

#include <string_view>

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

// What the shaders on matmul_nbits_inputs.wgsl share; their own parts follow in variant, prelude,
// params and workgroups.
KernelPlan PlanMatMulNBitsInputs(const gpu::Caps& caps, const MatMulNBitsShape& shape);

// All but row_units.
MatMulNBitsParams MakeMatMulNBitsParams(const MatMulNBitsShape& shape);

}  // namespace sinter::kernels
