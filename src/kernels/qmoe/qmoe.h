// com.microsoft.QMoE: a quantized mixture of experts, in four dispatches. T tokens, E experts, the
// best k of them for each token (the token's slots), H hidden size, I intermediate size.
//
//   router   indices[t, s], weights[t, s] = the k largest router logits of token t and their share
//   gate_up  h[t, s, :] = activation(fc1[e] x[t] + fc1_bias[e]), e = indices[t, s]
//   down     d[t, s, :] = fc2[e] h[t, s] + fc2_bias[e]
//   mix      y[t, :] = sum over s of weights[t, s] * d[t, s, :]
//
// Operands:
//   router   logits [T, E] act_t, indices [T, k] i32 (out), weights [T, k] f32 (out)
//   gate_up  x [T, H] act_t, fc1 u8, scales, zero_points (optional), bias (optional), indices,
//            h [T, k, I] f32 (out)
//   down     h [T, k, I] f32, fc2 u8, scales, zero_points (optional), bias (optional), indices,
//            d [T, k, H] f32 (out)
//   mix      d, weights, y [T, H] act_t (out)
// Weights, for N output and K input features of an expert (fc1: N = I, or 2 I with a fused SwiGLU,
// and K = H; fc2: N = H, K = I):
//   weight       [E, N, ceil(K * bits / 8)] u8: codes from the lowest bits of each byte up
//   scales       [E, N, ceil(K / block_size)] act_t; [E, N] without blocks
//   zero_points  [E, N, ceil(blocks * bits / 8)] u8; [E, ceil(N * bits / 8)] without blocks;
//                absent: 2^(bits - 1)
//   bias         [E, N] act_t
// h and d are always f32: they cost little, and an activation without limit may exceed f16.
//
// The `decode` form, for few tokens: the workgroup of an output computes all slots of a token, so
// there is neither d nor mix.
//   gate_up  as above, with h of QMoEDecodeHiddenDType
//   down     h, fc2, scales, zero_points (optional), bias (optional), indices, y [T, H] act_t
//   (out),
//            weights
//
// The `grouped` form, for many tokens: slots are grouped by expert. Each slot gets a row, and rows
// [64 t, 64 t + 64) have one expert (R rows in all, QMoEGroupedRows). The products are those of
// matmul_nbits.h with several weights.
//   group     indices, rows [T, k] u32 (out), tokens [R] u32 (out), tile_experts [R / 64] u32 (out;
//             the largest u32 if the tile has none)
//   gather    x, tile_experts, tokens, grouped x [R, H] act_t (out)
//   activate  product of fc1 [R, fc1_rows] act_t, tile_experts, h [R, I] act_t (out)
//   grouped_mix  product of fc2 [R, H] act_t, rows, weights, y [T, H] act_t (out)
//
// If a weight is larger than a storage binding, gate_up and down bind a range of experts with its
// weight, scales, zero_points and bias. A dispatch writes only the slots of experts in its range.
// Every slot has one expert, so the dispatches of all ranges together fill h (d).
//
// The router has a form that computes the logits itself, with the router's weight as in
// MatMulNBits:
//   norm_router  x [T, H] act_t, norm_scale [H] act_t, router u8, router_scales act_t,
//                router_zero_points u8 (optional), router_bias [E] act_t (optional), h [T, H] act_t
//                (out): rms_norm(x), the experts' input, indices (out), weights (out)
//
// SwiGLU: gate' = min(gate, limit), up' = clamp(up, -limit, limit),
// result = gate' * sigmoid(alpha * gate') * (up' + beta).
// Source: ONNX Runtime, docs/ContribOperators.md and contrib_ops/{cpu,webgpu}/moe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "kernels/common/row_split.h"
#include "kernels/kernel_plan.h"
#include "kernels/matmul_nbits/matmul_nbits.h"
#include "kernels/operand.h"

