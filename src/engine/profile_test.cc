// Tests profiles of sequences: the dispatches that are timed, both replayed and recorded again, and
// that the profiles of two sequences never mix.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <thread>

#include "base/error.h"
#include "engine/sequence.h"
#include "support/engine.h"

namespace sinter::engine {
namespace {

using run::DispatchTime;

std::shared_ptr<Model> Load(const std::string& name) {
  return support::LoadModel(support::ModelNamed(name));
}

std::vector<std::string> Labels(const std::vector<DispatchTime>& times) {
  std::vector<std::string> labels;
  for (const DispatchTime& time : times) labels.push_back(time.label + " " + time.variant);
  return labels;
}

std::vector<DispatchTime> ProfileOneStep(Sequence& sequence) {
  sequence.BeginGeneration({});
  sequence.Step();
  std::vector<DispatchTime> times = sequence.ProfileStep();
  sequence.Token(1);
  sequence.EndGeneration(2);
  return times;
}

TEST(Profile, TimesEveryDispatchOfAStep) {
  for (const bool capture : {true, false}) {
    SCOPED_TRACE(capture);
    Sequence sequence(Load("qwen3_f32"), {.run = {.capture = capture}});
    sequence.Append(support::RandomTokens(9, 1));
    const std::vector<DispatchTime> times = ProfileOneStep(sequence);
    EXPECT_EQ(times.size(), sequence.GreedyDispatches());
    EXPECT_EQ(times.back().label, "token choice");
    double bytes = 0, flops = 0;
    for (const DispatchTime& time : times) {
      EXPECT_FALSE(time.variant.empty()) << time.label;
      EXPECT_GE(time.begin_nanoseconds, times.front().begin_nanoseconds);
      bytes += time.bytes;
      flops += time.flops;
    }
    const compile::Work work = sequence.DecodeWork(10);
    EXPECT_DOUBLE_EQ(bytes, work.weight_bytes + work.cache_bytes + work.other_bytes);
    EXPECT_DOUBLE_EQ(flops, work.flops + work.attention_flops);
  }
}

TEST(Profile, TakesTheSameStepsAsWithout) {
  const auto model = Load("qwen3_f32");
  const std::vector<int32_t> prompt = support::RandomTokens(40, 2);
  Sequence plain(model, {.chunk = 16}), profiled(model, {.chunk = 16});
  plain.Append(prompt);
  // Three runs of up to 16 tokens.
  const std::vector<DispatchTime> prefill = profiled.ProfileAppend(prompt);
  EXPECT_GE(prefill.size(), 3u * 2);
  EXPECT_EQ(plain.Logits(), profiled.Logits());
  plain.BeginGeneration({});
  profiled.BeginGeneration({});
  for (int64_t i = 0; i < 6; ++i) {
    plain.Step();
    profiled.ProfileStep();
    EXPECT_EQ(plain.Token(i), profiled.Token(i));
  }
}

TEST(Profile, WorkIsTheModels) {
  Sequence sequence(Load("qwen3_f32"));
  const support::ModelSpec spec = support::ModelNamed("qwen3_f32");
  const compile::Work work = sequence.DecodeWork(32);
  // The cache holds keys and values of every layer, 32 rows of f32.
  EXPECT_DOUBLE_EQ(work.cache_bytes,
                   static_cast<double>(spec.layers * 2 * 32 * spec.kv_heads * spec.head_size * 4));
  EXPECT_DOUBLE_EQ(work.attention_flops,
                   static_cast<double>(spec.layers * 4 * 32 * spec.heads * spec.head_size));
  // The weights are those of the projections of queries, keys, values and output, the MLP's three,
  // and the head. Each takes 2 operations.
  const int64_t attention = spec.hidden * spec.head_size * (2 * spec.heads + 2 * spec.kv_heads);
  const int64_t weights =
      spec.layers * (attention + 3 * spec.hidden * spec.intermediate) + spec.hidden * spec.vocab;
  EXPECT_DOUBLE_EQ(work.flops, 2.0 * static_cast<double>(weights));
  // Each weight takes half a byte, and each block of 32 an f32 scale. Norms and a row of the
  // embedding add little.
  const double packed = static_cast<double>(weights) * (0.5 + 4.0 / 32);
  EXPECT_GE(work.weight_bytes, packed);
  EXPECT_LT(work.weight_bytes, packed * 1.1);
}

TEST(Profile, ExpertsThatAreNotChosenDoNotCount) {
  Sequence sequence(Load("gptoss"));
  const support::ModelSpec spec = support::ModelNamed("gptoss");
  const compile::Work work = sequence.DecodeWork(1);
  const double experts =
      static_cast<double>(spec.layers * spec.top_k * 3 * spec.hidden * spec.intermediate);
  EXPECT_GE(work.flops, 2 * experts);
  // Each weight takes half a byte, and each block of 32 an f16 scale. All four experts would be
  // twice the two that are chosen.
  EXPECT_GE(work.weight_bytes, experts * (0.5 + 2.0 / 32));
  EXPECT_LT(work.weight_bytes, experts * (0.5 + 2.0 / 32) * 2);
}

TEST(Profile, TwoSequencesNeverMix) {
  const auto qwen = Load("qwen3_f32");
  const auto phi = Load("phi3");
  Sequence a(qwen), b(phi);
  a.Append(support::RandomTokens(5, 3));
  b.Append(support::RandomTokens(7, 4));
  const std::vector<std::string> only_a = Labels(ProfileOneStep(a)),
                                 only_b = Labels(ProfileOneStep(b));
  ASSERT_NE(only_a, only_b);

  // The sequences step in turn; one is profiled while the other has work queued.
  a.Append({});
  b.Append({});
  a.BeginGeneration({});
  b.BeginGeneration({});
  a.Step();
  b.Step();
  for (int64_t i = 1; i <= 3; ++i) {
    b.Step();
    EXPECT_EQ(Labels(a.ProfileStep()), only_a);
    a.Step();
    EXPECT_EQ(Labels(b.ProfileStep()), only_b);
  }
  a.EndGeneration(1);
  b.EndGeneration(1);

  // Both sequences run at once in two threads.
  a.Append({});
  b.Append({});
  int wrong_a = 0, wrong_b = 0;
  std::thread thread([&] {
    for (int i = 0; i < 4; ++i) {
      wrong_a += Labels(ProfileOneStep(a)) == only_a ? 0 : 1;
      a.Append({});
    }
  });
  for (int i = 0; i < 4; ++i) {
    wrong_b += Labels(ProfileOneStep(b)) == only_b ? 0 : 1;
    b.Append({});
  }
  thread.join();
  EXPECT_EQ(wrong_a + wrong_b, 0);
}

TEST(Profile, AFailedAppendEndsIt) {
  Sequence sequence(Load("qwen3_f32"));
  EXPECT_THROW(sequence.ProfileAppend(std::vector<int32_t>{-1}), Error);
  sequence.Append(
      support::RandomTokens(4, 5));  // must not write to the profile, which is already destroyed
}

}  // namespace
}  // namespace sinter::engine
