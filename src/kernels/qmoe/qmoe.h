// com.microsoft.QMoE: a quantized mixture of experts, in four dispatches. T tokens, E experts, the
// best k of them a token (the token's slots), H hidden size, I intermediate size.
//
//   router   indices[t, s], weights[t, s] = the k largest router logits of token t and their share
//   gate_up  h[t, s, :] = activation(fc1[e] x[t] + fc1_bias[e]), e = indices[t, s]
//   down     d[t, s, :] = fc2[e] h[t, s] + fc2_bias[e]
//   mix      y[t, :] = sum over s of weights[t, s] * d[t, s, :]
//
// Bindings (0 is params in each):
//   router   1 logits [T, E] act_t, 2 indices [T, k] i32 (out), 3 weights [T, k] f32 (out)
//   gate_up  1 x [T, H] act_t, 2 fc1 u8, 3 scales, 4 zero_points (optional), 5 bias (optional),
//            6 indices, 7 h [T, k, I] f32 (out)
//   down     1 h [T, k, I] f32, 2 fc2 u8, 3 scales, 4 zero_points (optional), 5 bias (optional),
//            6 indices, 7 d [T, k, H] f32 (out)
//   mix      1 d, 2 weights, 3 y [T, H] act_t (out)
// Weights, for N output and K input features of an expert (fc1: N = I, or 2 I with a fused SwiGLU,
// and K = H; fc2: N = H, K = I):
//   weight       [E, N, ceil(K * bits / 8)] u8: codes from the lowest bits of each byte up
//   scales       [E, N, ceil(K / block_size)] act_t; [E, N] without blocks
//   zero_points  [E, N, ceil(blocks * bits / 8)] u8; [E, ceil(N * bits / 8)] without blocks;
//                absent: 2^(bits - 1)
//   bias         [E, N] act_t
// h and d are f32 whatever act_t is: they cost little, and an unclamped activation may pass f16.
//
// For few tokens gate_up and down have another form (`decode`), in which the workgroup of an output
// has all slots of a token, so that there is neither d nor mix:
//   gate_up  as above, with h in QMoEDecodeHiddenDType
//   down     1 h, 2 fc2, 3 scales, 4 zero_points (optional), 5 bias (optional), 6 indices,
//            7 y [T, H] act_t (out), 8 weights
//
// For many tokens slots are grouped by expert: each gets a row, and rows [64 t, 64 t + 64) have one
// expert (R rows in all, QMoEGroupedRows). The products are those of matmul_nbits.h with that many
// weights.
//   group     1 indices, 2 rows [T, k] u32 (out), 3 tokens [R] u32 (out), 4 tile_experts [R / 64]
//             u32 (out; the largest u32 where the tile has none)
//   gather    1 x, 2 tile_experts, 3 tokens, 4 grouped x [R, H] act_t (out)
//   activate  1 product of fc1 [R, fc1_rows] act_t, 2 tile_experts, 4 h [R, I] act_t (out)
//   grouped_mix  1 product of fc2 [R, H] act_t, 2 rows, 3 weights, 4 y [T, H] act_t (out)
//
// A weight larger than a storage binding: gate_up and down take a range of experts, whose weight,
// scales, zero_points and bias are bound; a dispatch writes only the slots of experts in its range,
// so one dispatch a range fills h (d), as every slot has one expert.
//
// The router has a form, too, that makes the logits itself:
//   norm_router  1 x [T, H] act_t, 2 norm_scale [H] act_t, 3 router u8, 4 router_scales act_t,
//                5 router_zero_points u8 (optional), 6 router_bias [E] act_t (optional), 7 h [T, H]
//                act_t (out): rms_norm(x), the experts' input, 8 indices (out), 9 weights (out)
// with the router as MatMulNBits has its weights.
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

// gate_up and down, by slot and in the decode form.
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

// The rows of fc1 with a SwiGLU: even rows gate and odd rows up, or the first half gate and the
// second up.
enum class SwiGluFusion { kInterleaved = 1, kHalves = 2 };

struct QMoEShape {
  uint32_t tokens = 1, experts = 1, top_k = 1;
  uint32_t hidden = 1, intermediate = 1;
  uint32_t bits = 4;          // 2, 4 or 8
  uint32_t block_size = 0;    // a power of two from 16; 0: one scale an output feature
  DType dtype = DType::kF32;  // of x, logits, scales, biases and y: kF32 or kF16
  QMoEActivation activation = QMoEActivation::kSwiGlu;
  SwiGluFusion fusion = SwiGluFusion::kInterleaved;
  float alpha = 1.0f, beta = 0.0f;
  float limit = std::numeric_limits<float>::infinity();
  bool normalize = false;  // weights: softmax over the chosen k (else over all experts)
  bool fc1_zero_points = false, fc2_zero_points = false;
  bool fc1_bias = false, fc2_bias = false;
  // The experts whose weights are bound (gate_up, down). expert_count 0 means all.
  uint32_t expert_begin = 0, expert_count = 0;

  // Output features of fc1.
  uint32_t fc1_rows() const {
    return activation == QMoEActivation::kSwiGlu ? 2 * intermediate : intermediate;
  }
};

// The router's product and the norm before it.
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