namespace sinter::kernels {

struct QMoERouterRoles {
  static constexpr Role kLogits{1}, kIndices{2, Access::kWrite}, kWeights{3, Access::kWrite};
};

// Roles of gate_up and down, by slot and in the decode form.
struct QMoELayerRoles {
  static constexpr Role kX{1}, kCodes{2}, kScales{3}, kZeroPoints{4}, kBias{5}, kIndices{6},
      kY{7, Access::kWrite}, kWeights{8};
};

struct QMoEMixRoles {
  static constexpr Role kPartial{1}, kWeights{2}, kY{3, Access::kWrite};
};

struct QMoEGroupRoles {
  static constexpr Role kIndices{1}, kRows{2, Access::kWrite}, kTokens{3, Access::kWrite},
      kTileExperts{4, Access::kWrite};
};

struct QMoEGatherRoles {
  static constexpr Role kX{1}, kTileExperts{2}, kTokens{3}, kGrouped{4, Access::kWrite};
};

struct QMoEActivateRoles {
  static constexpr Role kProduct{1}, kTileExperts{2}, kHidden{4, Access::kWrite};
};

struct QMoEGroupedMixRoles {
  static constexpr Role kPartial{1}, kRows{2}, kWeights{3}, kY{4, Access::kWrite};
};

struct QMoENormRouterRoles {
  static constexpr Role kX{1}, kNormScale{2}, kRouter{3}, kScales{4}, kZeroPoints{5}, kBias{6},
      kNormed{7, Access::kWrite}, kIndices{8, Access::kWrite}, kWeights{9, Access::kWrite};
};

enum class QMoEActivation { kRelu, kGelu, kSilu, kIdentity, kSwiGlu };

// Order of the rows of fc1 with a SwiGLU: even rows are gate and odd rows up, or the first half is
// gate and the second up.
enum class SwiGluFusion { kInterleaved = 1, kHalves = 2 };

struct QMoEShape {
  uint32_t tokens = 1, experts = 1, top_k = 1;
  uint32_t hidden = 1, intermediate = 1;
  uint32_t bits = 4;          // 2, 4 or 8
  uint32_t block_size = 0;    // a power of two from 16; 0 means one scale per output feature
  DType dtype = DType::kF32;  // type of x, logits, scales, biases and y: kF32 or kF16
  QMoEActivation activation = QMoEActivation::kSwiGlu;
  SwiGluFusion fusion = SwiGluFusion::kInterleaved;
  float alpha = 1.0f, beta = 0.0f;
  float limit = std::numeric_limits<float>::infinity();
  bool normalize = false;  // softmax over the chosen k experts, otherwise over all
  bool fc1_zero_points = false, fc2_zero_points = false;
  bool fc1_bias = false, fc2_bias = false;
  // Experts whose weights gate_up and down bind. expert_count 0 means all.
  uint32_t expert_begin = 0, expert_count = 0;

