#include "kernels/argmax/argmax.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "kernels/sample/token_choice_testing.h"

namespace sinter::kernels {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr StepState kState{.past_length = 5,
                           .total_length = 8,
                           .last_row = 2,
                           .position = 10,
                           .seed = 1,
                           .eos_hit = 0,
                           .token = 0};

// Kinds of rows of logits.
enum class Row {
  kRandom,
  kTies,
  kNan,
  kAllNan,
  kInfinity,
  kNothingFinite,
  kMasked,
  kLargest,
  kZeros
};

constexpr int kRowKinds = static_cast<int>(Row::kZeros) + 1;

struct Options {
  Row row = Row::kRandom;
  float penalty = 1;
  bool widen = false, plain = false, benchmark_only = false;
};

// Returns a sequence that chooses from row `chosen` of `rows` rows.
ChoosingSequence MakeSequence(const TokenChoiceShape& shape, const Options& options, uint32_t rows,
                              uint32_t chosen, uint32_t seed) {
  const size_t stride = shape.row_stride == 0 ? shape.vocab : shape.row_stride;
  auto logits = RandomValues(shape.dtype, stride * rows, shape.vocab + seed);
  double* row = &logits[chosen * stride];
  // Elements after the vocabulary must not be chosen.
  for (size_t i = shape.vocab; i < stride; ++i) row[i] = 60000;
  switch (options.row) {
    case Row::kRandom:
      break;
    case Row::kTies:
      for (const size_t i : {shape.vocab / 3, shape.vocab / 2, shape.vocab - 1}) row[i] = 100;
      break;
    case Row::kNan:
      row[shape.vocab / 2] = kNan;
      break;
    case Row::kAllNan:
      for (size_t i = 0; i < shape.vocab; ++i) row[i] = kNan;
      break;
    case Row::kInfinity:
      row[shape.vocab / 2] = kInf;
      break;
    case Row::kNothingFinite:
      for (size_t i = 0; i < shape.vocab; ++i) row[i] = -kInf;
      break;
    case Row::kMasked:
      for (size_t i = 0; i < shape.vocab; ++i) row[i] = i == shape.vocab / 2 ? -5 : -kInf;
      break;
    case Row::kLargest:
      row[shape.vocab / 2] = shape.dtype == DType::kF16 ? 65504 : std::numeric_limits<float>::max();
      break;
    case Row::kZeros:
      for (size_t i = 0; i < shape.vocab; ++i) row[i] = i % 3 == 0 ? -1 : i % 3 == 1 ? -0.0 : 0;
      break;
  }
  std::vector<uint32_t> seen((shape.vocab + 31) / 32);
  if (options.penalty != 1) {
    // All but every seventh token are seen, so that the penalty decides.
    for (uint32_t token = 0; token < shape.vocab; ++token) {
      if (token % 7 != 3) MarkSeen(seen, token);
    }
  }
  const uint32_t token = ArgmaxReference({row, shape.vocab}, seen, options.penalty);
  SamplingOptions sampling{.repetition_penalty = options.penalty, .eos_count = 2};
  sampling.eos_tokens[1] = shape.vocab / 3;  // The kTies case ends the text.
  sampling.eos_tokens[0] = shape.vocab + 1;
  return {std::move(logits), kState, sampling, std::move(seen), token};
}

std::vector<Operand> MakeOperands(const TokenChoiceShape& shape, const Options& options) {
  const DType dtype = options.widen ? DType::kF32 : shape.dtype;
  if (shape.batch == 1) {
    const uint32_t chosen = std::min(kState.last_row, shape.rows - 1);
    return TokenChoiceOperands(shape, dtype, {MakeSequence(shape, options, shape.rows, chosen, 0)});
  }
  // Sequences of all kinds, which are at different places. Every fifth row is idle.
  std::vector<ChoosingSequence> sequences;
  for (uint32_t i = 0; i < shape.batch; ++i) {
    const Options own = {.row = static_cast<Row>(i % kRowKinds), .penalty = i % 2 == 0 ? 1.0f : 3};
    sequences.push_back(MakeSequence(shape, own, 1, 0, i));
    sequences.back().state.total_length += 3 * i;
    sequences.back().state.position += i;
    sequences.back().options.idle = i % 5 == 4;
  }
  return TokenChoiceOperands(shape, dtype, sequences);
}

const bool kRegistered = RegisterKernelCases("argmax", [](const Caps& caps) {
  std::vector<KernelCase> cases;
  const auto add = [&](std::string name, TokenChoiceShape shape, Options options = {}) {
    if (shape.dtype == DType::kF16 && !caps.f16) options.widen = true;
    KernelCase c;
    c.name = fmt::format("v{}.r{}.b{}.{}{}", shape.vocab, shape.rows, shape.batch,
                         DTypeName(shape.dtype), name);
    c.operands = [=] { return MakeOperands(shape, options); };
    c.variants = options.plain ? std::vector<std::string>{""} : ArgmaxVariants(caps);
    c.plan = [=](Caps device, std::string_view variant) {
      if (options.widen) device = WithoutF16(device);
      if (options.plain) device = WithoutSubgroups(device);
      return PlanArgmax(device, shape, variant);
    };
    c.benchmark_only = options.benchmark_only;
    c.bytes = double(shape.batch) * shape.vocab * (DTypeBits(shape.dtype) / 8);
    cases.push_back(std::move(c));
  };
  for (const DType dtype : {DType::kF32, DType::kF16}) {
    for (const uint32_t vocab : {1u, 2u, 5u, 63u, 64u, 1000u, 1023u, 1024u, 5u * 7 * 11 * 13,
                                 32064u, 151936u, 200064u, 262144u, 262145u, kMaxVocab}) {
      add("", {.vocab = vocab, .ring_size = 4, .dtype = dtype});
    }
    add(".next_inputs", {.vocab = 5000,
                         .ring_size = 4,
                         .dtype = dtype,
                         .position_ids = true,
                         .total_length = true});
    add(".position_ids", {.vocab = 50, .ring_size = 4, .dtype = dtype, .position_ids = true});
    add(".total_length", {.vocab = 50, .ring_size = 4, .dtype = dtype, .total_length = true});
    for (const Row row : {Row::kTies, Row::kNan, Row::kAllNan, Row::kInfinity, Row::kNothingFinite,
                          Row::kMasked, Row::kLargest, Row::kZeros}) {
      for (const float penalty : {1.0f, 3.0f}) {
        add(fmt::format(".row{}.penalty{}", int(row), penalty),
            {.vocab = 5000, .ring_size = 16, .dtype = dtype}, {.row = row, .penalty = penalty});
      }
    }
    add(".rows", {.vocab = 777, .rows = 4, .ring_size = 3, .dtype = dtype});
    add(".rows.ties", {.vocab = 777, .rows = 4, .ring_size = 3, .dtype = dtype},
        {.row = Row::kTies});
    add(".stride", {.vocab = 777, .rows = 4, .row_stride = 800, .ring_size = 3, .dtype = dtype});
    add(".last_of_two", {.vocab = 50, .rows = 2, .ring_size = 3, .dtype = dtype});
    for (const uint32_t vocab : {1u, 7u, 5u * 7 * 11 * 13}) {
      add("", {.vocab = vocab, .batch = 3, .ring_size = 4, .dtype = dtype});
      add("", {.vocab = vocab,
               .batch = 64,
               .row_stride = vocab + 3,
               .dtype = dtype,
               .position_ids = true,
               .total_length = true});
    }
    add("", {.vocab = 151936, .batch = 3, .dtype = dtype});
    add("", {.vocab = 151936, .batch = 64, .dtype = dtype}, {.benchmark_only = true});
    add(".penalty", {.vocab = 999, .ring_size = 5, .dtype = dtype}, {.penalty = 3});
    add(".penalty", {.vocab = 1000, .ring_size = 5, .dtype = dtype}, {.penalty = 0.25});
  }
  add(".widened", {.vocab = 100, .ring_size = 1, .dtype = DType::kF16}, {.widen = true});
  add(".no_subgroups", {.vocab = 100, .ring_size = 1}, {.plain = true});
  return cases;
});

TEST(Argmax, ReferencePenalisesSeenTokens) {
  const std::vector<double> logits = {1, 4, 3, -kInf};
  EXPECT_EQ(ArgmaxReference(logits, std::vector<uint32_t>{0b0010}, 1), 1u);
  EXPECT_EQ(ArgmaxReference(logits, std::vector<uint32_t>{0b0010}, 2), 2u);
  // The penalty makes a negative logit smaller.
  EXPECT_EQ(ArgmaxReference(std::vector<double>{-2, -3}, std::vector<uint32_t>{0b01}, 2), 1u);
}

TEST(Argmax, ReferenceSaysWhyThereIsNoToken) {
  const auto fault_of = [](const std::vector<double>& logits) {
    // Token 0 is seen: the penalty must not hide a fault.
    return FaultOf(ArgmaxReference(logits, std::vector<uint32_t>{1}, 2));
  };
  EXPECT_EQ(fault_of({kNan, 1}), TokenFault::kNotFinite);
  EXPECT_EQ(fault_of({1, kInf}), TokenFault::kNotFinite);
  EXPECT_EQ(fault_of({kInf, 1}), TokenFault::kNotFinite);
  EXPECT_EQ(fault_of({-kInf, kNan}), TokenFault::kNotFinite);
  EXPECT_EQ(fault_of({-kInf, -kInf}), TokenFault::kNothingFinite);
  EXPECT_EQ(fault_of({-kInf, -9}), std::nullopt);
}

TEST(Argmax, RefusesWhatItCannotRead) {
  EXPECT_THROW(PlanArgmax({}, {.vocab = 10}, "wg1"), Error);
  EXPECT_THROW(PlanArgmax({}, {.vocab = 0}), Error);
  EXPECT_THROW(PlanArgmax({}, {.vocab = kMaxVocab + 1}), Error);
  EXPECT_THROW(PlanArgmax({}, {.vocab = 10, .dtype = DType::kI32}), Error);
  // The scratch is one binding.
  Caps caps;
  caps.limits.max_storage_binding_bytes = 3 * TokenChoiceScratchBytes(1000);
  EXPECT_EQ(MaxChoiceBatch(caps, 1000), 3u);
  EXPECT_NO_THROW(PlanArgmax(caps, {.vocab = 1000, .batch = 3}));
  EXPECT_THROW(PlanArgmax(caps, {.vocab = 1000, .batch = 4}), Error);
}

}  // namespace
}  // namespace sinter::kernels
