// Operands of one choice, for the tests of argmax, sample and step_inputs.
#pragma once

#include <algorithm>
#include <cstring>
#include <iterator>
#include <limits>
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

// Sets bit `token` of the words.
inline void MarkSeen(std::vector<uint32_t>& seen, uint32_t token) {
  seen[token / 32] |= 1u << token % 32;
}

// Returns the scratch: counters that are 0 before and after, and other words, which may be
// anything.
inline Operand ScratchOperand(uint32_t vocab) {
  constexpr double kAnything = std::numeric_limits<double>::quiet_NaN();
  const size_t words = TokenChoiceScratchBytes(vocab) / 4;
  Operand scratch = Operand::Output(DType::kU32, std::vector<double>(words, kAnything), 0);
  scratch.values.assign(words, 0xdeadbeef);
  const auto zero = [&](size_t begin, size_t count) {
    std::fill_n(scratch.values.begin() + begin, count, 0.0);
    std::fill_n(scratch.expected.begin() + begin, count, 0.0);
  };
  zero(0, 2);                                    // workgroups that finished, tokens listed
  zero(words - 2 * size_t{vocab} - 2048, 2048);  // bins
  return scratch;
}

// Returns the operands of TokenChoiceShape, with the expected state, ring and flags after `token`.
// `dtype` is the type on the device.
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
  const bool is_token = !FaultOf(token);
  if (is_token) MarkSeen(seen_after, token);

  const auto in_place = [](DType type, std::vector<double> before, std::vector<double> want) {
    Operand operand = Operand::Output(type, std::move(want), 0);
    operand.values = std::move(before);
    return operand;
  };
  std::vector<double> ring(shape.ring_size, 77), ring_after = ring;
  ring_after[state.position % shape.ring_size] = token;
  const auto next_input = [&](bool is_there, double value) {
    return is_there ? in_place(DType::kI32, {55, 66}, {value, 66}) : Operand::Absent();
  };
  return {Operand::Input(dtype, std::move(logits)),
          in_place(DType::kU32, StateValues(state), StateValues(after)),
          OptionsOperand(options),
          in_place(DType::kU32, {seen.begin(), seen.end()}, {seen_after.begin(), seen_after.end()}),
          in_place(DType::kU32, std::move(ring), std::move(ring_after)),
          in_place(DType::kI32, {55, 66}, {is_token ? static_cast<double>(token) : 0, 66}),
          ScratchOperand(shape.vocab),
          next_input(shape.position_ids, after.past_length),
          next_input(shape.total_length, after.total_length)};
}

}  // namespace sinter::kernels
