// Plan of the router with the norm before it. qmoe_norm_router.wgsl has the maths.

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "base/error.h"
#include "kernels/common/plan_util.h"
#include "kernels/qmoe/qmoe.h"
#include "kernels/qmoe/qmoe_layer.h"

namespace sinter::kernels {
namespace {

// Mirrors struct Params in qmoe_norm_router.wgsl.
struct NormRouterParams {
  uint32_t tokens, normalize;
  float epsilon;
  uint32_t pad;
};
static_assert(sizeof(NormRouterParams) == 16);

uint32_t Lanes(const Caps& caps) {
  return caps.subgroups ? std::clamp(caps.subgroup_min_size, 1u, 32u) : 32;
}

// Returns enough threads for one team per expert, as far as there are threads, and one thread per
// two quads of x.
uint32_t Workgroup(const Caps& caps, const QMoEShape& shape) {
  const uint32_t most = std::bit_floor(std::min(
      {1024u, caps.limits.max_invocations_per_workgroup, caps.limits.max_workgroup_size_x}));
  const uint32_t wanted = std::max(shape.experts * Lanes(caps), shape.hidden / 8);
  return std::clamp(std::bit_ceil(wanted), 64u, most);
}

uint32_t Blocks(const QMoEShape& shape, const QMoENormRouterShape& router) {
  return (shape.hidden + router.block_size - 1) / router.block_size;
}

}  // namespace

bool CanPlanQMoENormRouter(const Caps& caps, const QMoEShape& shape,
                           const QMoENormRouterShape& router) {
  qmoe::CheckShape(shape);
  const uint32_t workgroup = Workgroup(caps, shape);
  const uint32_t buffers = 7 + (router.zero_points ? 1 : 0) + (router.bias ? 1 : 0);
  if (shape.hidden % 4 != 0 || shape.top_k > workgroup ||
      buffers > caps.limits.max_storage_buffers_per_stage ||
      uint64_t{shape.experts} * Blocks(shape, router) * router.block_size * router.bits / 8 >
          caps.limits.max_storage_binding_bytes ||
      shape.tokens > caps.limits.max_workgroups_per_dimension) {
    return false;
  }
  uint64_t bytes = uint64_t{Blocks(shape, router)} * router.block_size * 4;
  bytes += 4 * (uint64_t{shape.experts} + shape.top_k + workgroup) + 64;
  if (!caps.subgroups) bytes += 4 * (workgroup / Lanes(caps)) * (Lanes(caps) + 1);
  return bytes <= caps.limits.max_workgroup_storage_bytes;
}

KernelPlan PlanQMoENormRouter(const Caps& caps, const QMoEShape& shape,
                              const QMoENormRouterShape& router, std::string_view variant) {
  PickVariant("qmoe_norm_router", variant, "", {""});
  if (!CanPlanQMoENormRouter(caps, shape, router)) {
    throw Error("kernels",
                "qmoe_norm_router: got {} experts and rows of {}, want whole quads that fit "
                "workgroup memory",
                shape.experts, shape.hidden);
  }
  const std::string_view act = FloatWgslType(caps, "QMoE", shape.dtype);
  const uint32_t blocks = Blocks(shape, router);
  const uint32_t chunk_words = std::min(4u, router.block_size * router.bits / 32);
  const uint32_t chunks = blocks * router.block_size * router.bits / 32 / chunk_words;
  const uint32_t workgroup = Workgroup(caps, shape);
  KernelPlan plan;
  plan.wgsl = "qmoe/qmoe_norm_router.wgsl";
  plan.prelude = fmt::format(
      "alias act_t = {};\nalias unit_t = {};\nconst kBits = {}u;\nconst kBlockSize = {}u;\n"
      "const kBlocks = {}u;\nconst kK = {}u;\nconst kChunkWords = {}u;\nconst kChunks = {}u;\n"
      "const kExperts = {}u;\nconst kTopK = {}u;\nconst kWorkgroupSize = {}u;\n"
      "const kLanes = {}u;\nconst kZeroPointsRowBytes = {}u;\n",
      act, chunk_words == 1 ? "u32" : fmt::format("vec{}<u32>", chunk_words), router.bits,
      router.block_size, blocks, shape.hidden, chunk_words, chunks, shape.experts, shape.top_k,
      workgroup, Lanes(caps), (blocks * router.bits + 7) / 8);
  plan.variant = fmt::format("qmoe_norm_router.{}.b{}.blk{}.k{}of{}.{}{}{}.{}{}", act, router.bits,
                             router.block_size, shape.top_k, shape.experts, shape.hidden,
                             router.zero_points ? ".zp" : "", router.bias ? ".bias" : "",
                             caps.subgroups ? "sg" : "wg", Lanes(caps));
  if (act == "f16") plan.defines.emplace_back("f16");
  if (caps.subgroups) plan.defines.emplace_back("subgroups");
  if (chunk_words == 1) plan.defines.emplace_back("chunk1");
  if (router.zero_points) plan.defines.emplace_back("zero_points");
  if (router.bias) plan.defines.emplace_back("bias");
  plan.workgroups = {shape.tokens, 1, 1};
  plan.SetParams(NormRouterParams{
      .tokens = shape.tokens, .normalize = shape.normalize, .epsilon = router.epsilon, .pad = 0});
  return plan;
}

}  // namespace sinter::kernels
