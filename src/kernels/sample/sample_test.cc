#include "kernels/sample/sample.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

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

// A probability is the exp of at most 22.2 (3 + 2 * 22.2 units in the last place), times 1 / z,
// rounded to a multiple of 2^-31. Draws and bounds that are closer to another outcome than the sum
// of such errors have no certain outcome. The first kind of error grows with the probability...
constexpr double kMargin = 0x1p-23 * (3 + 2 * 22.2) * 2;

// ... and the second with the number of tokens: half a unit each, of random sign, so that 4 times
// the square root covers their sum.
double Rounding(size_t tokens, double share) {
  return 4 * std::sqrt(static_cast<double>(tokens)) * 0x1p-32 / share;
}

struct Config {
  SamplingOptions options;
  double spread = 2;  // standard deviation of the logits
  bool seen = false;
  bool widen = false, plain = false;
};

StepState StateOf(uint32_t seed, uint32_t position) {
  return {.past_length = 3,
          .total_length = 4,
          .last_row = 0,
          .position = position,
          .seed = seed,
          .eos_hit = 0,
          .token = 0};
}

// Returns a sequence with a certain outcome: of the logits, the first in which no token is too
// close to a bound, of the seeds, the first whose draw is well inside a token's share.
ChoosingSequence MakeSequence(const TokenChoiceShape& shape, const Config& config,
                              uint32_t position) {
  std::vector<uint32_t> seen((shape.vocab + 31) / 32);
  for (uint32_t token = 0; config.seen && token < shape.vocab; token += 3) MarkSeen(seen, token);
  uint32_t logits_seed = shape.vocab + position;
  auto logits = RandomValues(shape.dtype, shape.vocab, logits_seed, config.spread);
  for (uint32_t seed = 42;; ++seed) {
    const SampleResult want = SampleReference(logits, seen, config.options, seed, position);
    if (want.filter_margin < kMargin + Rounding(shape.vocab, want.share)) {
      logits = RandomValues(shape.dtype, shape.vocab, ++logits_seed, config.spread);
    } else if (want.draw_margin > kMargin + Rounding(want.kept, want.kept_share)) {
      return {std::move(logits), StateOf(seed, position), config.options, std::move(seen),
              want.token};
    }
  }
}

std::vector<Operand> MakeOperands(const TokenChoiceShape& shape, const Config& config,
                                  uint32_t position) {
  return TokenChoiceOperands(shape, config.widen ? DType::kF32 : shape.dtype,
                             {MakeSequence(shape, config, position)});
}

// Options of the sequences of a batch, in turn.
const SamplingOptions kBatchOptions[] = {
    {},
    {.temperature = 0},
    {.top_k = 40},
    {.temperature = 0.7f, .top_p = 0.9f, .repetition_penalty = 1.2f},
    {.temperature = 0, .top_p = 0.5f, .min_p = 0.1f, .repetition_penalty = 1.5f, .top_k = 7},
    {.min_p = 0.05f},
    {.temperature = 0.5f, .top_p = 0.8f, .top_k = 3},
};

// Returns operands of sequences with different options at different places. Greedy ones have ties,
// and must get the token that argmax chooses. Every ninth row is idle.
std::vector<Operand> MakeBatch(const TokenChoiceShape& shape) {
  std::vector<ChoosingSequence> sequences;
  for (uint32_t i = 0; i < shape.batch; ++i) {
    const SamplingOptions& options = kBatchOptions[i % std::size(kBatchOptions)];
    ChoosingSequence one = MakeSequence(shape, {.options = options, .seen = i % 2 == 0}, i);
    if (options.temperature <= 0) {
      for (uint32_t tied = shape.vocab / 3; tied < shape.vocab; tied += 1 + shape.vocab / 4) {
        one.logits[tied] = 100;
      }
      one.token = ArgmaxReference(one.logits, one.seen, options.repetition_penalty);
    }
    one.logits.resize(shape.row_stride == 0 ? shape.vocab : shape.row_stride, 60000);
    one.state.total_length += 3 * i;
    one.options.idle = i % 9 == 8;
    sequences.push_back(std::move(one));
  }
  const DType dtype = DeviceDType(TestDevice().caps(), shape.dtype);
  return TokenChoiceOperands(shape, dtype, sequences);
}

