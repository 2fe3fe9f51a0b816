// Tests tuning: what it finds and keeps, that sequences stay intact, and that it gives way to work.

#include "engine/tuner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "engine/sequence.h"
#include "support/engine.h"

namespace sinter::engine {
namespace {

using std::chrono::milliseconds;
using support::ExpectNear;
using support::Generate;
using support::kMeasuredRounding;
using support::LoadModel;
using support::ModelSpec;
using support::SharedDevice;
using ::testing::HasSubstr;

// Context length, which is also the number of rows of the measured chunk. The cache has 16 more
// rows for padding.
constexpr int64_t kContext = 40;
const SequenceOptions kOptions = {.max_length = kContext, .chunk = 16};

// Loads a model with one layer and short chunks. Products are measured in all their plans only if
// `products` is set, because each needs some 50 shaders on a software GPU. Otherwise one kind is
// left, the attention of a token.
std::shared_ptr<Model> Load(const std::shared_ptr<gpu::Device>& device = SharedDevice(),
                            bool products = support::TestAll()) {
  ModelSpec spec = support::ModelNamed("qwen3_f32");
  spec.layers = 1;
  spec.context = kContext;
  ModelOptions options;
  if (!products) options.variants = {{"matmul_nbits", "tile"}};
  return LoadModel(spec, device, options);
}

// Runs a tuner to its end and returns the number of its measuring steps.
int Finish(Tuner& tuner) {
  int measured = 0;
  while (tuner.state() != Tuner::State::kDone) {
    if (tuner.state() == Tuner::State::kCompile) {
      tuner.Compile();
    } else {
      EXPECT_TRUE(tuner.Measure(milliseconds(50), {}));
      ++measured;
    }
  }
  return measured;
}

TEST(Tuner, LeavesAConversationAsItIs) {
  Sequence plain(Load(SharedDevice(), /*products=*/true), kOptions);
  Sequence tuned(Load(SharedDevice(), /*products=*/true), kOptions);
  for (Sequence* each : {&plain, &tuned}) each->Append(support::RandomTokens(7, 1));
  EXPECT_EQ(Generate(tuned, 4), Generate(plain, 4));

  Tuner tuner(tuned.model(), tuned.cache(), kContext);
  EXPECT_EQ(tuner.stages_done(), 0u);
  std::vector<double> shares;
  tuner.RunAll([&](double share) { shares.push_back(share); });
  EXPECT_EQ(tuner.state(), Tuner::State::kDone);
  EXPECT_EQ(tuner.stages_done(), tuner.stages());
  ASSERT_GT(shares.size(), 2u);
  EXPECT_EQ(shares.front(), 0);
  EXPECT_EQ(shares.back(), 1);
  EXPECT_TRUE(std::ranges::is_sorted(shares)) << ::testing::PrintToString(shares);
  const run::PlanBook& book = tuned.model()->plans();
  EXPECT_GT(book.size(), 1u);
  EXPECT_EQ(tuned.length(), plain.length());

  for (Sequence* each : {&plain, &tuned}) each->Append(support::RandomTokens(3, 2));
  ExpectNear(tuned.Logits(), plain.Logits(), kMeasuredRounding);
  EXPECT_EQ(Generate(tuned, 4), Generate(plain, 4));
  for (Sequence* each : {&plain, &tuned}) {
    each->Rewind(9);
    each->Append(support::RandomTokens(16, 3));
  }
  ExpectNear(tuned.Logits(), plain.Logits(), kMeasuredRounding);

  // A second tuner has nothing left to do.
  const size_t known = book.size();
  const uint64_t version = tuned.model()->programs().version();
  const int pipelines = SharedDevice()->pipelines_created();
  Tuner again(tuned.model(), tuned.cache(), kContext);
  EXPECT_EQ(Finish(again), 0);
  EXPECT_EQ(book.size(), known);
  EXPECT_EQ(tuned.model()->programs().version(), version) << "no program is made anew";
  EXPECT_EQ(SharedDevice()->pipelines_created(), pipelines);
}

TEST(Tuner, SaysWhereThereIsNoRoomBehindTheSequence) {
  Sequence sequence(Load(), kOptions);
  const std::vector<int32_t> prompt = support::RandomTokens(20, 1);
  sequence.Append(prompt);
  Tuner tuner(sequence.model(), sequence.cache(), kContext);
  EXPECT_THAT(support::ErrorOf([&] { tuner.RunAll(); }),
              HasSubstr("got a KV cache of 56 rows with 20 in use, want room for 40 more"));
  EXPECT_EQ(tuner.stages_done(), 1u);
  ASSERT_EQ(tuner.state(), Tuner::State::kMeasure);
  EXPECT_FALSE(tuner.Measure(milliseconds(50), {}));
  const std::vector<float> logits = sequence.Logits();
  // Once there is room, it continues where it stopped.
  sequence.Rewind(0);
  tuner.RunAll();
  EXPECT_EQ(tuner.state(), Tuner::State::kDone);
  sequence.Append(prompt);
  ExpectNear(sequence.Logits(), logits, kMeasuredRounding);
}

TEST(Tuner, StopsForWorkAndKeepsWhatItFound) {
  Sequence sequence(Load(), kOptions);
  run::PlanBook& book = sequence.model()->plans();
  struct Enough {};
  {
    Tuner stopped(sequence.model(), sequence.cache(), kContext);
    EXPECT_THROW(stopped.RunAll([&](double) {
      if (book.size() > 0) throw Enough();
    }),
                 Enough);
  }
  const size_t known = book.size();
  EXPECT_GT(known, 0u);
  // The gate must be open again.
  ASSERT_TRUE(sequence.model()->gate().BeginSlice({}));
  sequence.model()->gate().EndSlice();

  Tuner rest(sequence.model(), sequence.cache(), kContext);
  while (rest.state() == Tuner::State::kCompile) rest.Compile();
  ASSERT_EQ(rest.state(), Tuner::State::kMeasure);
  // Each call stops after one sample.
  int asked = 0;
  EXPECT_TRUE(rest.Measure(std::chrono::hours(1), [&] { return ++asked > 0; }));
  EXPECT_EQ(asked, 1);
  Finish(rest);
  EXPECT_GT(book.size(), known);
}

// A software GPU measures no chains, and without prompts there is nothing else.
TEST(Tuner, MayHaveNothingToDo) {
  ModelSpec spec = support::ModelNamed("qwen3_graph");
  spec.layers = 1;
  const auto model = LoadModel(spec, SharedDevice(), {.fusion = passes::Fusion::kChain});
  if (!model->device()->adapter().software) return;
  Tuner tuner(model, std::make_shared<KvCache>(*model, 40), /*chunk=*/1);
  EXPECT_EQ(tuner.state(), Tuner::State::kDone);
  std::vector<double> shares;
  tuner.RunAll([&](double share) { shares.push_back(share); });
  EXPECT_EQ(shares.back(), 1);
  EXPECT_EQ(model->plans().size(), 0u);
}

// Short sequences have a prompt program of their own length, which is the one to measure.
TEST(Tuner, MeasuresTheProgramThatSequencesUse) {
  ModelSpec spec = support::ModelNamed("qwen3_f32");
  spec.layers = 1;
  spec.context = 1024;
  const auto model = LoadModel(spec, SharedDevice());
  for (const int64_t max_length : {100, 300, 600}) {
    const Sequence sequence(model, {.max_length = max_length});
    const std::vector<Tuner::Stage> stages =
        Tuner::FirstStages(*model, sequence.cache()->capacity(), sequence.chunk());
    EXPECT_EQ(stages.back().key.rows, std::min<int64_t>(max_length, 512));
    size_t kinds = 0;
    for (const Tuner::Stage& stage : stages)
      kinds += model->programs().CountKinds(stage.key, 1).all;
    EXPECT_EQ(CountTunedKinds(*model, max_length).all, kinds);
  }
}

// The chain is compiled explicitly, because a software GPU gets none by default.
TEST(TryChain, KeepsTheAnswerAndLeavesTheSequence) {
  const auto model = LoadModel(support::ModelNamed("qwen3_graph"));
  const SequenceOptions options = {.max_length = 64, .chunk = 16};
  Sequence plain(model, options), sequence(model, options);
  for (Sequence* each : {&plain, &sequence}) each->Append(support::RandomTokens(9, 1));
  const std::vector<int32_t> tokens = Generate(plain, 8);

  sequence.BeginGeneration({});
  for (int i = 0; i < 4; ++i) sequence.Step();
  const KvCache& cache = *sequence.cache();
  EXPECT_EQ(cache.used, 12);
  const StepKey key = {1, cache.capacity(), {}, /*chain=*/true};
  TryChain(*model, sequence.cache(), {});
  EXPECT_EQ(model->plans().size(), 0u) << "there is no chain yet";
  const auto chained = model->programs().Get(key, 1);
  ASSERT_TRUE(chained->program->has_chains());
  TryChain(*model, sequence.cache(), {});
  EXPECT_TRUE(
      model->plans().PrefersChain(run::ChainIdentityOf(chained->program->lowered())).has_value());
  for (int i = 4; i < 8; ++i) sequence.Step();
  for (int64_t i = 0; i < 8; ++i) EXPECT_EQ(sequence.Token(i), tokens[static_cast<size_t>(i)]);
  sequence.EndGeneration(8);
}

TEST(TryChain, ComparesProgramsWithPages) {
  const auto model = LoadModel(support::ModelNamed("qwen3_graph"));
  constexpr int64_t kEntries = 4;
  const auto cache = std::make_shared<KvCache>(*model, 4 * 64);
  const StepKey layered = {1, cache->capacity(), {}, /*chain=*/false, /*batch=*/1, kEntries};
  StepKey key = layered;
  key.chain = true;
  model->programs().Get(layered, 1);
  const auto chained = model->programs().Get(key, 1);
  ASSERT_TRUE(chained->program->has_chains());
  TryChain(*model, cache, {}, kEntries);
  EXPECT_TRUE(
      model->plans().PrefersChain(run::ChainIdentityOf(chained->program->lowered())).has_value());
}

// Waits until `done` returns true through another thread, for a minute at most.
template <typename F>
bool Eventually(F&& done) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(milliseconds(1));
  }
  return true;
}

