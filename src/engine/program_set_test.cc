// Tests the programs that sequences of a model share: compiled once, in the foreground or the
// background, and compiled again with new choices.

#include "engine/program_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <thread>

#include "engine/sequence.h"
#include "support/engine.h"

namespace sinter::engine {
namespace {

using support::LoadModel;
using support::ModelSpec;
using support::SharedDevice;
using ::testing::HasSubstr;

// Returns a model of one layer, so that its programs have few shaders.
ModelSpec Small() {
  ModelSpec spec = support::ModelNamed("qwen3_f32");
  spec.layers = 1;
  return spec;
}

constexpr int64_t kCapacity = 32;
StepKey KeyOf(int64_t rows, int64_t capacity = kCapacity) { return {rows, capacity, {}, false}; }
// Key of a program whose bindings are too large for the devices of OpenSmall().
const StepKey kTooLarge = KeyOf(1, 1 << 14);

std::shared_ptr<gpu::Device> OpenSmall() {
  return support::OpenDevice({.max_storage_binding_bytes = 512 << 10});
}

TEST(ProgramSet, SequencesShareTheirPrograms) {
  const auto model = LoadModel(Small());
  gpu::Device& device = *model->device();
  const std::vector<int32_t> prompt = support::RandomTokens(16, 1);
  const auto use = [&](Sequence& sequence) {
    sequence.Append(prompt);
    return support::Generate(sequence, 3);
  };
  const SequenceOptions options = {.max_length = kCapacity, .chunk = 16};
  Sequence first(model, options);
  const std::vector<int32_t> tokens = use(first);
  const StepKey key = KeyOf(16, first.cache()->capacity());
  const auto prefill = model->programs().Peek(key);
  ASSERT_TRUE(prefill);
  const uint64_t version = model->programs().version();
  const int pipelines = device.pipelines_created();

  device.Wait();
  uint64_t before = device.allocated_bytes();
  uint64_t step_bytes = 0;
  {
    const int64_t capacity = first.cache()->capacity();
    const StepBuffers buffers(*model, capacity, {.ring = capacity});
    step_bytes = device.allocated_bytes() - before;
  }
  before = device.allocated_bytes();
  Sequence second(model, options);
  EXPECT_EQ(use(second), tokens);
  EXPECT_EQ(model->programs().Peek(key), prefill);
  EXPECT_EQ(model->programs().version(), version) << "no program was made";
  EXPECT_EQ(device.pipelines_created(), pipelines);
  // Besides the cache and the buffers, allowance for parameters of small dispatches and the inputs
  // of 16 rows.
  constexpr uint64_t kSmall = 2 << 10;
  const uint64_t grown = device.allocated_bytes() - before;
  EXPECT_GE(grown, second.cache_bytes() + step_bytes);
  EXPECT_LE(grown, second.cache_bytes() + step_bytes + kSmall);
  EXPECT_GT(prefill->program->workspace_bytes(), kSmall);
}

TEST(ProgramSetThreads, MakeAProgramOnce) {
  const auto model = LoadModel(Small());
  std::vector<std::shared_ptr<const CompiledStep>> got(4);
  std::vector<std::thread> threads;
  for (auto& step : got) threads.emplace_back([&] { step = model->programs().Get(KeyOf(1), 1); });
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(got[0]);
  for (const auto& step : got) EXPECT_EQ(step, got[0]);
  EXPECT_EQ(model->programs().version(), 1u);
}

TEST(ProgramSet, PreparesInTheBackground) {
  const auto model = LoadModel(Small());
  ProgramSet& programs = model->programs();
  EXPECT_FALSE(programs.IsPreparing());
  programs.Settle();
  programs.Prepare({}, 1);
  programs.Prepare({KeyOf(1), KeyOf(16)}, 1);
  programs.Prepare({KeyOf(16), KeyOf(1)}, 1);
  programs.Settle();
  EXPECT_FALSE(programs.IsPreparing());
  EXPECT_EQ(programs.version(), 2u);
  for (const int64_t rows : {1, 16}) {
    const auto step = programs.Peek(KeyOf(rows));
    ASSERT_TRUE(step);
    EXPECT_EQ(step->key, KeyOf(rows));
    EXPECT_EQ(programs.Get(KeyOf(rows), 1), step);
  }
  EXPECT_FALSE(programs.Peek(KeyOf(2)));
  // An existing program is not compiled again.
  programs.Prepare({KeyOf(1)}, 1);
  programs.Settle();
  EXPECT_EQ(programs.version(), 2u);
}

TEST(ProgramSet, TellsAnErrorOfTheBackgroundToWhoeverNeedsTheProgram) {
  const auto model = LoadModel(Small(), OpenSmall());
  ProgramSet& programs = model->programs();
  programs.Prepare({kTooLarge, KeyOf(1)}, 1);
  programs.Settle();
  EXPECT_FALSE(programs.Peek(kTooLarge));
  EXPECT_TRUE(programs.Peek(KeyOf(1))) << "what is queued behind it is made";
  for (int i = 0; i < 2; ++i) EXPECT_THROW(programs.Get(kTooLarge, 1), gpu::ResourceError);
  EXPECT_THAT(support::ErrorOf([&] { programs.Get(kTooLarge, 1); }), HasSubstr("want at most"));
}

TEST(ProgramSet, MayGoWhileProgramsAreQueued) {
  const auto device = SharedDevice();
  for (const bool wait : {false, true}) {
    auto model = LoadModel(Small(), device);
    std::vector<StepKey> keys;
    for (int64_t capacity = 32; capacity < 64; ++capacity) keys.push_back(KeyOf(1, capacity));
    model->programs().Prepare(std::move(keys), 1);
    while (wait && model->programs().version() == 0) std::this_thread::yield();
    EXPECT_TRUE(model->programs().IsPreparing());
    model.reset();
  }
  device->Check();
}

// A sequence continues with the new program and generates the same tokens.
TEST(ProgramSet, MakesAProgramAnewWithNewChoices) {
  const auto model = LoadModel(Small());
  const SequenceOptions options = {.max_length = kCapacity, .chunk = 16};
  Sequence plain(model, options);
  plain.Append(support::RandomTokens(16, 1));
  const std::vector<int32_t> tokens = support::Generate(plain, 8);

  Sequence sequence(model, options);
  sequence.Append(support::RandomTokens(16, 1));
  sequence.BeginGeneration({});
  for (int i = 0; i < 4; ++i) sequence.Step();

  ProgramSet& programs = model->programs();
  const StepKey key = KeyOf(1, plain.cache()->capacity());
  const auto old = programs.Get(key, 1);
  std::set<std::string> made;
  for (const wgsl::Shader& shader : programs.ShadersToMeasure(key, 1)) made.insert(shader.label);
  std::map<std::string, std::string> wanted;  // names of plans by kind
  for (const compile::Dispatch& dispatch : old->program->lowered().dispatches) {
    if (!dispatch.alternatives) continue;
    for (const compile::Alternative& other : dispatch.alternatives()) {
      EXPECT_TRUE(made.contains(other.plan.variant)) << other.plan.variant;
      if (other.plan.variant == dispatch.plan.variant) continue;
      model->plans().Keep({.guess = dispatch.kind, .variant = other.variant},
                          run::IdentityOf(dispatch, other.plan).source);
      wanted[dispatch.kind] = other.plan.variant;
      break;
    }
  }
  ASSERT_FALSE(wanted.empty());
  EXPECT_EQ(programs.Get(key, 1), old);
  const uint64_t version = programs.version();
  programs.Refresh(key, 1);
  EXPECT_GT(programs.version(), version);
  const auto anew = programs.Get(key, 1);
  EXPECT_NE(anew, old);
  for (const compile::Dispatch& dispatch : anew->program->lowered().dispatches) {
    if (wanted.contains(dispatch.kind)) {
      EXPECT_EQ(dispatch.plan.variant, wanted[dispatch.kind]);
    }
  }

  for (int i = 4; i < 8; ++i) sequence.Step();
  for (int64_t i = 0; i < 8; ++i) EXPECT_EQ(sequence.Token(i), tokens[static_cast<size_t>(i)]);
  sequence.EndGeneration(8);
}

// A software GPU does not hold all workgroups of a chain at once, so it uses a chain only if the
// user asks for it.
TEST(ProgramSet, TakesAChainWhereItIsAskedForOrQuicker) {
  const ModelSpec spec = support::ModelNamed("qwen3_graph");
  const auto automatic = LoadModel(spec);
  EXPECT_FALSE(automatic->programs().GetDecode(kCapacity, {}, 1)->key.chain);
  EXPECT_EQ(automatic->programs().ChainIsUnknown(kCapacity, {}, 1),
            !SharedDevice()->adapter().software);
  const auto chained = LoadModel(spec, SharedDevice(), {.fusion = passes::Fusion::kChain});
  const auto decode = chained->programs().GetDecode(kCapacity, {}, 1);
  EXPECT_TRUE(decode->key.chain);
  EXPECT_TRUE(decode->program->has_chains());
  EXPECT_FALSE(chained->programs().ChainIsUnknown(kCapacity, {}, 1));
}

}  // namespace
}  // namespace sinter::engine
