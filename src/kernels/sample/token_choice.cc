#include "kernels/sample/token_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/error.h"
#include "kernels/common/plan_util.h"

namespace sinter::kernels {
namespace {

constexpr uint32_t kChoiceWorkgroupSize = 256;
constexpr uint32_t kMaxWorkgroups = 256;

}  // namespace

uint64_t TokenChoiceScratchBytes(uint32_t vocab, uint32_t batch) {
  // As in sample.wgsl: 16 words, three for each workgroup, two for each of 1024 bins, two for each
  // token.
  return batch * 4 * (16 + 3 * uint64_t{kMaxWorkgroups} + 2 * 1024 + 2 * uint64_t{vocab});
}

uint32_t MaxChoiceBatch(const Caps& caps, uint32_t vocab) {
  const uint64_t most = caps.limits.max_storage_binding_bytes / TokenChoiceScratchBytes(vocab);
  return static_cast<uint32_t>(std::clamp<uint64_t>(most, 1, 65535));
}

std::optional<TokenFault> FaultOf(std::span<const float> logits) {
  bool any_finite = false;
  for (const float logit : logits) {
    if (std::isnan(logit) || logit == std::numeric_limits<float>::infinity()) {
      return TokenFault::kNotFinite;
    }
    any_finite |= std::isfinite(logit);
  }
  return any_finite ? std::nullopt : std::optional(TokenFault::kNothingFinite);
}

std::optional<TokenFault> FaultOf(uint32_t choice) {
  const auto fault = static_cast<TokenFault>(choice);
  if (fault == TokenFault::kNothingFinite || fault == TokenFault::kNotFinite) return fault;
  return std::nullopt;
}

uint32_t SetLogits(const Caps& caps, std::string_view kernel, const LogitsRows& logits,
                   KernelPlan& plan) {
  const std::string_view act = FloatWgslType(caps, kernel, logits.dtype);
  if (logits.vocab == 0 || logits.vocab > kMaxVocab) {
    throw Error("kernels", "vocabulary: got {} tokens, want 1 to {}", logits.vocab, kMaxVocab);
  }
  const uint32_t row_stride = logits.row_stride == 0 ? logits.vocab : logits.row_stride;
  SINTER_CHECK(row_stride >= logits.vocab && logits.rows > 0 && logits.batch > 0);
  const bool vec4 = row_stride % 4 == 0;
  plan.variant = fmt::format("{}.{}{}", kernel, act, vec4 ? ".vec4" : "");
  if (vec4) plan.defines.push_back("vec4");
  if (act == "f16") plan.defines.push_back("f16");
  plan.prelude = fmt::format("alias act_t = {};\n", act);
  return row_stride;
}

KernelPlan PlanTokenChoice(const Caps& caps, const TokenChoiceShape& shape, std::string_view kernel,
                           std::string_view wgsl, const WorkgroupVariant& variant) {
  SINTER_CHECK(shape.ring_size > 0);
  KernelPlan plan;
  plan.wgsl = wgsl;
  const uint32_t row_stride = SetLogits(caps, kernel,
                                        {.vocab = shape.vocab,
                                         .batch = shape.batch,
                                         .rows = shape.rows,
                                         .row_stride = shape.row_stride,
                                         .dtype = shape.dtype},
                                        plan);
  if (const uint32_t most = MaxChoiceBatch(caps, shape.vocab); shape.batch > most) {
    throw Error("kernels", "batch of {}: got {} sequences, want at most {} with {} tokens", kernel,
                shape.batch, most, shape.vocab);
  }
  plan.variant += fmt::format(".{}", variant.name());
  if (variant.subgroups) plan.defines.push_back("subgroups");
  const auto define = [&](bool on, const char* name) {
    if (!on) return;
    plan.variant += fmt::format(".{}", name);
    plan.defines.emplace_back(name);
  };
  define(shape.position_ids, "position_ids");
  define(shape.total_length, "total_length");
  const uint32_t groups_of_4 = (shape.vocab + 3) / 4;
  const uint32_t most = kChoiceWorkgroupSize * kMaxWorkgroups;
  const uint32_t loads = (groups_of_4 + most - 1) / most;
  const uint32_t per_workgroup = kChoiceWorkgroupSize * loads;
  plan.workgroups = {(groups_of_4 + per_workgroup - 1) / per_workgroup, shape.batch, 1};
  plan.SetParams(TokenChoiceParams{
      .vocab = shape.vocab,
      .rows = shape.rows,
      .row_stride = row_stride,
      .ring_size = shape.ring_size,
      .workgroups = plan.workgroups[0],
      .loads = loads,
      .batch = shape.batch,
      .scratch_words = static_cast<uint32_t>(TokenChoiceScratchBytes(shape.vocab) / 4)});
  return plan;
}

}  // namespace sinter::kernels