  // Returns the output features of fc1.
  uint32_t fc1_rows() const {
    return activation == QMoEActivation::kSwiGlu ? 2 * intermediate : intermediate;
  }
};

// Product of the router and the norm before it.
struct QMoENormRouterShape {
  uint32_t bits = 4;         // 2, 4 or 8
  uint32_t block_size = 32;  // a power of two from 16
  bool zero_points = false, bias = false;
  float epsilon = 1e-5f;
};

// Mirrors struct Params in qmoe_router.wgsl.
struct QMoERouterParams {
  uint32_t tokens, experts, normalize, grid_x;
};
static_assert(sizeof(QMoERouterParams) == 16);

// Mirrors struct Params in qmoe_expert.wgsl, for gate_up and down.
struct QMoEExpertParams {
  uint32_t slots;        // tokens * top_k
  uint32_t slots_per_x;  // neighbouring slots that read the same row of x
  uint32_t rows;         // output features of the weight
  uint32_t outputs;      // features written per slot
  uint32_t k;            // input features
  uint32_t expert_begin, expert_count;
  uint32_t blocks;      // scales per row
  uint32_t block_size;  // codes per scale
  uint32_t row_bytes;   // bytes of a row of the weight
  uint32_t row_chunks;  // loads per row
  uint32_t zero_points_expert_bytes;
  uint32_t zero_points_row_bits;
  float alpha, beta, limit;
  uint32_t grid_x;
  uint32_t pad[3];
};
static_assert(sizeof(QMoEExpertParams) == 80);
static_assert(offsetof(QMoEExpertParams, alpha) == 52);
static_assert(offsetof(QMoEExpertParams, grid_x) == 64);

// Mirrors struct Params in qmoe_mix.wgsl.
struct QMoEMixParams {
  uint32_t hidden, top_k, threads, grid_x;
};
static_assert(sizeof(QMoEMixParams) == 16);

// Plan one dispatch. router and mix have one variant. gate_up and down have `wg` (reduction through
// workgroup memory) and `sg` (by subgroup shuffles; needs subgroups). Each throws Error for an
// unknown variant, and for a shape that the kernel does not support (bits, block size, top_k).
KernelPlan PlanQMoERouter(const Caps& caps, const QMoEShape& shape, std::string_view variant = "");
KernelPlan PlanQMoEGateUp(const Caps& caps, const QMoEShape& shape, std::string_view variant = "");
KernelPlan PlanQMoEDown(const Caps& caps, const QMoEShape& shape, std::string_view variant = "");
KernelPlan PlanQMoEMix(const Caps& caps, const QMoEShape& shape, std::string_view variant = "");

std::vector<std::string> QMoEExpertVariants(const Caps& caps);

// Forms of the experts' products.
enum class QMoEForm { kBySlot, kDecode, kGrouped };
// Returns the form that a forced variant belongs to. Throws Error for an unknown variant.
QMoEForm QMoEFormOf(const Caps& caps, std::string_view variant);

// Returns the variants of the decode form for the shape on this adapter, the best guess first.
// `decode.wg128.r4` has 128 threads per workgroup and 4 rows of the weight per team. With the
// suffix `.f32` sums are f32; otherwise products and sums of 8 are f16. Empty if the form does not
// fit: rows that are no whole words and octets or do not fit workgroup memory, weights that do not
// fit one binding, or too many bindings.
std::vector<std::string> QMoEDecodeVariants(const Caps& caps, const QMoEShape& shape);
// Number of tokens up to which the decode form pays off.
inline constexpr uint32_t kMaxQMoEDecodeTokens = 8;
// Return the plans of gate_up and down for measuring. It may choose among those that have the same
// type of h as the best guess.
Tunable QMoEGateUpDecodeTunable(const Caps& caps, const QMoEShape& shape);
Tunable QMoEDownDecodeTunable(const Caps& caps, const QMoEShape& shape);
// Plan one dispatch. Throw Error for a variant that is not among QMoEDecodeVariants().
KernelPlan PlanQMoEGateUpDecode(const Caps& caps, const QMoEShape& shape,
                                std::string_view variant = "");
KernelPlan PlanQMoEDownDecode(const Caps& caps, const QMoEShape& shape,
                              std::string_view variant = "");
// Returns the type of h between the two: f16 if products are f16; then an h beyond +-32752 is
// infinite.
DType QMoEDecodeHiddenDType(const Caps& caps, const QMoEShape& shape,
                            std::string_view variant = "");

// Returns whether the shape has a grouped form: rows of whole blocks, weights that fit one binding.
// The plans of its parts have no variants and throw Error for one.
bool CanGroupQMoE(const Caps& caps, const QMoEShape& shape);
// Returns R: enough rows for any assignment of slots to experts.
uint64_t QMoEGroupedRows(const QMoEShape& shape);
// Return the products with fc1 and fc2.
MatMulNBitsShape QMoEGroupedGateUp(const QMoEShape& shape);
MatMulNBitsShape QMoEGroupedDown(const QMoEShape& shape);
// Returns the plans of either product for measuring.
Tunable QMoEGroupedTunable(const Caps& caps, const MatMulNBitsShape& product);
KernelPlan PlanQMoEGroup(const Caps& caps, const QMoEShape& shape, std::string_view variant = "");
KernelPlan PlanQMoEGather(const Caps& caps, const QMoEShape& shape, std::string_view variant = "");
KernelPlan PlanQMoEActivate(const Caps& caps, const QMoEShape& shape,
                            std::string_view variant = "");
KernelPlan PlanQMoEGroupedMix(const Caps& caps, const QMoEShape& shape,
                              std::string_view variant = "");

// Returns whether the shape fits norm_router, which is one dispatch with a workgroup per token:
// whole quads of x, rows that fit workgroup memory, bindings.
bool CanPlanQMoENormRouter(const Caps& caps, const QMoEShape& shape,
                           const QMoENormRouterShape& router);
// Plans one dispatch. Throws Error if the shape does not fit, and for a variant, because it has
// none.
KernelPlan PlanQMoENormRouter(const Caps& caps, const QMoEShape& shape,
                              const QMoENormRouterShape& router, std::string_view variant = "");

// Return the ranges of experts (expert_begin, expert_count) of the dispatches of gate_up and of
// down.
std::vector<RowRange> SplitQMoEGateUp(const Caps& caps, const QMoEShape& shape);
std::vector<RowRange> SplitQMoEDown(const Caps& caps, const QMoEShape& shape);

// One weight of all experts. Spans are empty if absent.
struct QMoEWeight {
  std::span<const std::byte> codes;
  std::span<const double> scales;
  std::span<const std::byte> zero_points;
  std::span<const double> bias;
  // The weight [E, N, K] unquantized, in place of codes, scales and zero points.
  std::span<const double> plain = {};
};

struct QMoERouting {
  std::vector<double> indices;  // [T, k]
  std::vector<double> weights;  // [T, k]
};

// Compute the references in double; they ignore ranges of experts. Of equal logits, the lower index
// comes first.
QMoERouting QMoERouterReference(const QMoEShape& shape, std::span<const double> logits);
std::vector<double> QMoEGateUpReference(const QMoEShape& shape, std::span<const double> x,
                                        const QMoEWeight& fc1, std::span<const double> indices);
std::vector<double> QMoEDownReference(const QMoEShape& shape, std::span<const double> h,
                                      const QMoEWeight& fc2, std::span<const double> indices);
std::vector<double> QMoEMixReference(const QMoEShape& shape, std::span<const double> d,
                                     std::span<const double> weights);
// Returns the result y [T, H] of the whole operator.
std::vector<double> QMoEReference(const QMoEShape& shape, std::span<const double> x,
                                  std::span<const double> logits, const QMoEWeight& fc1,
                                  const QMoEWeight& fc2);

}  // namespace sinter::kernels
