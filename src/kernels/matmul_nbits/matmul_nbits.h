// com.microsoft.MatMulNBits: Y[M, N] = A[M, K] x dequantize(B)^T (+ bias[N]), with B quantized in
// blocks along K.
//
//   blocks = ceil(K / block_size)
//   w[n, k] = (code[n, k] - zero[n, k / block_size]) * scale[n, k / block_size]
//
// Operands:
//   A            [M, K] act_t
//   B            [N, blocks, block_size * bits / 8] u8: codes from the lowest bits of each byte up
//   scales       [N, blocks] act_t
//   zero_points  packed: [N, ceil(blocks * bits / 8)] u8; float: [N, blocks] act_t;
//                absent: 2^(bits - 1)
//   bias         [N] act_t (optional)
//   Y            [M, N] act_t
// With `interleave`, groups of eight rows of B, scales and zero points are interleaved
// (interleave.h), the order that products read fastest: B [N / 8, units, 8] units of unit_words()
// words, scales and float zero points [N / 8, blocks, 8], packed zero points [N / 8, bytes of a
// row, 8].
//
// Source: ONNX Runtime, docs/ContribOperators.md.
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
#include "kernels/matmul_nbits/interleave.h"
#include "kernels/operand.h"
#include "kernels/tunable.h"

namespace sinter::kernels {

struct MatMulNBitsRoles {
  static constexpr Role kA{1}, kB{2}, kScales{3}, kZeroPoints{4}, kBias{5}, kY{6, Access::kWrite},
      kResidual{7}, kNormScale{8}, kTileExperts{8}, kSkip{9}, kSkipScale{10},
      kSum{11, Access::kWrite}, kScratch{12, Access::kScratch};
};

// Kinds of zero points of a blockwise quantized weight.
enum class ZeroPoints {
  kDefault,  // none given: 2^(bits - 1)
  kPacked,   // u8, packed like the codes, each row padded to a byte
  kFloat,    // one value of the activation type per block
};

// Activation of a gated product, whose rows of B are two halves: Y = activation(gate) * up.
enum class Glu { kNone, kSilu, kGelu, kGeluTanh };

// Value that is added to the input before the norm.
enum class Skip {
  kNone,
  kPlain,       // skip
  kNormalized,  // skip / rms(skip) * skip_scale
};

// Computation of h, the rows that are multiplied with B, from A: x = A (+ skip), h = x / rms(x) *
// scale. Sources: ONNX Runtime's SimplifiedLayerNormalization and SkipSimplifiedLayerNormalization.
struct MatMulNBitsNorm {
  bool present = false;  // if false, h = A, and the other fields keep their defaults
  Skip skip = Skip::kNone;
  bool keeps_sum = false;  // whether x is an output too, of A's type
  DType input_dtype = DType::kF32, skip_dtype = DType::kF32;
  DType scale_dtype = DType::kF32, skip_scale_dtype = DType::kF32;
  float epsilon = 1e-6f, skip_epsilon = 1e-6f;
  bool operator==(const MatMulNBitsNorm&) const = default;
};

struct MatMulNBitsShape {
  uint32_t m = 1, n = 1, k = 1;
  uint32_t bits = 4;          // 2, 4 or 8
  uint32_t block_size = 32;   // a power of two from 16 to 256
  DType dtype = DType::kF32;  // type of A, scales, bias and Y: kF32 or kF16
  ZeroPoints zero_points = ZeroPoints::kDefault;
  bool bias = false;
  // With a gate, B has 2 n rows: the gate's rows, then the rows that it multiplies. Scales, zero
  // points and bias have the same order.
  Glu glu = Glu::kNone;
  bool residual = false;  // [M, N] of Y's type, is added to Y
  MatMulNBitsNorm norm;
  // Rows of B that this dispatch computes: B, scales, zero_points and bias are bound from row
  // n_begin on, and column n_begin + i of Y is written for i < n_count. n_count 0 means all.
  uint32_t n_begin = 0, n_count = 0;
  // If above 0, B is that many concatenated weights [n, k], and so are scales, zero points and
  // bias. Rows [64 t, 64 t + 64) of A and Y use weight tile_experts[t] (u32 [m / 64]). If that is
  // not below `experts`, these rows of Y are not written. m is a multiple of 64.
  uint32_t experts = 0;
  // Rows of B that are interleaved: 1 or kInterleavedRows. In the latter case n, n_begin and
  // n_count are multiples of it, and B is one weight.
  uint32_t interleave = 1;

