#include "kernels/log_probs/log_probs.h"

#include <fmt/format.h>

#include "base/error.h"
#include "kernels/common/plan_util.h"

namespace sinter::kernels {
namespace {

constexpr uint32_t kSegmentTokens = 1024;

}  // namespace

uint64_t LogProbsScratchBytes(uint32_t vocab, uint32_t batch) {
  // A logit, a token and a sum.
  return uint64_t{12} * batch * CeilDiv(vocab, kSegmentTokens);
}

std::vector<std::string> LogProbsVariants(const Caps& caps) {
  return WorkgroupVariantNames(caps, {256});
}

std::vector<KernelPlan> PlanLogProbs(const Caps& caps, const LogProbsShape& shape,
                                     std::string_view variant) {
  const WorkgroupVariant picked = PickWorkgroupVariant(caps, "log_probs", variant, 256, {256});
  if (shape.top > kMaxTopLogProbs) {
    throw Error("kernels", "log probabilities: got {} tokens, want at most {}", shape.top,
                kMaxTopLogProbs);
  }
  const auto plan_of = [&](std::string_view kernel, std::string_view wgsl) {
    KernelPlan plan;
    plan.wgsl = wgsl;
    const uint32_t row_stride = SetLogits(caps, kernel,
                                          {.vocab = shape.vocab,
                                           .batch = shape.batch,
                                           .rows = shape.rows,
                                           .row_stride = shape.row_stride,
                                           .dtype = shape.dtype},
                                          plan);
    plan.variant += fmt::format(".{}", picked.name());
    if (picked.subgroups) plan.defines.emplace_back("subgroups");
    plan.SetParams(LogProbsParams{.vocab = shape.vocab,
                                  .rows = shape.rows,
                                  .row_stride = row_stride,
                                  .batch = shape.batch,
                                  .segments = CeilDiv(shape.vocab, kSegmentTokens),
                                  .top = shape.top,
                                  .pad = {}});
    return plan;
  };
  std::vector<KernelPlan> plans = {
      plan_of("log_probs_segments", "log_probs/log_probs_segments.wgsl"),
      plan_of("log_probs_top", "log_probs/log_probs_top.wgsl")};
  plans[0].workgroups = {CeilDiv(shape.vocab, kSegmentTokens), shape.batch, 1};
  plans[1].workgroups = {shape.batch, 1, 1};
  return plans;
}

}  // namespace sinter::kernels
