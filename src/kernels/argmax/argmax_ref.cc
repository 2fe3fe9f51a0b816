#include <cmath>
#include <limits>

#include "kernels/argmax/argmax.h"

namespace sinter::kernels {

uint32_t ArgmaxReference(std::span<const double> logits, std::span<const uint32_t> seen,
                         double repetition_penalty) {
  const std::vector<double> penalised = PenalisedLogits(logits, seen, repetition_penalty);
  uint32_t best = 0;
  for (uint32_t token = 1; token < penalised.size(); ++token) {
    if (penalised[token] > penalised[best]) best = token;
  }
  const auto fault = [](TokenFault f) { return static_cast<uint32_t>(f); };
  if (penalised[best] == std::numeric_limits<double>::infinity()) {
    return fault(TokenFault::kNotFinite);
  }
  return std::isinf(penalised[best]) ? fault(TokenFault::kNothingFinite) : best;
}

}  // namespace sinter::kernels
