// Tests opening a model folder: lengths that fit the adapter, and the plans that are taken.

#include "engine/open.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/memory_estimate.h"
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
  EXPECT_EQ(cut.limit, LengthLimit::kBinding);
  EXPECT_EQ(cut.sequence->max_length(), 256);
  EXPECT_LE(cut.sequence->cache()->capacity() * 128, 64 << 10);
  const OpenedModel padded = OpenSpec(spec, small, {.chunk = 16});
  EXPECT_EQ(padded.limit, LengthLimit::kBinding);
  EXPECT_EQ(padded.sequence->max_length(), 496);
  const OpenedModel asked = OpenSpec(spec, small, {.max_length = 100});
  EXPECT_EQ(asked.limit, LengthLimit::kNone);
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
  EXPECT_EQ(opened.limit, LengthLimit::kConfig);
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
  config.context_length = 131072;
  EXPECT_EQ(WantedLength(config, std::nullopt), kDefaultLength);
  EXPECT_EQ(WantedLength(config, std::nullopt, 100), kDefaultLength);
  EXPECT_EQ(WantedLength(config, std::nullopt, 20000), 20000) << "what is known to come";
  EXPECT_EQ(WantedLength(config, std::nullopt, 200000), 131072);
  EXPECT_EQ(WantedLength(config, 131072), 131072);
  EXPECT_EQ(WantedLength(config, 100, 20000), 100);
  config.search.max_length = 4096;
  EXPECT_EQ(WantedLength(config, std::nullopt, 20000), 4096);
}

// Returns the estimate for a sequence of that length.
model::MemoryEstimate EstimateFor(const OpenedModel& opened, int64_t length) {
  const Model& model = *opened.model;
  return model::EstimateMemory(model.graph(), model.config(), model.run_form(),
                               model.device()->caps(), {.max_length = length});
}

// Sizes beside which the 32 MiB of staging buffers are small: a row of the cache has 256 bytes.
constexpr int64_t kLongContext = 1 << 19, kLong = 1 << 18;

TEST(Open, TakesTheMemoryThatIsThere) {
  const ModelSpec spec = Small(kLongContext);
  const OpenedModel roomy = OpenSpec(spec, SharedDevice());
  EXPECT_EQ(roomy.limit, LengthLimit::kDefault);
  EXPECT_EQ(roomy.sequence->max_length(), kDefaultLength);
  const model::MemoryEstimate wanted = EstimateFor(roomy, kLong);
  EXPECT_EQ(EstimateFor(roomy, kDefaultLength).cache, roomy.sequence->cache_bytes());
  EXPECT_EQ(wanted.weights, roomy.model->weights().bytes());

  // The known memory has room for weights, workspace and half of the cache, beside what is kept
  // free.
  const uint64_t half = (wanted.total() - wanted.cache / 2) * 8 / 7;
  const auto small = support::OpenDevice({.memory_bytes = half});
  EXPECT_EQ(small->MemoryLeft(), half);
  OpenOptions options;
  options.expected_length = kLong;
  {
    const OpenedModel cut = OpenSpec(spec, small, options);
    EXPECT_EQ(cut.limit, LengthLimit::kMemory);
    EXPECT_EQ(cut.sequence->max_length() % 256, 0);
    EXPECT_GE(cut.sequence->max_length(), kLong / 2 - 512);
    EXPECT_LE(cut.sequence->max_length(), kLong / 2);
    EXPECT_EQ(small->MemoryLeft(), half - small->allocated_bytes());
    cut.sequence->Append(support::RandomTokens(600, 1));
    cut.sequence->Wait();
  }

  // A length that was asked for is taken as it is, or is an error that says what fits.
  EXPECT_EQ(OpenSpec(spec, small, {.max_length = 1000}).sequence->max_length(), 1000);
  const std::string error = ErrorOf([&] { OpenSpec(spec, small, {.max_length = kLong}); });
  EXPECT_THAT(error, HasSubstr("[model] memory of "));
  EXPECT_THAT(error, HasSubstr(" free, want "));
  EXPECT_THAT(error, HasSubstr("for a maximum length of 262144: weights "));
  EXPECT_THAT(error, HasSubstr("; a maximum length of 1"));
  EXPECT_THAT(error, HasSubstr(" fits"));

  // Nothing fits.
  const auto tiny = support::OpenDevice({.memory_bytes = wanted.weights});
  EXPECT_THAT(ErrorOf([&] { OpenSpec(spec, tiny); }),
              HasSubstr("a smaller model, or one of fewer bits, may fit"));
}

TEST(Open, TriesLessWhereMemoryRunsOut) {
  const ModelSpec spec = Small(kLongContext);
  const model::MemoryEstimate wanted = EstimateFor(OpenSpec(spec, SharedDevice()), kLong);
  // The adapter seems to have 4 GiB, but other processes leave room for a quarter of the cache
  // only.
  constexpr uint64_t kMemory = uint64_t{4} << 30, kStaging = 8 << 20;
  const uint64_t room = wanted.total() - wanted.cache * 3 / 4 + kStaging + (6 << 20);
  const auto shared =
      support::OpenDevice({.memory_bytes = kMemory, .memory_in_use_bytes = kMemory - room});
  OpenOptions options;
  options.expected_length = kLong;
  {
    const OpenedModel opened = OpenSpec(spec, shared, options);
    EXPECT_EQ(opened.limit, LengthLimit::kMemory);
    EXPECT_EQ(opened.sequence->max_length(), kLong / 4);
    opened.sequence->Append(support::RandomTokens(600, 1));
    opened.sequence->Wait();
  }
  const std::string error = ErrorOf([&] { OpenSpec(spec, shared, {.max_length = kLong}); });
  EXPECT_THAT(error, HasSubstr("got too little free, want "));
  EXPECT_THAT(error, HasSubstr("; a maximum length of 65536 fits"));

  const auto full =
      support::OpenDevice({.memory_bytes = kMemory, .memory_in_use_bytes = kMemory - kStaging});
  EXPECT_THAT(ErrorOf([&] { OpenSpec(spec, full); }),
              HasSubstr("a smaller model, or one of fewer bits, may fit"));
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
