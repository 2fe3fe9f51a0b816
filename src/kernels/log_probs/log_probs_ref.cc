#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/log_probs/log_probs.h"

namespace sinter::kernels {

std::vector<double> LogProbsReference(std::span<const double> logits, uint32_t token,
                                      uint32_t top) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const bool is_token = token < logits.size();
  std::vector<double> results = {is_token ? static_cast<double>(token) : -1, -kInfinity};
  const auto is_fault = [](double logit) { return std::isnan(logit) || logit == kInfinity; };
  std::vector<uint32_t> order;
  if (std::ranges::none_of(logits, is_fault)) {
    order.resize(logits.size());
    std::iota(order.begin(), order.end(), 0);
    std::erase_if(order, [&](uint32_t one) { return std::isinf(logits[one]); });
    std::ranges::stable_sort(order, [&](uint32_t a, uint32_t b) { return logits[a] > logits[b]; });
  }
  double sum = 0;
  for (const uint32_t one : order) sum += std::exp(logits[one] - logits[order[0]]);
  const auto log_prob = [&](uint32_t one) {
    return logits[one] - logits[order[0]] - std::log(sum);
  };
  if (is_token && !order.empty()) results[1] = log_prob(token);
  for (uint32_t i = 0; i < top; ++i) {
    const bool is_there = i < order.size();
    results.push_back(is_there ? static_cast<double>(order[i]) : -1);
    results.push_back(is_there ? log_prob(order[i]) : -kInfinity);
  }
  return results;
}

}  // namespace sinter::kernels