const bool kRegistered = RegisterKernelCases("sample", [](const Caps& caps) {
  std::vector<KernelCase> cases;
  const auto add = [&](std::string name, TokenChoiceShape shape, Config config) {
    if (shape.dtype == DType::kF16 && !caps.f16) config.widen = true;
    // Three draws of each, because a wrong choice may hit the right token by luck.
    for (const uint32_t position : {0u, 1u, 1000u}) {
      KernelCase c;
      c.name = fmt::format("v{}.{}{}.p{}", shape.vocab, DTypeName(shape.dtype), name, position);
      c.operands = [=] { return MakeOperands(shape, config, position); };
      c.variants = config.plain ? std::vector<std::string>{""} : SampleVariants(caps);
      c.plans = [=](Caps device, std::string_view variant) {
        if (config.widen) device = WithoutF16(device);
        if (config.plain) device = WithoutSubgroups(device);
        return PlanSample(device, shape, variant);
      };
      c.bytes = double(shape.vocab) * (DTypeBits(shape.dtype) / 8);
      cases.push_back(std::move(c));
    }
  };
  for (const DType dtype : {DType::kF32, DType::kF16}) {
    for (const uint32_t vocab : {1u, 2u, 5u, 63u, 65u, 1000u, 1023u, 5u * 7 * 11 * 13, 32064u}) {
      const TokenChoiceShape shape{.vocab = vocab, .ring_size = 7, .dtype = dtype};
      add("", shape, {});
      add(".t0.3", shape, {.options = {.temperature = 0.3f}});
      add(".t0", shape, {.options = {.temperature = 0}});
      add(".k1", shape, {.options = {.top_k = 1}});
      add(".k40", shape, {.options = {.top_k = 40}});
      add(".p0.7", shape, {.options = {.top_p = 0.7f}});
      add(".m0.05", shape, {.options = {.min_p = 0.05f}});
      add(".all", shape,
          {.options = {.temperature = 0.8f,
                       .top_p = 0.9f,
                       .min_p = 0.02f,
                       .repetition_penalty = 1.3f,
                       .top_k = 50},
           .seen = true});
    }
    add(".all", {.vocab = 262144, .ring_size = 7, .dtype = dtype},
        {.options = {.temperature = 0.7f,
                     .top_p = 0.9f,
                     .min_p = 0.01f,
                     .repetition_penalty = 1.1f,
                     .top_k = 50},
         .seen = true});
    add("", {.vocab = 151936, .ring_size = 7, .dtype = dtype}, {.spread = 4});
    for (const uint32_t vocab : {151936u, 200064u}) {
      add(".k50.p0.9", {.vocab = vocab, .ring_size = 7, .dtype = dtype},
          {.options = {.temperature = 0.7f, .top_p = 0.9f, .top_k = 50}, .spread = 4});
    }
    // Two loads per thread.
    add(".k50.p0.9", {.vocab = 300001, .ring_size = 7, .dtype = dtype},
        {.options = {.top_p = 0.9f, .top_k = 50}});
    // Bins with many tokens: logits that are nearly equal, and a bound far down.
    add(".hot", {.vocab = 5000, .ring_size = 7, .dtype = dtype},
        {.options = {.temperature = 100, .top_p = 0.5f, .top_k = 3000}});
    add(".flat", {.vocab = 5000, .ring_size = 7, .dtype = dtype},
        {.options = {.top_p = 0.5f, .top_k = 3000}, .spread = 0.01});
    // Mostly empty bins: probability 0 from the second token on.
    add(".cold", {.vocab = 5000, .ring_size = 7, .dtype = dtype},
        {.options = {.temperature = 0.001f, .top_p = 0.5f, .top_k = 3000}});
    add(".next_inputs",
        {.vocab = 1000, .ring_size = 7, .dtype = dtype, .position_ids = true, .total_length = true},
        {.options = {.top_k = 3}});
  }
  const auto add_batch = [&](TokenChoiceShape shape, bool benchmark_only = false) {
    KernelCase c;
    c.name = fmt::format("v{}.b{}.{}", shape.vocab, shape.batch, DTypeName(shape.dtype));
    c.operands = [=] { return MakeBatch(shape); };
    c.benchmark_only = benchmark_only;
    c.variants = SampleVariants(caps);
    c.plans = [=](const Caps& device, std::string_view variant) {
      return PlanSample(device, shape, variant);
    };
    c.bytes = double(shape.batch) * shape.vocab * (DTypeBits(shape.dtype) / 8);
    cases.push_back(std::move(c));
  };
  for (const DType dtype : {DType::kF32, DType::kF16}) {
    for (const uint32_t vocab : {1u, 7u, 5u * 7 * 11 * 13}) {
      add_batch({.vocab = vocab, .batch = 3, .ring_size = 4, .dtype = dtype});
    }
    add_batch({.vocab = 1001,
               .batch = 64,
               .row_stride = 1004,
               .dtype = dtype,
               .position_ids = true,
               .total_length = true});
    add_batch({.vocab = 151936, .batch = 3, .dtype = dtype});
  }
  // In f32 no bound of top-p is far enough from a token in so many.
  add_batch({.vocab = 151936, .batch = 64, .dtype = DType::kF16}, true);
  add(".widened", {.vocab = 100, .ring_size = 1, .dtype = DType::kF16}, {.widen = true});
  add(".no_subgroups", {.vocab = 100, .ring_size = 1}, {.options = {.top_k = 5}, .plain = true});
  return cases;
});

