// com.microsoft.MatMulNBits: Y[M, N] = A[M, K] x dequantize(B)^T (+ bias[N]), B quantized in blocks
// along K.
//
//   blocks = ceil(K / block_size)
//   w[n, k] = (code[n, k] - zero[n, k / block_size]) * scale[n, k / block_size]
//
// Bindings: 0 params, 1 A, 2 B, 3 scales, 4 zero_points (optional), 5 bias (optional), 6 Y.
//   A            [M, K] act_t
//   B            [N, blocks, block_size * bits / 8] u8: codes from the lowest bits of each byte up
//   scales       [N, blocks] act_t
//   zero_points  packed: [N, ceil(blocks * bits / 8)] u8; float: [N, blocks] act_t;
//                absent: 2^(bits - 1)
//   bias         [N] act_t
//   Y            [M, N] act_t
// With `interleave` B, scales and zero points have eight rows together (interleave.h), which is
// what products read quickest: B [N / 8, units, 8] units of unit_words() words, scales and float
// zero points [N / 8, blocks, 8], packed zero points [N / 8, bytes of a row, 8]. Source: ONNX
// Runtime, docs/ContribOperators.md.
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

// Where a blockwise quantized weight has its zero points from.
enum class ZeroPoints {
  kDefault,  // none given: 2^(bits - 1)
  kPacked,   // u8, packed like the codes, each row padded to a byte
  kFloat,    // one of the activation type per block
};

// The two halves of a gated product's rows of B meet in Y = activation(gate) * up.
enum class Glu { kNone, kSilu, kGelu, kGeluTanh };

// What is added to the input before it is normalized.
enum class Skip {
  kNone,
  kPlain,       // skip
  kNormalized,  // skip / rms(skip) * skip_scale
};

// How the rows of h that are multiplied with B come from A: x = A (+ skip), h = x / rms(x) * scale.
// Sources: ONNX Runtime's SimplifiedLayerNormalization and SkipSimplifiedLayerNormalization.
struct MatMulNBitsNorm {
  bool present = false;  // false: h = A, and the rest is as it is here
  Skip skip = Skip::kNone;
  bool keeps_sum = false;  // x is an output too, of A's type
  DType input_dtype = DType::kF32, skip_dtype = DType::kF32;
  DType scale_dtype = DType::kF32, skip_scale_dtype = DType::kF32;
  float epsilon = 1e-6f, skip_epsilon = 1e-6f;
  bool operator==(const MatMulNBitsNorm&) const = default;
};

struct MatMulNBitsShape {
  uint32_t m = 1, n = 1, k = 1;
  uint32_t bits = 4;          // 2, 4 or 8
  uint32_t block_size = 32;   // a power of two from 16 to 256
  DType dtype = DType::kF32;  // of A, scales, bias and Y: kF32 or kF16
  ZeroPoints zero_points = ZeroPoints::kDefault;
  bool bias = false;
  // With a gate, B holds 2 n rows: those of the gate, then as many of what it lets through. Scales,
  // zero points and bias go with them.
  Glu glu = Glu::kNone;
  bool residual = false;  // [M, N] of Y's type, added to Y
  MatMulNBitsNorm norm;
  // The rows of B that this dispatch computes: B, scales, zero_points and bias are bound from row
  // n_begin on, and column n_begin + i of Y is written for i < n_count. n_count 0 means all.
  uint32_t n_begin = 0, n_count = 0;
  // Above 0 B is that many weights [n, k], one below the other, scales, zero points and bias with
  // them; rows [64 t, 64 t + 64) of A and Y belong to weight tile_experts[t], or to none where that
  // is not below `experts`: such rows of Y are not written. m is a multiple of 64. Binding 8:
  // tile_experts u32 [m / 64].
  uint32_t experts = 0;
  // Rows of B that lie together: 1, or kInterleavedRows, which n, n_begin and n_count are then
  // multiples of; of one weight only.
  uint32_t interleave = 1;

  bool operator==(const MatMulNBitsShape&) const = default;
  uint32_t b_rows() const { return (glu == Glu::kNone ? n : 2 * n) * (experts == 0 ? 1 : experts); }
  uint32_t blocks() const { return (k + block_size - 1) / block_size; }
  uint64_t b_row_bytes() const { return uint64_t{blocks()} * (block_size * bits / 8); }
  uint64_t packed_zero_points_row_bytes() const { return (uint64_t{blocks()} * bits + 7) / 8; }
  // Words of B in the widest load that lies inside one block.
  uint32_t unit_words() const { return block_size * bits / 32 < 4 ? block_size * bits / 32 : 4; }
};

// Uniform of the tiles; mirrors struct Params in matmul_nbits_inputs.wgsl.
struct MatMulNBitsParams {
  uint32_t m, n, k;
  uint32_t n_begin, n_count;
  uint32_t blocks;                 // a row
  uint32_t row_units;              // words of B a row
  uint32_t zero_points_row_bytes;  // of packed zero points
};
static_assert(sizeof(MatMulNBitsParams) == 32);
static_assert(offsetof(MatMulNBitsParams, zero_points_row_bytes) == 28);

// Variants: `tile` (many rows: tiles in workgroup memory; nothing before or behind the product),
// those of matmul_nbits_matrix.h (many rows, on the matrix units; nothing before the product), of
// which `matrix` is the best guess, those of matmul_nbits_dot.h (many rows, by packed dot products;
// nothing before the product), of which `dot` is, and those of matmul_nbits_decode.h (few rows), of
// which `decode` is.
// Throws Error for a shape that the kernel does not have (bits, block size, or what
// CanFuseMatMulNBits() refuses) or an unknown variant.
KernelPlan PlanMatMulNBits(const Caps& caps, const MatMulNBitsShape& shape,
                           std::string_view variant = "");

// Those worth a try for the shape on this adapter: by rows of A, since others are slower by far.
std::vector<std::string> MatMulNBitsVariants(const Caps& caps, const MatMulNBitsShape& shape);

// The same plans, for measuring.
Tunable MatMulNBitsTunable(const Caps& caps, const MatMulNBitsShape& shape);

// Rows of A and Y that have one of several weights.
inline constexpr uint32_t kMatMulNBitsExpertRows = 64;

// Up to so many rows of A the kernel for few rows takes all that stands around a product.
inline constexpr uint32_t kMatMulNBitsDecodeRows = 8;

// Whether one dispatch can do what the shape asks for before and behind the product, of `variant`
// where one is forced; plain products always can.
bool CanFuseMatMulNBits(const Caps& caps, const MatMulNBitsShape& shape,
                        std::string_view variant = "");

// Row ranges [n_begin, n_count] for the dispatches that together compute all of Y on this adapter.
std::vector<RowRange> SplitMatMulNBits(const Caps& caps, const MatMulNBitsShape& shape);

// Y [M, N] in double. `zero_points_packed` and `zero_points_float` as `shape.zero_points` says, the
// other empty; `bias` empty where there is none. The tensors are whole (n_begin and n_count are
// ignored).
std::vector<double> MatMulNBitsReference(const MatMulNBitsShape& shape, std::span<const double> a,
                                         std::span<const std::byte> b,
                                         std::span<const double> scales,
                                         std::span<const std::byte> zero_points_packed = {},
                                         std::span<const double> zero_points_float = {},
                                         std::span<const double> bias = {});

}  // namespace sinter::kernels
