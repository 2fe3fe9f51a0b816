#include "kernels/adjust_logits/adjust_logits.h"

#include <fmt/format.h>

#include <cmath>
#include <unordered_set>

#include "base/error.h"
#include "kernels/common/plan_util.h"

namespace sinter::kernels {
namespace {

constexpr uint32_t kAdjustWorkgroupSize = 256;

void CheckFinite(const char* name, float value) {
  if (!std::isfinite(value)) throw Error("logits", "{}: got {}, want a finite number", name, value);
}

}  // namespace

void CheckLogitAdjustments(const LogitAdjustments& adjustments, uint32_t vocab) {
  CheckFinite("presence penalty", adjustments.presence_penalty);
  CheckFinite("frequency penalty", adjustments.frequency_penalty);
  if (adjustments.bias_count > kMaxLogitBiases) {
    throw Error("logits", "logit biases: got {}, want at most {}", adjustments.bias_count,
                kMaxLogitBiases);
  }
  std::unordered_set<uint32_t> tokens;
  for (uint32_t i = 0; i < adjustments.bias_count; ++i) {
    const LogitBias& bias = adjustments.biases[i];
    CheckFinite("logit bias", bias.bias);
    if (bias.token >= vocab) {
      throw Error("logits", "logit bias: got token {}, want one below {}", bias.token, vocab);
    }
    if (!tokens.insert(bias.token).second) {
      throw Error("logits", "logit bias: got token {} twice, want each token once", bias.token);
    }
  }
}

KernelPlan PlanAdjustLogits(const Caps& caps, const AdjustLogitsShape& shape,
                            std::string_view variant) {
  const std::string picked = PickVariant("adjust_logits", variant, "wg256", {"wg256"});
  KernelPlan plan;
  plan.wgsl = "adjust_logits/adjust_logits.wgsl";
  const uint32_t row_stride = SetLogits(caps, "adjust_logits",
                                        {.vocab = shape.vocab,
                                         .batch = shape.batch,
                                         .rows = shape.rows,
                                         .row_stride = shape.row_stride,
                                         .dtype = shape.dtype},
                                        plan);
  const auto define = [&](bool on, const char* name) {
    if (!on) return;
    plan.variant += fmt::format(".{}", name);
    plan.defines.emplace_back(name);
  };
  define(shape.has_allowed, "allowed");
  define(shape.has_counts, "counts");
  plan.variant += "." + picked;
  plan.workgroups = {CeilDiv(shape.vocab, 4 * kAdjustWorkgroupSize), shape.batch, 1};
  plan.SetParams(AdjustLogitsParams{
      .vocab = shape.vocab, .rows = shape.rows, .row_stride = row_stride, .batch = shape.batch});
  return plan;
}

}  // namespace sinter::kernels
