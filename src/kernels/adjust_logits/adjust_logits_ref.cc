#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/adjust_logits/adjust_logits.h"

namespace sinter::kernels {

std::vector<double> AdjustLogitsReference(std::span<const double> logits,
                                          const SamplingOptions& options,
                                          const LogitAdjustments& adjustments, uint32_t position,
                                          std::span<const uint32_t> allowed,
                                          std::span<const uint32_t> counts) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  constexpr double kLargest = std::numeric_limits<float>::max();
  std::vector<double> result(logits.begin(), logits.end());
  const auto is_fault = [](double logit) { return std::isnan(logit) || logit == kInfinity; };
  if (adjustments.has_allowed != 0 && !allowed.empty()) {
    for (size_t token = 0; token < result.size(); ++token) {
      const bool may = (allowed[token / 32] >> token % 32 & 1) != 0;
      if (!may && !is_fault(result[token])) result[token] = -kInfinity;
    }
  }
  if (position < adjustments.min_tokens) {
    for (uint32_t i = 0; i < options.eos_count; ++i) {
      const uint32_t token = options.eos_tokens[i];
      if (token < result.size() && !is_fault(result[token])) result[token] = -kInfinity;
    }
  }
  for (uint32_t i = 0; i < adjustments.bias_count; ++i) {
    result[adjustments.biases[i].token] += adjustments.biases[i].bias;
  }
  for (size_t token = 0; token < result.size(); ++token) {
    double& logit = result[token];
    if (!std::isfinite(logit)) continue;
    if (!counts.empty() && counts[token] > 0) {
      logit -= double{adjustments.frequency_penalty} * counts[token];
      logit -= adjustments.presence_penalty;
    }
    logit = std::clamp(logit, -kLargest, kLargest);
  }
  return result;
}

}  // namespace sinter::kernels
