// What the tests of argmax, sample and step_inputs share: operands of one choice.
#pragma once

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>
#include <vector>

#include "kernels/sample/token_choice.h"
#include "kernels/testing/kernel_case.h"

namespace sinter::kernels {

inline std::vector<double> StateValues(const StepState& state) {
  uint32_t words[sizeof(StepState) / 4];
  std::memcpy(words, &state, sizeof(state));
  return {std::begin(words), std::end(words)};
}

inline Operand OptionsOperand(const SamplingOptions& options) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&options);
  return Operand::Packed({bytes, bytes + sizeof(options)});
}

// Bit `token` of the words.
inline void MarkSeen(std::vector<uint32_t>& seen, uint32_t token) {
  seen[token / 32] |= 1u << token % 32;
}

// The operands of TokenChoiceShape, with the state, ring and flags that must be there after
// `token`. `dtype` is the type on the device.
inline std::vector<Operand> TokenChoiceOperands(const TokenChoiceShape& shape, DType dtype,
                                                std::vector<double> logits, const StepState& state,
                                                const SamplingOptions& options,
                                                const std::vector<uint32_t>& seen, uint32_t token) {
  StepState after = state;
  after.past_length = state.total_length;
  after.total_length = state.total_length + 1;
  after.last_row = 0;
  after.position = state.position + 1;
  after.token = token;
  for (uint32_t i = 0; i < options.eos_count; ++i) {
    if (options.eos_tokens[i] == token) after.eos_hit = 1;
  }
  std::vector<uint32_t> seen_after = seen;
  MarkSeen(seen_after, token);

  const auto in_place = [](DType type, std::vector<double> before, std::vector<double> want) {
    Operand operand = Operand::Output(type, std::move(want), 0);
    operand.values = std::move(before);
    return operand;
  };
  std::vector<double> ring(shape.ring_size, 77), ring_after = ring;
  ring_after[state.position % shape.ring_size] = token;
  return {Operand::Input(dtype, std::move(logits)),
          in_place(DType::kU32, StateValues(state), StateValues(after)),
          OptionsOperand(options),
          in_place(DType::kU32, {seen.begin(), seen.end()}, {seen_after.begin(), seen_after.end()}),
          in_place(DType::kU32, std::move(ring), std::move(ring_after)),
          in_place(DType::kI32, {55, 66}, {static_cast<double>(token), 66})};
}

}  // namespace sinter::kernels