// Runs `draws` choices of sequences with one row each in one list, in which the kernels advance the
// states, and returns the ring.
std::vector<uint32_t> Draw(const std::vector<ChoosingSequence>& sequences, uint32_t draws) {
  gpu::Device& device = TestDevice();
  const TokenChoiceShape shape{.vocab = static_cast<uint32_t>(sequences[0].logits.size()),
                               .batch = static_cast<uint32_t>(sequences.size()),
                               .ring_size = draws};
  std::vector<gpu::Buffer> buffers;
  for (const Operand& operand : TokenChoiceOperands(shape, DType::kF32, sequences)) {
    buffers.emplace_back();
    if (!operand.present) continue;
    const auto bytes = EncodeOperand(operand);
    buffers.back() = device.CreateBuffer(bytes.size(), "operand");
    device.Upload(buffers.back(), 0, bytes);
  }
  gpu::CommandList choice(device), list(device);
  for (const KernelPlan& plan : PlanSample(device.caps(), shape)) {
    run::RecordPlan(device, plan, buffers, choice);
  }
  for (uint32_t i = 0; i < draws; ++i) list.Append(choice);
  device.Submit(list);
  std::vector<uint32_t> tokens(size_t{draws} * shape.batch);
  const auto bytes = device.Download(buffers[4], 0, tokens.size() * 4);
  device.Check();
  std::memcpy(tokens.data(), bytes.data(), bytes.size());
  return tokens;
}

std::vector<uint32_t> Draw(const std::vector<double>& logits, const SamplingOptions& options,
                           uint32_t seed, uint32_t draws) {
  const std::vector<uint32_t> seen((logits.size() + 31) / 32);
  return Draw({{logits, StateOf(seed, 0), options, seen}}, draws);
}

// Compares 3,000 draws, 750 from each of 4 seeds, with the probabilities after the filters.
void ExpectDistribution(const SamplingOptions& options, const std::vector<double>& logits,
                        const std::vector<double>& probabilities) {
  std::vector<double> counts(logits.size());
  const std::vector<uint32_t> seen((logits.size() + 31) / 32);
  for (const uint32_t seed : {0u, 1u, 12345u, 0xffffffffu}) {
    const std::vector<uint32_t> tokens = Draw(logits, options, seed, 750);
    for (uint32_t position = 0; position < tokens.size(); ++position) {
      ++counts[tokens[position]];
      const SampleResult want = SampleReference(logits, seen, options, seed, position);
      if (want.draw_margin > kMargin) {
        ASSERT_EQ(tokens[position], want.token) << "seed " << seed << ", position " << position;
      }
    }
  }
  double chi_square = 0;
  int freedom = -1;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double expected = 3000 * probabilities[i];
    if (expected == 0) {
      EXPECT_EQ(counts[i], 0) << "token " << i << " is filtered out";
      continue;
    }
    chi_square += (counts[i] - expected) * (counts[i] - expected) / expected;
    ++freedom;
  }
  // Mean plus 5 standard deviations of the chi-square distribution.
  EXPECT_LT(chi_square, freedom + 5 * std::sqrt(2.0 * freedom));
}

std::vector<double> Logarithms(std::vector<double> values) {
  for (double& value : values) value = std::log(value);
  return RoundTo(DType::kF32, std::move(values));
}

TEST(Sample, DrawsByProbability) {
  const std::vector<double> p = {0.05, 0.3, 0.15, 0.1, 0.2, 0.08, 0.12};
  ExpectDistribution({}, Logarithms(p), p);
}

TEST(Sample, DrawsByProbabilityAfterFilters) {
  const std::vector<double> p = {0.05, 0.3, 0.15, 0.1, 0.2, 0.08, 0.12};
  // top_k 5 keeps 0.3, 0.2, 0.15, 0.12, 0.1 of 0.87; top_p 0.7 * 0.87 = 0.609 keeps the first
  // three.
  ExpectDistribution({.top_p = 0.7f, .top_k = 5}, Logarithms(p),
                     {0, 0.3 / 0.65, 0.15 / 0.65, 0, 0.2 / 0.65, 0, 0});
  // The bound 0.45 * 0.3 keeps 0.15, half the largest.
  ExpectDistribution({.min_p = 0.45f}, Logarithms(p),
                     {0, 0.3 / 0.65, 0.15 / 0.65, 0, 0.2 / 0.65, 0, 0});
  // Temperature 0.5 squares.
  const double sum = 0.0025 + 0.09 + 0.0225 + 0.01 + 0.04 + 0.0064 + 0.0144;
  ExpectDistribution(
      {.temperature = 0.5f}, Logarithms(p),
      {0.0025 / sum, 0.09 / sum, 0.0225 / sum, 0.01 / sum, 0.04 / sum, 0.0064 / sum, 0.0144 / sum});
}