  bool operator==(const MatMulNBitsShape&) const = default;
  uint32_t b_rows() const { return (glu == Glu::kNone ? n : 2 * n) * (experts == 0 ? 1 : experts); }
  uint32_t blocks() const { return (k + block_size - 1) / block_size; }
  uint64_t b_row_bytes() const { return uint64_t{blocks()} * (block_size * bits / 8); }
  uint64_t packed_zero_points_row_bytes() const { return (uint64_t{blocks()} * bits + 7) / 8; }
  // Returns the words of the widest load of B that stays inside one block.
  uint32_t unit_words() const { return block_size * bits / 32 < 4 ? block_size * bits / 32 : 4; }
};

// Uniform of the tiles; mirrors struct Params in matmul_nbits_inputs.wgsl.
struct MatMulNBitsParams {
  uint32_t m, n, k;
  uint32_t n_begin, n_count;
  uint32_t blocks;                 // blocks of a row
  uint32_t row_units;              // words of B per row
  uint32_t zero_points_row_bytes;  // bytes of a row of packed zero points
};
static_assert(sizeof(MatMulNBitsParams) == 32);
static_assert(offsetof(MatMulNBitsParams, zero_points_row_bytes) == 28);

// Plans one dispatch. Throws Error for an unknown variant, and for a shape that the kernel does not
// support (bits, block size, or a shape that CanFuseMatMulNBits() refuses). Each family's own name
// selects its best guess.
//
// - `tile`, for many rows: tiles in workgroup memory; nothing before or after the product.
// - `narrow` and those of matmul_nbits_narrow.h, for up to 256 rows: on the matrix units, with
//   everything but a skip.
// - `matrix` and those of matmul_nbits_matrix.h, for many rows: on the matrix units; nothing before
//   the product.
// - `dot` and those of matmul_nbits_dot.h, for many rows: by packed dot products; nothing before
//   the product.
// - `decode` and those of matmul_nbits_decode.h, for few rows.
KernelPlan PlanMatMulNBits(const Caps& caps, const MatMulNBitsShape& shape,
                           std::string_view variant = "");

// Returns the variants worth a try for the shape on this adapter. The rows of A select the
// families, because the others are slower by far.
std::vector<std::string> MatMulNBitsVariants(const Caps& caps, const MatMulNBitsShape& shape);

// Returns the same plans for measuring.
Tunable MatMulNBitsTunable(const Caps& caps, const MatMulNBitsShape& shape);

// Number of rows of A and Y that use the same one of several weights.
inline constexpr uint32_t kMatMulNBitsExpertRows = 64;

// Number of rows of A up to which the kernel for few rows computes everything around a product.
inline constexpr uint32_t kMatMulNBitsDecodeRows = 8;

// Returns whether one dispatch can compute what the shape requires before and after the product,
// with `variant` if that is forced. Plain products always can.
bool CanFuseMatMulNBits(const Caps& caps, const MatMulNBitsShape& shape,
                        std::string_view variant = "");

// Returns the row ranges [n_begin, n_count] of the dispatches that together compute all of Y on
// this adapter.
std::vector<RowRange> SplitMatMulNBits(const Caps& caps, const MatMulNBitsShape& shape);

// Returns Y [M, N] in double. `shape.zero_points` selects `zero_points_packed` or
// `zero_points_float`; the other is empty. `bias` is empty if there is none. The tensors are whole:
// n_begin and n_count are ignored.
std::vector<double> MatMulNBitsReference(const MatMulNBitsShape& shape, std::span<const double> a,
                                         std::span<const std::byte> b,
                                         std::span<const double> scales,
                                         std::span<const std::byte> zero_points_packed = {},
                                         std::span<const double> zero_points_float = {},
                                         std::span<const double> bias = {});

}  // namespace sinter::kernels