// Mirrors struct Params in qmoe_expert.wgsl; gate_up and down.
struct QMoEExpertParams {
  uint32_t slots;        // tokens * top_k
  uint32_t slots_per_x;  // neighbouring slots that read the same row of x
  uint32_t rows;         // output features of the weight
  uint32_t outputs;      // features written a slot
  uint32_t k;            // input features
  uint32_t expert_begin, expert_count;
  uint32_t blocks;      // scales a row
  uint32_t block_size;  // codes a scale
  uint32_t row_bytes;   // of the weight
  uint32_t row_chunks;  // loads a row
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

// router and mix have one variant. gate_up and down: `wg` (reduced through workgroup memory), `sg`
// (by subgroup shuffles; needs subgroups). Each throws Error for a shape that the kernel does not
// have (bits, block size, top_k) or an unknown variant.
KernelPlan PlanQMoERouter(const Caps& caps, const QMoEShape& shape, std::string_view variant = "");
KernelPlan PlanQMoEGateUp(const Caps& caps, const QMoEShape& shape, std::string_view variant = "");
KernelPlan PlanQMoEDown(const Caps& caps, const QMoEShape& shape, std::string_view variant = "");
KernelPlan PlanQMoEMix(const Caps& caps, const QMoEShape& shape, std::string_view variant = "");

std::vector<std::string> QMoEExpertVariants(const Caps& caps);

// The ways to make the experts' products.
enum class QMoEForm { kBySlot, kDecode, kGrouped };
// The form that a forced variant belongs to. Throws Error for an unknown variant.
QMoEForm QMoEFormOf(const Caps& caps, std::string_view variant);

// The decode form: `decode.wg128.r4` has 128 threads a workgroup and 4 rows of the weight a team;
// with `.f32` behind it sums are f32 where others have f16 products and sums of 8. The variants
// that the shape can have on this adapter, the best guess first; empty where it has none: rows that
// are no whole words and octets or do not fit workgroup memory, weights that do not fit one
// binding, too many bindings.
std::vector<std::string> QMoEDecodeVariants(const Caps& caps, const QMoEShape& shape);
// Tokens up to which the decode form is worth while.
inline constexpr uint32_t kMaxQMoEDecodeTokens = 8;
// Plans of gate_up and down for measuring, which may choose among those that agree with the best
// guess on the type of h.
Tunable QMoEGateUpDecodeTunable(const Caps& caps, const QMoEShape& shape);
Tunable QMoEDownDecodeTunable(const Caps& caps, const QMoEShape& shape);
// Throw Error for a variant that QMoEDecodeVariants has not.
KernelPlan PlanQMoEGateUpDecode(const Caps& caps, const QMoEShape& shape,
                                std::string_view variant = "");
KernelPlan PlanQMoEDownDecode(const Caps& caps, const QMoEShape& shape,
                              std::string_view variant = "");
// The type of h between the two: f16, which limits it to +-32752, where products are f16.
DType QMoEDecodeHiddenDType(const Caps& caps, const QMoEShape& shape,
                            std::string_view variant = "");

// The grouped form: whether the shape has it (rows of whole blocks, weights that fit one binding),
// and the parts. Throw Error for a variant: they have none.
bool CanGroupQMoE(const Caps& caps, const QMoEShape& shape);
// R: whatever the slots' experts are, each has room.
uint64_t QMoEGroupedRows(const QMoEShape& shape);
// The products with fc1 and fc2.
MatMulNBitsShape QMoEGroupedGateUp(const QMoEShape& shape);
MatMulNBitsShape QMoEGroupedDown(const QMoEShape& shape);
// Plans of either product, for measuring.
Tunable QMoEGroupedTunable(const Caps& caps, const MatMulNBitsShape& product);
KernelPlan PlanQMoEGroup(const Caps& caps, const QMoEShape& shape, std::string_view variant = "");
KernelPlan PlanQMoEGather(const Caps& caps, const QMoEShape& shape, std::string_view variant = "");
KernelPlan PlanQMoEActivate(const Caps& caps, const QMoEShape& shape,
                            std::string_view variant = "");
KernelPlan PlanQMoEGroupedMix(const Caps& caps, const QMoEShape& shape,
                              std::string_view variant = "");

// One dispatch, a workgroup a token. Whether the shape fits it: whole quads of x, rows that fit
// workgroup memory, bindings.
bool CanPlanQMoENormRouter(const Caps& caps, const QMoEShape& shape,
                           const QMoENormRouterShape& router);
// Throws Error where it does not fit, and for a variant: it has none.
KernelPlan PlanQMoENormRouter(const Caps& caps, const QMoEShape& shape,
                              const QMoENormRouterShape& router, std::string_view variant = "");

// Ranges of experts (expert_begin, expert_count) for the dispatches of gate_up and of down.
std::vector<RowRange> SplitQMoEGateUp(const Caps& caps, const QMoEShape& shape);
std::vector<RowRange> SplitQMoEDown(const Caps& caps, const QMoEShape& shape);

// One weight of all experts; spans empty where absent.
struct QMoEWeight {
  std::span<const std::byte> codes;
  std::span<const double> scales;
  std::span<const std::byte> zero_points;
  std::span<const double> bias;
  // In place of codes, scales and zero points: the weight as it is, [E, N, K].
  std::span<const double> plain = {};
};

struct QMoERouting {
  std::vector<double> indices;  // [T, k]
  std::vector<double> weights;  // [T, k]
};

// References in double; ranges of experts are ignored. Equal logits: the lower index first.
QMoERouting QMoERouterReference(const QMoEShape& shape, std::span<const double> logits);
std::vector<double> QMoEGateUpReference(const QMoEShape& shape, std::span<const double> x,
                                        const QMoEWeight& fc1, std::span<const double> indices);
std::vector<double> QMoEDownReference(const QMoEShape& shape, std::span<const double> h,
                                      const QMoEWeight& fc2, std::span<const double> indices);
std::vector<double> QMoEMixReference(const QMoEShape& shape, std::span<const double> d,
                                     std::span<const double> weights);
// The whole operator: y [T, H].
std::vector<double> QMoEReference(const QMoEShape& shape, std::span<const double> x,
                                  std::span<const double> logits, const QMoEWeight& fc1,
                                  const QMoEWeight& fc2);

}  // namespace sinter::kernels