TEST(IdleTuner, TunesWhileNothingElseRuns) {
  Sequence plain(Load(), kOptions), sequence(Load(), kOptions);
  for (Sequence* each : {&plain, &sequence}) each->Append(support::RandomTokens(7, 1));
  const IdleTuner tuner(sequence.model(), sequence.cache(), kContext);
  EXPECT_TRUE(Eventually([&] { return tuner.done(); }));
  EXPECT_GT(sequence.model()->plans().size(), 1u);
  EXPECT_EQ(Generate(sequence, 4), Generate(plain, 4));
}

// Work runs between slices, and no slice begins during work.
TEST(IdleTunerThreads, GiveWayToWork) {
  Sequence plain(Load(), kOptions), sequence(Load(), kOptions);
  run::PlanBook& book = sequence.model()->plans();
  std::vector<int32_t> want;
  const auto turn = [](Sequence& each, uint32_t seed) {
    each.Rewind(0);
    each.Append(support::RandomTokens(7, seed));
    return Generate(each, 4);
  };
  const IdleTuner tuner(sequence.model(), sequence.cache(), kContext);
  for (uint32_t seed = 0; seed < 20; ++seed) {
    EXPECT_EQ(turn(sequence, seed), turn(plain, seed));
    {
      const WorkGate::Scope work(sequence.model()->gate());
      const size_t known = book.size();
      std::this_thread::sleep_for(milliseconds(2));
      EXPECT_EQ(book.size(), known);
    }
    // In the second half, slices run between the turns.
    if (seed >= 10 && !tuner.done()) std::this_thread::sleep_for(IdleTuner::kQuiet * 1.2);
  }
  EXPECT_TRUE(Eventually([&] { return tuner.done(); }));
  EXPECT_EQ(turn(sequence, 99), turn(plain, 99));
}

TEST(IdleTunerThreads, MayGoAtAnyMoment) {
  Sequence sequence(Load(), kOptions);
  sequence.Append(support::RandomTokens(7, 1));
  for (const int wait : {0, 1, 20, 320, 400}) {
    const IdleTuner tuner(sequence.model(), sequence.cache(), kContext);
    std::this_thread::sleep_for(milliseconds(wait));
  }
  ASSERT_TRUE(sequence.model()->gate().BeginSlice({})) << "no slice was left open";
  sequence.model()->gate().EndSlice();
  EXPECT_EQ(Generate(sequence, 4).size(), 4u);
}

TEST(IdleTunerThreads, EndsQuietlyWhereTheDeviceIsLost) {
  const auto device = support::OpenDevice();
  const auto model = Load(device);
  Sequence sequence(model, kOptions);
  const IdleTuner tuner(model, sequence.cache(), kContext);
  ASSERT_TRUE(Eventually([&] { return model->programs().version() > 0; }));
  device->SimulateLoss();
  EXPECT_TRUE(Eventually([&] { return tuner.done(); }));
  EXPECT_THROW(sequence.Append(support::RandomTokens(7, 1)), DeviceLostError);
}

}  // namespace
}  // namespace sinter::engine
