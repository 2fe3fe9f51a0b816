#include "kernels/adjust_logits/adjust_logits.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "kernels/argmax/argmax.h"
#include "kernels/sample/token_choice_testing.h"
#include "run/record_plan.h"
#include "support/kernel_run.h"

namespace sinter::kernels {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

// A sequence, its options, and what the kernel must make of its logits. NaN logits are checked by a
// test of their own, because a case takes any result for NaN.
struct AdjustedSequence {
  std::vector<double> logits;
  StepState state = {};
  SamplingOptions options;
  LogitAdjustments adjustments;
  std::vector<uint32_t> allowed, counts;
  std::vector<uint32_t> counts_after;
  std::vector<double> adjusted;
};

// Returns a sequence with the options that the bits of `kind` say, in a shape with all operands.
AdjustedSequence MakeSequence(const AdjustLogitsShape& shape, uint32_t kind, uint32_t seed) {
  const uint32_t vocab = shape.vocab;
  AdjustedSequence one;
  one.logits = RandomValues(shape.dtype, vocab, vocab + seed, 4);
  if (vocab > 6) one.logits[vocab / 2] = -kInf;
  if (vocab > 6 && seed % 3 == 1) one.logits[vocab / 4] = kInf;
  one.state.position = 3 + seed % 4;
  one.state.last_row = 5;
  one.state.token = vocab > 5 ? vocab - 2 : 0;
  one.options.eos_count = 3;
  one.options.eos_tokens[0] = vocab - 1;
  one.options.eos_tokens[1] = vocab + 9;
  one.options.eos_tokens[2] = vocab / 4;
  one.allowed.resize((vocab + 31) / 32);
  for (uint32_t token = 0; token < vocab; token += 1 + token % 3) MarkSeen(one.allowed, token);
  one.counts.resize(vocab);
  for (uint32_t token = 0; token < vocab; token += 1 + token % 5) one.counts[token] = token % 4;
  LogitAdjustments& adjustments = one.adjustments;
  adjustments.has_allowed = kind & 1;
  if ((kind & 2) != 0) adjustments.min_tokens = 5;
  if ((kind & 4) != 0) {
    adjustments.bias_count = std::min(vocab, kMaxLogitBiases);
    for (uint32_t i = 0; i < adjustments.bias_count; ++i) {
      // A stride that is prime to the vocabularies, so that the tokens differ.
      const auto token = static_cast<uint32_t>(uint64_t{i} * 7919 % vocab);
      adjustments.biases[i] = {token, i % 9 == 0 ? -100.0f : 0.25f * static_cast<float>(i % 64)};
    }
  }
  if ((kind & 8) != 0) adjustments.frequency_penalty = 0.3f;
  if ((kind & 16) != 0) adjustments.presence_penalty = -1.5f;
  if (seed % 8 == 7) one.state.position = 0;
  if (seed % 8 == 6) one.state.token = static_cast<uint32_t>(TokenFault::kNotFinite);
  one.counts_after = one.counts;
  const bool counts = (kind & 24) != 0;
  if (counts && one.state.position > 0 && one.state.token < vocab) {
    ++one.counts_after[one.state.token];
  }
  one.adjusted =
      AdjustLogitsReference(one.logits, one.options, adjustments, one.state.position,
                            shape.has_allowed ? one.allowed : std::vector<uint32_t>(),
                            shape.has_counts ? one.counts_after : std::vector<uint32_t>());
  return one;
}

std::vector<Operand> Operands(const AdjustLogitsShape& shape, DType dtype,
                              const std::vector<AdjustedSequence>& sequences) {
  const uint32_t stride = shape.row_stride == 0 ? shape.vocab : shape.row_stride;
  Operand logits = Operand::Input(dtype, {}), state = Operand::Input(DType::kU32, {}),
          options = Operand::Packed({}), adjustments = Operand::Packed({}),
          allowed = Operand::Input(DType::kU32, {}), counts = Operand::Input(DType::kU32, {});
  // Of the order of the logits and biases, 128 at most, three operations round.
  Operand adjusted = Operand::Output(DType::kF32, {}, 3 * 128 * Epsilon(DType::kF32));
  const auto append = [](auto& to, const auto& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  for (uint32_t i = 0; i < shape.batch; ++i) {
    const AdjustedSequence& one = sequences[i];
    for (uint32_t row = 0; row < (shape.batch > 1 ? 1 : shape.rows); ++row) {
      // One sequence chooses from the last of its rows.
      std::vector<double> values = one.logits;
      if (shape.batch == 1 && row + 1 < shape.rows) values.assign(shape.vocab, 1000);
      values.resize(stride, 60000);
      append(logits.values, values);
    }
    append(state.values, StateValues(one.state));
    append(options.raw, OptionsOperand(one.options).raw);
    append(adjustments.raw, std::as_bytes(std::span(&one.adjustments, 1)));
    append(allowed.values, one.allowed);
    append(counts.values, one.counts);
    const bool idle = one.options.idle != 0;
    append(counts.expected, idle ? one.counts : one.counts_after);
    std::vector<double> row = idle ? std::vector<double>(shape.vocab, 7) : one.adjusted;
    row.resize(stride, kNan);
    append(adjusted.expected, row);
  }
  adjusted.values.assign(adjusted.expected.size(), 7);
  if (!shape.has_allowed) allowed = Operand::Absent();
  if (!shape.has_counts) counts = Operand::Absent();
  return {std::move(logits),  std::move(state),  std::move(options), std::move(adjustments),
          std::move(allowed), std::move(counts), std::move(adjusted)};
}

std::vector<Operand> MakeOperands(const AdjustLogitsShape& shape, DType dtype, uint32_t kind) {
  std::vector<AdjustedSequence> sequences;
  for (uint32_t i = 0; i < shape.batch; ++i) {
    sequences.push_back(MakeSequence(shape, shape.batch == 1 ? kind : kind + i, i));
    sequences.back().options.idle = i % 7 == 5;
  }
  return Operands(shape, dtype, sequences);
}

const bool kRegistered = RegisterKernelCases("adjust_logits", [](const Caps& caps) {
  std::vector<KernelCase> cases;
  const auto add = [&](AdjustLogitsShape shape, uint32_t kind, bool benchmark_only = false) {
    KernelCase c;
    c.name = fmt::format("v{}.r{}.b{}.{}.kind{}{}{}", shape.vocab, shape.rows, shape.batch,
                         DTypeName(shape.dtype), kind, shape.has_allowed ? ".allowed" : "",
                         shape.has_counts ? ".counts" : "");
    c.benchmark_only = benchmark_only;
    c.operands = [=] { return MakeOperands(shape, DeviceDType(caps, shape.dtype), kind); };
    c.plan = [=](const Caps& device, std::string_view variant) {
      return PlanAdjustLogits(device, shape, variant);
    };
    c.bytes = double(shape.batch) * shape.vocab * (DTypeBits(shape.dtype) / 8 + 4);
    cases.push_back(std::move(c));
  };
  for (const DType dtype : {DType::kF32, DType::kF16}) {
    for (const uint32_t vocab : {1u, 7u, 5u * 7 * 11 * 13, 5008u}) {
      AdjustLogitsShape shape{
          .vocab = vocab, .dtype = dtype, .has_allowed = true, .has_counts = true};
      // Each option alone, none, and all.
      for (const uint32_t kind : {0u, 1u, 2u, 4u, 8u, 16u, 31u}) add(shape, kind);
      shape.batch = 3;
      add(shape, 29);
      shape.has_allowed = shape.has_counts = false;
      add(shape, 29);
    }
    add({.vocab = 777,
         .batch = 64,
         .row_stride = 780,
         .dtype = dtype,
         .has_allowed = true,
         .has_counts = true},
        0);
    add({.vocab = 777, .rows = 4, .dtype = dtype, .has_counts = true}, 31);
    for (const uint32_t batch : {3u, 64u}) {
      add({.vocab = 151936,
           .batch = batch,
           .dtype = dtype,
           .has_allowed = true,
           .has_counts = true},
          29, batch == 64);
    }
  }
  return cases;
});

// Runs the dispatch and returns the bits of the adjusted logits.
std::vector<uint32_t> AdjustedBits(const AdjustLogitsShape& shape,
                                   const std::vector<Operand>& operands) {
  gpu::Device& device = TestDevice();
  const auto results = RunPlan(device, PlanAdjustLogits(device.caps(), shape), operands);
  std::vector<uint32_t> bits(results[6].size() / 4);
  std::memcpy(bits.data(), results[6].data(), results[6].size());
  return bits;
}

TEST(AdjustLogits, KeepsTheBitsOfWhatItDoesNotChange) {
  constexpr float kMost = std::numeric_limits<float>::max();
  const AdjustLogitsShape shape{.vocab = 8, .has_allowed = true, .has_counts = true};
  AdjustedSequence one = MakeSequence(shape, 0, 0);
  one.logits = {kNan, kInf, -kInf, -0.0, kMost, -kMost, 1e-40, 3};
  std::vector<uint32_t> want;
  for (const double logit : one.logits) want.push_back(std::bit_cast<uint32_t>(float(logit)));
  EXPECT_EQ(AdjustedBits(shape, Operands(shape, DType::kF32, {one})), want);

  // NaN and +inf are faults of the model, also with options that hide their tokens.
  one.adjustments.has_allowed = 1;
  one.allowed = {0};
  one.adjustments.bias_count = 2;
  one.adjustments.biases[0] = {0, -100};
  one.adjustments.biases[1] = {1, -100};
  one.adjustments.min_tokens = 9;
  one.options.eos_tokens[0] = 0;
  const std::vector<uint32_t> bits = AdjustedBits(shape, Operands(shape, DType::kF32, {one}));
  EXPECT_TRUE(std::isnan(std::bit_cast<float>(bits[0])));
  EXPECT_EQ(bits[1], 0x7f800000u);
  for (size_t i = 2; i < bits.size(); ++i) EXPECT_EQ(bits[i], 0xff800000u) << i;
}

// Lets argmax choose `steps` tokens from the adjusted logits, and returns them.
std::vector<uint32_t> Choose(const std::vector<double>& logits, const SamplingOptions& options,
                             const LogitAdjustments& adjustments, uint32_t allowed,
                             uint32_t steps) {
  gpu::Device& device = TestDevice();
  const auto vocab = static_cast<uint32_t>(logits.size());
  const auto upload = [&](const Operand& operand) {
    const std::vector<std::byte> bytes = EncodeOperand(operand);
    gpu::Buffer buffer = device.CreateBuffer(bytes.size(), "operand");
    device.Upload(buffer, 0, bytes);
    return buffer;
  };
  const AdjustLogitsShape shape{.vocab = vocab, .has_allowed = true, .has_counts = true};
  const TokenChoiceShape choice{.vocab = vocab, .ring_size = steps};
  const std::vector<uint32_t> seen((vocab + 31) / 32);
  std::vector<gpu::Buffer> choosing;
  for (const Operand& operand :
       TokenChoiceOperands(choice, DType::kF32, {{logits, StepState{}, options, seen}})) {
    choosing.push_back(operand.present ? upload(operand) : gpu::Buffer());
  }
  AdjustedSequence one;
  one.logits = logits;
  one.adjustments = adjustments;
  one.allowed = {allowed};
  one.counts = one.counts_after = std::vector<uint32_t>(vocab);
  one.adjusted = std::vector<double>(vocab);
  std::vector<gpu::Buffer> adjusting;
  for (const Operand& operand : Operands(shape, DType::kF32, {one})) {
    adjusting.push_back(upload(operand));
  }
  adjusting[1] = choosing[1];
  adjusting[2] = choosing[2];
  choosing[0] = adjusting[6];
  gpu::CommandList step(device), list(device);
  run::RecordPlan(device, PlanAdjustLogits(device.caps(), shape), adjusting, step);
  run::RecordPlan(device, PlanArgmax(device.caps(), choice), choosing, step);
  for (uint32_t i = 0; i < steps; ++i) list.Append(step);
  device.Submit(list);
  const std::vector<std::byte> bytes = device.Download(choosing[4], 0, steps * 4);
  device.Check();
  std::vector<uint32_t> tokens(steps);
  std::memcpy(tokens.data(), bytes.data(), bytes.size());
  return tokens;
}

constexpr uint32_t kAll = 0xffffffff;

TEST(AdjustLogits, CountsTokensAsTheyAreChosen) {
  // Largest logits: 4, 3, then 2.5 of token 2, 2, 1.5 of token 2, 1.
  EXPECT_EQ(Choose({0.25, 4, 2.5}, {}, LogitAdjustments{.frequency_penalty = 1}, kAll, 6),
            (std::vector<uint32_t>{1, 1, 2, 1, 2, 1}));
  // The presence penalty counts once.
  EXPECT_EQ(Choose({0.25, 4, 2.5}, {}, LogitAdjustments{.presence_penalty = 2}, kAll, 4),
            (std::vector<uint32_t>{1, 2, 1, 1}));
}

TEST(AdjustLogits, HoldsBackEndTokensAndFollowsTheMask) {
  SamplingOptions options{.eos_count = 1};
  options.eos_tokens[0] = 1;
  EXPECT_EQ(Choose({0, 4, 2}, options, LogitAdjustments{.min_tokens = 2}, kAll, 3),
            (std::vector<uint32_t>{2, 2, 1}));
  EXPECT_EQ(Choose({0, 4, 2}, options, LogitAdjustments{.has_allowed = 1}, 0b001, 1),
            (std::vector<uint32_t>{0}));
  EXPECT_EQ(FaultOf(Choose({0, 4, 2}, options, LogitAdjustments{.has_allowed = 1}, 0, 1)[0]),
            TokenFault::kNothingFinite);
  EXPECT_EQ(FaultOf(Choose({0, kNan, 2}, options, LogitAdjustments{.has_allowed = 1}, 0b001, 1)[0]),
            TokenFault::kNotFinite);
}

TEST(AdjustLogits, RefusesWhatItCannotDo) {
  EXPECT_THROW(PlanAdjustLogits({}, {.vocab = 10}, "wg1"), Error);
  EXPECT_THROW(PlanAdjustLogits({}, {.vocab = 0}), Error);
  EXPECT_THROW(PlanAdjustLogits({}, {.vocab = kMaxVocab + 1}), Error);
  EXPECT_THROW(PlanAdjustLogits({}, {.vocab = 10, .dtype = DType::kI32}), Error);
}

TEST(AdjustLogits, ChecksOptions) {
  const auto refused = [](const LogitAdjustments& adjustments) {
    try {
      CheckLogitAdjustments(adjustments, 100);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  LogitAdjustments adjustments{.bias_count = 2};
  adjustments.biases[0].token = 99;
  EXPECT_EQ(refused(adjustments), "");
  adjustments.biases[1].token = 99;
  EXPECT_EQ(refused(adjustments), "[logits] logit bias: got token 99 twice, want each token once");
  adjustments.biases[1].token = 100;
  EXPECT_EQ(refused(adjustments), "[logits] logit bias: got token 100, want one below 100");
  adjustments.biases[1] = {5, std::numeric_limits<float>::infinity()};
  EXPECT_EQ(refused(adjustments), "[logits] logit bias: got inf, want a finite number");
  EXPECT_EQ(refused(LogitAdjustments{.bias_count = 513}),
            "[logits] logit biases: got 513, want at most 512");
  EXPECT_EQ(refused(LogitAdjustments{.presence_penalty = std::numeric_limits<float>::quiet_NaN()}),
            "[logits] presence penalty: got nan, want a finite number");
  EXPECT_EQ(refused(LogitAdjustments{.frequency_penalty = std::numeric_limits<float>::infinity()}),
            "[logits] frequency penalty: got inf, want a finite number");
}

}  // namespace
}  // namespace sinter::kernels
