#include "kernels/log_probs/log_probs.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "kernels/sample/token_choice_testing.h"

namespace sinter::kernels {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

// Two roundings of a logit's distance from the largest, which is below 64; twice the exp of a
// number whose mean is below 14 (3 + 2 * 14 units in the last place); and a logarithm (2^-21).
constexpr double kTolerance = 2 * 64 * 0x1p-24 + 2 * (3 + 2 * 14) * 0x1p-24 + 0x1p-21;

// Kinds of rows of logits.
enum class Row { kRandom, kTies, kFewFinite, kNothingFinite, kNan, kInfinity, kFlat };
constexpr uint32_t kRowKinds = static_cast<uint32_t>(Row::kFlat) + 1;

std::vector<double> MakeRow(const LogProbsShape& shape, Row kind, uint32_t seed) {
  std::vector<double> row = RandomValues(shape.dtype, shape.vocab, shape.vocab + seed, 3);
  switch (kind) {
    case Row::kRandom:
      break;
    case Row::kTies:
      // More ties than results, in one segment and in several.
      for (uint32_t token = 0; token < shape.vocab; ++token) {
        if (token % 97 < 2) row[token] = 12;
      }
      break;
    case Row::kFewFinite:
      for (uint32_t token = 0; token < shape.vocab; ++token) {
        if (token % 700 != 3) row[token] = -kInf;
      }
      break;
    case Row::kNothingFinite:
      row.assign(shape.vocab, -kInf);
      break;
    case Row::kNan:
      row[shape.vocab / 2] = kNan;
      break;
    case Row::kInfinity:
      row[shape.vocab / 3] = kInf;
      break;
    case Row::kFlat:
      for (uint32_t token = 0; token < shape.vocab; ++token) row[token] = token % 2 == 0 ? 0 : -0.0;
      break;
  }
  return row;
}

std::vector<Operand> MakeOperands(const LogProbsShape& shape, DType dtype, Row kind) {
  const uint32_t stride = shape.row_stride == 0 ? shape.vocab : shape.row_stride;
  Operand logits = Operand::Input(dtype, {}), state = Operand::Input(DType::kU32, {}),
          options = Operand::Packed({}), results = Operand::Output(DType::kF32, {}, kTolerance);
  const auto append = [](auto& to, const auto& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  for (uint32_t i = 0; i < shape.batch; ++i) {
    const Row own = shape.batch == 1 ? kind : static_cast<Row>(i % kRowKinds);
    std::vector<double> row = MakeRow(shape, own, i);
    const StepState after{.last_row = 0,
                          .token = i % 9 == 8 ? static_cast<uint32_t>(TokenFault::kNothingFinite)
                                              : shape.vocab * 2 / 3,
                          .token_row = shape.batch == 1 ? shape.rows - 1 : 0};
    const SamplingOptions sampling{.idle = i % 6 == 5};
    const std::vector<double> want = LogProbsReference(row, after.token, shape.top);
    // One sequence has the last of its rows.
    for (uint32_t r = 1; shape.batch == 1 && r < shape.rows; ++r) {
      append(logits.values, std::vector<double>(stride, 1000));
    }
    row.resize(stride, 60000);
    append(logits.values, row);
    append(state.values, StateValues(after));
    append(options.raw, OptionsOperand(sampling).raw);
    append(results.expected, sampling.idle != 0 ? std::vector<double>(want.size(), 7) : want);
  }
  results.values.assign(results.expected.size(), 7);
  const size_t words = LogProbsScratchBytes(shape.vocab, shape.batch) / 4;
  return {std::move(logits), std::move(state), std::move(options),
          Operand::Output(DType::kU32, std::vector<double>(words, kNan), 0), std::move(results)};
}

const bool kRegistered = RegisterKernelCases("log_probs", [](const Caps& caps) {
  std::vector<KernelCase> cases;
  const auto add = [&](LogProbsShape shape, Row kind = Row::kRandom, bool benchmark_only = false) {
    KernelCase c;
    c.name = fmt::format("v{}.r{}.b{}.top{}.{}.row{}", shape.vocab, shape.rows, shape.batch,
                         shape.top, DTypeName(shape.dtype), static_cast<int>(kind));
    c.benchmark_only = benchmark_only;
    c.operands = [=] { return MakeOperands(shape, DeviceDType(caps, shape.dtype), kind); };
    c.variants = LogProbsVariants(caps);
    c.plans = [=](const Caps& device, std::string_view variant) {
      return PlanLogProbs(device, shape, variant);
    };
    c.bytes = double(shape.batch) * shape.vocab * (DTypeBits(shape.dtype) / 8);
    cases.push_back(std::move(c));
  };
  for (const DType dtype : {DType::kF32, DType::kF16}) {
    for (const uint32_t vocab : {1u, 7u, 1024u, 5u * 7 * 11 * 13}) {
      for (uint32_t kind = 0; kind < kRowKinds; ++kind) {
        add({.vocab = vocab, .top = 20, .dtype = dtype}, static_cast<Row>(kind));
      }
      add({.vocab = vocab, .batch = 3, .top = 5, .dtype = dtype});
    }
    add({.vocab = 3000, .batch = 64, .row_stride = 3001, .top = 20, .dtype = dtype});
    add({.vocab = 777, .rows = 4, .top = 1, .dtype = dtype});
    add({.vocab = 777, .top = 0, .dtype = dtype});
    for (const uint32_t batch : {3u, 64u}) {
      add({.vocab = 151936, .batch = batch, .top = 20, .dtype = dtype}, Row::kRandom, batch == 64);
    }
    add({.vocab = kMaxVocab, .top = 20, .dtype = dtype});
  }
  return cases;
});

TEST(LogProbs, ReferenceAddsUpToOne) {
  const std::vector<double> logits = {std::log(0.2), -kInf, std::log(0.5), std::log(0.3)};
  const std::vector<double> want = {3, std::log(0.3), 2,  std::log(0.5), 3, std::log(0.3),
                                    0, std::log(0.2), -1, -kInf};
  const std::vector<double> got = LogProbsReference(logits, 3, 4);
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i + 1 < want.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-12) << i;
  EXPECT_EQ(got.back(), -kInf);
}

TEST(LogProbs, RefusesWhatItCannotDo) {
  EXPECT_THROW(PlanLogProbs({}, {.vocab = 10}, "wg1"), Error);
  EXPECT_THROW(PlanLogProbs({}, {.vocab = 0}), Error);
  EXPECT_THROW(PlanLogProbs({}, {.vocab = kMaxVocab + 1}), Error);
  EXPECT_THROW(PlanLogProbs({}, {.vocab = 10, .dtype = DType::kI32}), Error);
  EXPECT_THROW(PlanLogProbs({}, {.vocab = 10, .top = kMaxTopLogProbs + 1}), Error);
}

}  // namespace
}  // namespace sinter::kernels
