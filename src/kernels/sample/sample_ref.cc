#include "kernels/sample/sample.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace sinter::kernels {
namespace {

constexpr double kNone = -std::numeric_limits<double>::infinity();

}  // namespace

std::vector<double> PenalisedLogits(std::span<const double> logits, std::span<const uint32_t> seen,
                                    double repetition_penalty) {
  constexpr double kLargest = std::numeric_limits<float>::max();
  std::vector<double> result(logits.begin(), logits.end());
  for (size_t token = 0; token < result.size(); ++token) {
    double& logit = result[token];
    if (std::isnan(logit)) logit = -kNone;
    if (logit <= -kLargest) logit = kNone;
    if (std::isinf(logit) || repetition_penalty == 1 || (seen[token / 32] >> token % 32 & 1) == 0)
      continue;
    logit = logit > 0 ? logit / repetition_penalty : logit * repetition_penalty;
    logit = std::min(logit, kLargest);
  }
  return result;
}

uint32_t PhiloxDraw(uint32_t seed, uint32_t position) {
  uint32_t x0 = position, x1 = 0, key = seed;
  for (int round = 0; round < 10; ++round) {
    const uint64_t product = uint64_t{0xd256d193u} * x0;
    x0 = static_cast<uint32_t>(product >> 32) ^ key ^ x1;
    x1 = static_cast<uint32_t>(product);
    key += 0x9e3779b9u;
  }
  return x0;
}

SampleResult SampleReference(std::span<const double> logits, std::span<const uint32_t> seen,
                             const SamplingOptions& options, uint32_t seed, uint32_t position) {
  SampleResult result;
  const std::vector<double> x = PenalisedLogits(logits, seen, options.repetition_penalty);
  const bool greedy = options.temperature <= 0;
  const double temperature = greedy ? 1.0 : options.temperature;
  const uint32_t top_k = greedy ? 1 : options.top_k;

  // Tokens in descending order of their logits.
  std::vector<uint32_t> order(x.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return x[a] > x[b]; });
  const auto keep_down_to = [&](double bound) {
    while (!order.empty() && x[order.back()] < bound) order.pop_back();
  };
  while (!order.empty() && x[order.back()] == kNone) order.pop_back();
  const double largest = order.empty() ? kNone : x[order.front()];
  if (std::isinf(largest)) {
    result.token =
        static_cast<uint32_t>(largest > 0 ? TokenFault::kNotFinite : TokenFault::kNothingFinite);
    return result;
  }
  const auto weight = [&](uint32_t token) { return std::exp((x[token] - largest) / temperature); };
  double z_all = 0;
  for (uint32_t token : order) z_all += weight(token);
  if (top_k > 0 && top_k < order.size()) keep_down_to(x[order[top_k - 1]]);

  double z = 0;
  for (uint32_t token : order) z += weight(token);
  result.share = z / z_all;
  result.filter_margin = 1;
  if (options.top_p < 1) {
    double mass = 0;
    double bound = x[order.back()];
    bool bound_found = false;
    for (size_t i = 0; i < order.size(); ++i) {
      mass += weight(order[i]) / z;
      // Tied tokens are kept or dropped together.
      if (i + 1 < order.size() && x[order[i + 1]] == x[order[i]]) continue;
      result.filter_margin = std::min(result.filter_margin, std::abs(mass - options.top_p));
      if (!bound_found && mass >= options.top_p) {
        bound = x[order[i]];
        bound_found = true;
      }
    }
    keep_down_to(bound);
  }
  if (options.min_p > 0) {
    const double share = std::min<double>(options.min_p, 1);
    for (uint32_t token : order) {
      if (x[token] == largest) continue;
      result.filter_margin =
          std::min(result.filter_margin, std::abs(weight(token) - share) / share);
    }
    keep_down_to(largest + std::log(share) * temperature);
  }
  result.kept = static_cast<uint32_t>(order.size());

  std::sort(order.begin(), order.end());
  double total = 0;
  for (uint32_t token : order) total += weight(token);
  result.kept_share = total / z_all;
  const double draw = greedy ? 0 : PhiloxDraw(seed, position) * 0x1p-32;
  result.draw_margin = 1;
  result.token = order.back();
  bool drawn = false;
  double sum = 0;
  for (size_t i = 0; i + 1 < order.size(); ++i) {
    sum += weight(order[i]) / total;
    result.draw_margin = std::min(result.draw_margin, std::abs(sum - draw));
    if (!drawn && draw < sum) {
      result.token = order[i];
      drawn = true;
    }
  }
  return result;
}

}  // namespace sinter::kernels
