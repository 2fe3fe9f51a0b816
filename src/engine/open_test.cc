// Tests opening a model folder: lengths that fit the adapter, and the plans that are taken.

#include "engine/open.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/model_folder.h"
#include "support/engine.h"

namespace sinter::engine {
namespace {

using support::ErrorOf;
using support::ModelSpec;
using support::SharedDevice;
using ::testing::HasSubstr;

ModelSpec Small(int64_t context) {
  ModelSpec spec = support::ModelNamed("qwen3_f32");
  spec.layers = 1;
  spec.context = context;
  return spec;
}

OpenedModel OpenSpec(const ModelSpec& spec, const std::shared_ptr<gpu::Device>& device,
                     const OpenOptions& options = {}) {
  const support::TempFolder folder;
  support::WriteModelFolder(spec, folder.path());
  return Open(model::ModelFolder::Read(folder.path()), device, options);
}

TEST(Open, CutsALengthThatDoesNotFit) {
  const auto small = support::OpenDevice({.max_storage_binding_bytes = 64 << 10});
  // 2 heads of 16 elements of 4 bytes are 128 bytes a row. A binding holds 512 rows, of which 256
  // may be padding.
  const ModelSpec spec = Small(1000);
  const OpenedModel cut = OpenSpec(spec, small);
  EXPECT_EQ(cut.wanted_length, 1000);
  EXPECT_EQ(cut.sequence->max_length(), 256);
  EXPECT_LE(cut.sequence->cache()->capacity() * 128, 64 << 10);
  const OpenedModel padded = OpenSpec(spec, small, {.chunk = 16});
  EXPECT_EQ(padded.wanted_length, 1000);
  EXPECT_EQ(padded.sequence->max_length(), 496);
  // wanted_length is empty if nothing was cut.
  const OpenedModel asked = OpenSpec(spec, small, {.max_length = 100});
  EXPECT_EQ(asked.wanted_length, std::nullopt);
  EXPECT_EQ(asked.sequence->max_length(), 100);
  EXPECT_THAT(ErrorOf([&] { OpenSpec(spec, small, {.max_length = 600}); }),
              HasSubstr("choose a maximum length of 256 or less"));
  EXPECT_THAT(ErrorOf([&] { OpenSpec(spec, small, {.max_length = 1001}); }),
              HasSubstr("maximum length: got 1001, want 1 to 1000"));
}

TEST(Open, TakesTheLengthThatIsWanted) {
  ModelSpec spec = Small(48);
  spec.search = R"("do_sample": false, "max_length": 40)";
  const OpenedModel opened = OpenSpec(spec, SharedDevice());
  EXPECT_EQ(opened.wanted_length, std::nullopt);
  EXPECT_EQ(opened.sequence->max_length(), 40);
  model::GenaiConfig config = opened.model->config();
  EXPECT_EQ(WantedLength(config, std::nullopt), 40);
  EXPECT_EQ(WantedLength(config, 48), 48);
  EXPECT_THROW(WantedLength(config, 49), Error);
  EXPECT_THROW(WantedLength(config, 0), Error);
  config.search.max_length = 100;
  EXPECT_EQ(WantedLength(config, std::nullopt), 48) << "no more than the context";
  config.search.max_length = 0;
  EXPECT_EQ(WantedLength(config, std::nullopt), 48);
}

// Returns the variants of the dispatches of the program of one token.
std::vector<std::string> VariantsOf(const OpenedModel& opened) {
  ProgramSet& programs = opened.model->programs();
  std::vector<std::string> variants;
  const auto step = programs.GetDecode(opened.sequence->cache()->capacity(), {}, 1);
  for (const compile::Dispatch& dispatch : step->program->lowered().dispatches)
    variants.push_back(dispatch.plan.variant);
  return variants;
}

TEST(Open, TakesThePlansThatAreWanted) {
  const support::TempFolder cache;
  const auto device = support::OpenDevice({.cache_dir = cache.path()});
  const ModelSpec spec = Small(24);
  OpenOptions options;
  // Only the attention of a token is left to measure.
  options.model.variants = {{"matmul_nbits", "tile"}};
  const auto open = [&](Plans plans) {
    options.plans = plans;
    return OpenSpec(spec, device, options);
  };
  // Nothing is known yet.
  EXPECT_EQ(open(Plans::kKnown).model->plans().size(), 0u);

  options.measuring = [](double share) {
    if (share > 0) throw Error("test", "enough");
  };
  EXPECT_THAT(ErrorOf([&] { open(Plans::kMeasure); }), HasSubstr("enough"));
  std::vector<double> shares;
  options.measuring = [&](double share) { shares.push_back(share); };
  std::vector<std::string> measured;
  {
    const OpenedModel opened = open(Plans::kMeasure);
    EXPECT_GT(opened.model->plans().size(), 0u);
    ASSERT_FALSE(shares.empty());
    EXPECT_EQ(shares.back(), 1);
    measured = VariantsOf(opened);
  }

  // Store a choice other than the best guess, as if it had been measured.
  shares.clear();
  std::vector<std::string> guessed;
  {
    const OpenedModel opened = open(Plans::kGuess);
    EXPECT_EQ(opened.model->plans().size(), 0u);
    guessed = VariantsOf(opened);
  }
  const OpenedModel known = open(Plans::kKnown);
  EXPECT_EQ(VariantsOf(known), measured);
  for (const run::PlanRecord& record : known.model->plans().records())
    EXPECT_TRUE(record.from_disk);
  const auto step = known.model->programs().GetDecode(known.sequence->cache()->capacity(), {}, 1);
  bool kept = false;
  for (const compile::Dispatch& dispatch : step->program->lowered().dispatches) {
    if (!dispatch.alternatives) continue;
    for (const compile::Alternative& other : dispatch.alternatives()) {
      if (other.is_guess || kept) continue;
      known.model->plans().Keep({.guess = dispatch.kind, .variant = other.variant},
                                run::IdentityOf(dispatch, other.plan).source);
      kept = true;
    }
  }
  ASSERT_TRUE(kept);
  EXPECT_NE(VariantsOf(open(Plans::kKnown)), guessed);
  EXPECT_EQ(VariantsOf(open(Plans::kGuess)), guessed);
  EXPECT_TRUE(shares.empty()) << "only kMeasure measures";
  EXPECT_EQ(VariantsOf(open(Plans::kMeasure)), VariantsOf(open(Plans::kKnown)))
      << "what is known is not measured again";
}

TEST(Open, LetsGoOfTheCallbackOfTheLoad) {
  OpenOptions options;
  int calls = 0;
  options.model.progress = [&](uint64_t, uint64_t) { ++calls; };
  const OpenedModel opened = OpenSpec(Small(48), SharedDevice(), options);
  EXPECT_GT(calls, 0);
  const int before = calls;
  opened.sequence->Append(support::RandomTokens(20, 1));
  EXPECT_EQ(calls, before);
}

}  // namespace
}  // namespace sinter::engine