TEST(Sample, KeepsEveryTokenThatTiesWithABound) {
  // top_k 2 keeps three equal logits.
  ExpectDistribution({.top_k = 2}, {1, 2, 2, 0, 2}, {0, 1.0 / 3, 1.0 / 3, 0, 1.0 / 3});
  ExpectDistribution({.top_p = 0.1f}, {1, 2, 2, 0, 2}, {0, 1.0 / 3, 1.0 / 3, 0, 1.0 / 3});
}

TEST(Sample, SaysWhyThereIsNoToken) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  for (const SamplingOptions& options :
       {SamplingOptions{}, SamplingOptions{.temperature = 0}, SamplingOptions{.top_k = 2},
        SamplingOptions{.top_p = 0.5f}, SamplingOptions{.min_p = 0.1f},
        SamplingOptions{.top_p = 0.5f, .min_p = 0.1f, .repetition_penalty = 2, .top_k = 3}}) {
    const auto both = [](TokenFault fault) {
      return std::vector<uint32_t>(2, static_cast<uint32_t>(fault));
    };
    const std::vector<uint32_t> seen = {1};
    for (const std::vector<double>& logits : {std::vector<double>{nan, 1, 2, 3, 4, 5},
                                              {0, 1, nan, -inf, 4, 5},
                                              {0, 9, 1, inf, 2, -inf},
                                              {nan, nan, nan, nan, nan, nan},
                                              {inf, inf, inf, inf, inf, inf}}) {
      EXPECT_EQ(Draw(logits, options, 1, 2), both(TokenFault::kNotFinite));
      EXPECT_EQ(FaultOf(SampleReference(logits, seen, options, 1, 0).token),
                TokenFault::kNotFinite);
    }
    EXPECT_EQ(Draw({-inf, -inf, -inf, -inf, -inf}, options, 1, 2),
              both(TokenFault::kNothingFinite));
    EXPECT_EQ(Draw({-inf, -inf, -inf, 1, -inf}, options, 1, 2), (std::vector<uint32_t>{3, 3}));
  }
}

TEST(Sample, GivesEachSequenceOfABatchItsTokensAlone) {
  constexpr uint32_t kVocab = 3001, kSteps = 4, kBatch = 20;
  std::vector<ChoosingSequence> sequences;
  for (uint32_t i = 0; i < kBatch; ++i) {
    std::vector<uint32_t> seen((kVocab + 31) / 32);
    for (uint32_t token = i; token < kVocab; token += 11) MarkSeen(seen, token);
    sequences.push_back({RandomValues(DType::kF32, kVocab, i, 2), StateOf(100 + i, kSteps * i),
                         kBatchOptions[i % std::size(kBatchOptions)], std::move(seen)});
  }
  const std::vector<uint32_t> together = Draw(sequences, kSteps);
  for (uint32_t i = 0; i < kBatch; ++i) {
    const std::vector<uint32_t> alone = Draw({sequences[i]}, kSteps);
    for (uint32_t step = 0; step < kSteps; ++step) {
      EXPECT_EQ(together[step * kBatch + i], alone[step]) << "sequence " << i << ", step " << step;
    }
  }
}

TEST(Sample, PenalisesItsOwnTokens) {
  // Greedy choice with a strong penalty takes each token once, in descending order.
  const SamplingOptions options{.temperature = 0, .repetition_penalty = 100};
  EXPECT_EQ(Draw({1, 4, 3, 2}, options, 1, 4), (std::vector<uint32_t>{1, 2, 3, 0}));
}

// Known answers of Philox2x32-10, from the Random123 distribution's kat_vectors.
TEST(Sample, PhiloxMatchesKnownAnswer) { EXPECT_EQ(PhiloxDraw(0, 0), 0xff1dae59u); }

TEST(Sample, RefusesWhatItCannotRead) {
  EXPECT_THROW(PlanSample({}, {.vocab = 10}, "wg1"), Error);
  EXPECT_THROW(PlanSample({}, {.vocab = 0}), Error);
  EXPECT_THROW(PlanSample({}, {.vocab = 10, .dtype = DType::kU8}), Error);
}

}  // namespace
}  // namespace sinter::kernels
