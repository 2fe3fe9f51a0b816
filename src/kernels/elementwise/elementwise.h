// Elementwise operators with one and with two operands; those with two broadcast by ONNX's
// multidirectional rule.
//
// Floats are computed in f32 and rounded once. i32 (and i64, which is i32 on the device) wraps.
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
  kRelu,   // keeps NaN
  kRound,  // rounds halves to even
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
  kDiv,       // truncates integers towards zero; integer x / 0 is 0
  kEqual,     // comparisons give bool
  kFastGelu,  // kGeluTanh of a + b: com.microsoft's FastGelu with its bias
  kFmod,      // Mod with fmod = 1: the sign of a; integer x mod 0 is 0
  kGreater,
  kGreaterOrEqual,
  kLess,
  kLessOrEqual,
  kMax,  // NaN if either operand is NaN; so does kMin
  kMin,
  kMod,  // Mod with fmod = 0, integers only: the sign of b; x mod 0 is 0.
  kMul,
  kOr,   // bool only
  kPow,  // integers: truncates the result
  kSub,
  kXor,  // bool only
};

// Returns the operator of that ONNX name. "Gelu" gives kGelu (with approximate = "tanh" it is
// kGeluTanh), "FastGelu" gives kGeluTanh (with a bias it is BinaryOp::kFastGelu), and "Swish" gives
// kSilu (with an alpha other than 1 it is kQuickGelu).
std::optional<UnaryOp> UnaryOpFromName(std::string_view onnx_name);
// Returns the operator of that ONNX name. "Mod" gives kMod (with fmod = 1 it is kFmod).
std::optional<BinaryOp> BinaryOpFromName(std::string_view onnx_name);
// Returns the name that variants use, such as `gelu_tanh` or `add`.
std::string_view UnaryOpName(UnaryOp op);
std::string_view BinaryOpName(BinaryOp op);
// Returns all operators in the order of the enum.
std::vector<UnaryOp> AllUnaryOps();
std::vector<BinaryOp> AllBinaryOps();

// Returns whether the operator takes elements of `dtype` (f32, f16, i32, i64 or bool).
bool UnaryOpTakes(UnaryOp op, DType dtype);
bool BinaryOpTakes(BinaryOp op, DType dtype);
// Returns kBool for comparisons, otherwise `dtype`.
DType BinaryResultDType(BinaryOp op, DType dtype);

struct UnaryRoles {
  static constexpr Role kX{1}, kY{2, Access::kWrite};
};

struct UnaryShape {
  UnaryOp op = UnaryOp::kAbs;
  DType dtype = DType::kF32;
  int64_t elems = 0;
  // The alpha of kQuickGelu.
  float alpha = 1.702f;
};

struct UnaryParams {
  uint32_t elems;   // elements of x
  uint32_t grid_x;  // workgroups in a row of the grid
  float alpha;
  uint32_t padding;
};
static_assert(sizeof(UnaryParams) == 16 && offsetof(UnaryParams, alpha) == 8);

// Plans one dispatch, in which a thread computes four elements. The only variant is `vec4`. It
// writes up to three elements past the end, within the padding of the buffer to 16 bytes. Operands:
// x [elems], y [elems]. Throws Error for an operator that does not take `dtype`.
KernelPlan PlanUnary(const Caps& caps, const UnaryShape& shape, std::string_view variant = "");

struct BinaryRoles {
  static constexpr Role kA{1}, kB{2}, kY{3, Access::kWrite}, kFaults{4, Access::kReadWrite};
};

struct BinaryShape {
  BinaryOp op = BinaryOp::kAdd;
  DType dtype = DType::kF32;  // type of a and b
  std::vector<int64_t> a, b;
  std::optional<DType> exponent_dtype = {};  // type of b, if it differs: kPow only
  // If not 0, a result beyond 32 bits puts this number into the word of kFaults, unless a larger
  // one is there. For int64, in the variant `strided`.
  uint32_t fault_word = 0;
};

struct BinaryParams {
  uint32_t threads;  // threads with work: elements, or vectors of four
  uint32_t grid_x;   // workgroups in a row of the grid
  uint32_t rank;     // dimensions in use below, innermost first
  uint32_t fault_word;
  std::array<int32_t, kMaxDims> sizes;
  std::array<int32_t, kMaxDims> a_strides, b_strides;  // in elements
};
static_assert(sizeof(BinaryParams) == 112 && offsetof(BinaryParams, sizes) == 16 &&
              offsetof(BinaryParams, a_strides) == 48 && offsetof(BinaryParams, b_strides) == 80);

// Plans one dispatch: y = op(a, b) over BroadcastShape(a, b); y has the type of a, or u32 for
// comparisons. Throws Error for an operator that does not take `dtype`, for shapes that do not
// broadcast, and for more than kMaxDims folded dimensions.
//
// - `vec4`: a thread computes four neighbours. For equal shapes, a scalar operand, and broadcasts
//   whose innermost folded dimension is a multiple of four. Writes up to three elements past the
//   end, within the padding of the buffer to 16 bytes.
// - `strided`: a thread computes one element, for any shapes.
KernelPlan PlanBinary(const Caps& caps, const BinaryShape& shape, std::string_view variant = "");
// Returns whether results of the operator on int64 may have more bits than the operands.
bool MayLeaveRange(BinaryOp op);
// Returns the variants that fit the shapes, the preferred one first.
std::vector<std::string> BinaryVariants(const BinaryShape& shape);

// Compute the references on the CPU, on logical values: integers are exact (not wrapped to 32
// bits), and bool is 0 or 1.
double UnaryReferenceValue(UnaryOp op, DType dtype, double x, double alpha);
std::vector<double> UnaryReference(UnaryOp op, DType dtype, std::span<const double> x,
                                   double alpha = 1.702f);
double BinaryReferenceValue(BinaryOp op, DType dtype, double a, double b);
std::vector<double> BinaryReference(BinaryOp op, DType dtype, std::span<const double> a,
                                    std::span<const int64_t> a_shape, std::span<const double> b,
                                    std::span<const int64_t> b_shape);

}  // namespace sinter::kernels
