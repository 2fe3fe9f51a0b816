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

// Returns the scratch: for each sequence, counters that are 0 before and after, and other words,
// which may be anything.
inline Operand ScratchOperand(uint32_t vocab, uint32_t batch) {
  constexpr double kAnything = std::numeric_limits<double>::quiet_NaN();
  const size_t words = TokenChoiceScratchBytes(vocab) / 4;
  Operand scratch = Operand::Output(DType::kU32, std::vector<double>(words * batch, kAnything), 0);
  scratch.values.assign(words * batch, 0xdeadbeef);
  const auto zero = [&](size_t begin, size_t count) {
    std::fill_n(scratch.values.begin() + begin, count, 0.0);
    std::fill_n(scratch.expected.begin() + begin, count, 0.0);
  };
  for (uint32_t i = 0; i < batch; ++i) {
    zero(i * words, 2);  // workgroups that finished, tokens listed
    zero((i + 1) * words - 2 * size_t{vocab} - 2048, 2048);  // bins
  }
  return scratch;
}

// One sequence of a batch, and the token that it must get.
struct ChoosingSequence {
  std::vector<double> logits;  // all rows of it
  StepState state;
  SamplingOptions options;
  std::vector<uint32_t> seen;
  uint32_t token = 0;
};

// Returns the operands of TokenChoiceShape, with the expected state, ring and flags after the
// tokens. `dtype` is the type on the device.
inline std::vector<Operand> TokenChoiceOperands(const TokenChoiceShape& shape, DType dtype,
                                                const std::vector<ChoosingSequence>& sequences) {
  const uint32_t batch = shape.batch;
  const auto in_place = [](DType type, std::vector<double> values) {
    Operand operand = Operand::Output(type, values, 0);
    operand.values = std::move(values);
    return operand;
  };
  Operand logits = Operand::Input(dtype, {}), state = in_place(DType::kU32, {}),
          options = Operand::Packed({}), seen = in_place(DType::kU32, {});
  Operand ring = in_place(DType::kU32, std::vector<double>(size_t{shape.ring_size} * batch, 77));
  // One element more than the sequences, which must stay.
  Operand input_ids = in_place(DType::kI32, std::vector<double>(batch + 1, 55));
  Operand position_ids = input_ids, total_length = input_ids;
  const auto append = [](std::vector<double>& to, const auto& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  for (uint32_t i = 0; i < batch; ++i) {
    const ChoosingSequence& one = sequences[i];
    append(logits.values, one.logits);
    append(state.values, StateValues(one.state));
    const Operand raw_options = OptionsOperand(one.options);
    options.raw.insert(options.raw.end(), raw_options.raw.begin(), raw_options.raw.end());
    append(seen.values, one.seen);
    if (one.options.idle != 0) {
      append(state.expected, StateValues(one.state));
      append(seen.expected, one.seen);
      continue;
    }
    StepState after = one.state;
    after.past_length = one.state.total_length;
    after.total_length = one.state.total_length + 1;
    after.last_row = 0;
    after.position = one.state.position + 1;
    after.token = one.token;
    after.token_row = batch > 1 ? i : std::min(one.state.last_row, shape.rows - 1);
    for (uint32_t j = 0; j < one.options.eos_count; ++j) {
      if (one.options.eos_tokens[j] == one.token) after.eos_hit = 1;
    }
    append(state.expected, StateValues(after));
    std::vector<uint32_t> seen_after = one.seen;
    const bool is_token = !FaultOf(one.token);
    if (is_token) MarkSeen(seen_after, one.token);
    append(seen.expected, seen_after);
    ring.expected[size_t{one.state.position % shape.ring_size} * batch + i] = one.token;
    input_ids.expected[i] = is_token ? static_cast<double>(one.token) : 0;
    position_ids.expected[i] = after.past_length;
    total_length.expected[i] = after.total_length;
  }
  if (!shape.position_ids) position_ids = Operand::Absent();
  if (!shape.total_length) total_length = Operand::Absent();
  return {std::move(logits),
          std::move(state),
          std::move(options),
          std::move(seen),
          std::move(ring),
          std::move(input_ids),
          ScratchOperand(shape.vocab, batch),
          std::move(position_ids),
          std::move(total_length)};
}

}  // namespace sinter::kernels
