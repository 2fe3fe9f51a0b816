// Elementwise operators of one and of two operands, the latter with ONNX's multidirectional
// broadcasting.
//
// Floats are computed in f32 and rounded once; i32 (and i64, which is i32 on the device) wraps;
// bool is u32 0 or 1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/caps.h"
#include "base/dtype.h"
#include "kernels/common/indexing.h"
#include "kernels/kernel_plan.h"
#include "kernels/operand.h"

namespace sinter::kernels {

enum class UnaryOp {
  kAbs,
  kCeil,
  kCos,
  kErf,
  kExp,
  kFloor,
  kGelu,      // x * (1 + erf(x / sqrt(2))) / 2
  kGeluTanh,  // x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))) / 2; FastGelu without a bias
  kLog,
  kNeg,
  kNot,        // bool only
  kQuickGelu,  // x * sigmoid(alpha * x)
  kReciprocal,
  kRelu,
  kRound,  // Halves to even.
  kSigmoid,
  kSign,
  kSilu,  // x * sigmoid(x)
  kSin,
  kSoftplus,  // log(1 + exp(x))
  kSqrt,
  kTanh,
};

enum class BinaryOp {
  kAdd,
  kAnd,       // bool only
  kDiv,       // Integers truncate towards zero; x / 0 is 0 for them.
  kEqual,     // Comparisons give bool.
  kFastGelu,  // kGeluTanh of a + b: com.microsoft's FastGelu with its bias
  kFmod,      // Mod with fmod = 1: the sign of a; x mod 0 is 0 for integers.
  kGreater,
  kGreaterOrEqual,
  kLess,
  kLessOrEqual,
  kMax,
  kMin,
  kMod,  // Mod with fmod = 0, integers only: the sign of b; x mod 0 is 0.
  kMul,
  kOr,   // bool only
  kPow,  // Integers: a negative exponent gives the truncated result.
  kSub,
  kXor,  // bool only
};

// The operator of that ONNX name: "Gelu" gives kGelu (its approximate = "tanh" is kGeluTanh),
// "FastGelu" gives kGeluTanh (with a bias it is BinaryOp::kFastGelu), "Swish" gives kSilu (with an
// alpha other than 1 it is kQuickGelu).
std::optional<UnaryOp> UnaryOpFromName(std::string_view onnx_name);
// "Mod" gives kMod (its fmod = 1 is kFmod).
std::optional<BinaryOp> BinaryOpFromName(std::string_view onnx_name);
// `gelu_tanh`, `add`: as in the variants.
std::string_view UnaryOpName(UnaryOp op);
std::string_view BinaryOpName(BinaryOp op);
// The operators, in the enum's order.
std::vector<UnaryOp> AllUnaryOps();
std::vector<BinaryOp> AllBinaryOps();

// Whether the operator takes elements of `dtype` (f32, f16, i32, i64 or bool).
bool UnaryOpTakes(UnaryOp op, DType dtype);
bool BinaryOpTakes(BinaryOp op, DType dtype);
// kBool for comparisons, else `dtype`.
DType BinaryResultDType(BinaryOp op, DType dtype);

struct UnaryRoles {
  static constexpr Role kX{1}, kY{2, Access::kWrite};
};

struct UnaryShape {
  UnaryOp op = UnaryOp::kAbs;
  DType dtype = DType::kF32;
  int64_t elems = 0;
  // kQuickGelu's alpha.
  float alpha = 1.702f;
};

struct UnaryParams {
  uint32_t elems;   // of x
  uint32_t grid_x;  // Workgroups in a row of the grid.
  float alpha;
  uint32_t padding;
};
static_assert(sizeof(UnaryParams) == 16 && offsetof(UnaryParams, alpha) == 8);

// One thread turns four elements. Only variant: `vec4`. Writes up to three elements past the end,
// within the padding of the buffer to 16 bytes. Bindings: 0 params, 1 x [elems], 2 y [elems].
// Throws Error: an operator that does not take `dtype`.
KernelPlan PlanUnary(const Caps& caps, const UnaryShape& shape, std::string_view variant = "");

struct BinaryRoles {
  static constexpr Role kA{1}, kB{2}, kY{3, Access::kWrite};
};

struct BinaryShape {
  BinaryOp op = BinaryOp::kAdd;
  DType dtype = DType::kF32;  // of a and b
  std::vector<int64_t> a, b;
};

struct BinaryParams {
  uint32_t threads;  // Threads with work: elements, or vectors of four.
  uint32_t grid_x;   // Workgroups in a row of the grid.
  uint32_t rank;     // Dimensions in use below, innermost first.
  uint32_t padding;
  std::array<int32_t, kMaxDims> sizes;
  std::array<int32_t, kMaxDims> a_strides, b_strides;  // in elements
};
static_assert(sizeof(BinaryParams) == 112 && offsetof(BinaryParams, sizes) == 16 &&
              offsetof(BinaryParams, a_strides) == 48 && offsetof(BinaryParams, b_strides) == 80);

// y = op(a, b) over BroadcastShape(a, b). Variants: `vec4` (a thread computes four neighbours;
// equal shapes, a scalar operand, broadcasts whose innermost folded dimension is a multiple of
// four; writes up to three elements past the end, within the padding of the buffer to 16 bytes) and
// `strided` (a thread computes one element; any shapes). Bindings: 0 params, 1 a, 2 b, 3 y (f32 /
// f16 / i32 as a and b, u32 for comparisons). Throws Error: an operator that does not take `dtype`,
// shapes that do not broadcast, more than kMaxDims folded dimensions.
KernelPlan PlanBinary(const Caps& caps, const BinaryShape& shape, std::string_view variant = "");
// The variants that fit, the preferred one first.
std::vector<std::string> BinaryVariants(const BinaryShape& shape);

// The CPU references, of logical values: integers exact (not wrapped to 32 bits), bool as 0 and 1.
double UnaryReferenceValue(UnaryOp op, DType dtype, double x, double alpha);
std::vector<double> UnaryReference(UnaryOp op, DType dtype, std::span<const double> x,
                                   double alpha = 1.702f);
double BinaryReferenceValue(BinaryOp op, DType dtype, double a, double b);
std::vector<double> BinaryReference(BinaryOp op, DType dtype, std::span<const double> a,
                                    std::span<const int64_t> a_shape, std::span<const double> b,
                                    std::span<const int64_t> b_shape);

}  // namespace sinter::kernels
