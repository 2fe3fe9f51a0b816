// Tests plans by measurement: what is chosen and kept, that measuring can stop after any sample,
// and that results stay the same.

#include "run/measurement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph/text.h"
#include "kernels/layer_chain/layer_chain.h"
#include "support/device.h"
#include "support/layer_graph.h"
#include "support/model_builder.h"
#include "support/product_graph.h"

namespace sinter::run {
namespace {

using support::SharedDevice;
using support::TempFolder;
using ::testing::SizeIs;

gpu::Buffer Filled(const char* name, const std::vector<std::byte>& bytes) {
  gpu::Buffer buffer = SharedDevice()->CreateBuffer(bytes.size(), name);
  SharedDevice()->Upload(buffer, 0, bytes);
  return buffer;
}

std::shared_ptr<Program> MakeProducts(WeightStore& weights, const compile::Choices& choices = {}) {
  const std::vector<float> x(32, 1.5f);
  const auto bytes = std::as_bytes(std::span(x));
  return std::make_shared<Program>(SharedDevice(), weights, *support::TwoProducts(),
                                   Externals{{"x", Filled("x", {bytes.begin(), bytes.end()})}},
                                   compile::LowerOptions{.choices = choices});
}

std::vector<std::byte> Results(Program& program) {
  program.Run();
  std::vector<std::byte> all = SharedDevice()->Download(program.external("y"), 0, 8);
  const std::vector<std::byte> z = SharedDevice()->Download(program.external("z"), 0, 8);
  all.insert(all.end(), z.begin(), z.end());
  return all;
}

// Runs all samples and returns their number. Treats the GPU as warm, to skip the warm-up.
size_t Finish(Measurement& measurement) {
  size_t samples = 0;
  for (; !measurement.done(); ++samples) {
    const size_t left = measurement.samples_left();
    EXPECT_GT(measurement.Sample(), 0);
    EXPECT_LE(measurement.samples_left(), left);
  }
  EXPECT_EQ(measurement.samples_left(), 0u);
  return samples;
}

TEST(Measurement, MeasuresOnceAndKeepsTheChoice) {
  const TempFolder folder;
  WeightStore weights(SharedDevice());
  const auto program = MakeProducts(weights);
  const std::vector<std::byte> expected = Results(*program);

  PlanBook book(SharedDevice()->adapter(), folder.path());
  EXPECT_GT(ShadersToMeasure(book, program->lowered()).size(), 1u);
  Measurement measurement(book, 2, /*warm=*/true);
  measurement.AddKinds(program);
  const size_t most = measurement.samples_left();
  EXPECT_LE(Finish(measurement), most);
  ASSERT_THAT(book.records(), SizeIs(1)) << "two dispatches of one kind";
  const PlanRecord record = book.records()[0];
  EXPECT_GT(record.alternatives, 1u);
  EXPECT_GT(record.microseconds, 0);
  EXPECT_GE(record.guess_microseconds, record.microseconds);
  EXPECT_FALSE(record.from_disk);
  EXPECT_THAT(ShadersToMeasure(book, program->lowered()), SizeIs(0));
  measurement.AddKinds(program);
  EXPECT_TRUE(measurement.done()) << "nothing is new";
  // Measuring leaves the program as it was.
  EXPECT_EQ(Results(*program), expected);

  PlanBook again(SharedDevice()->adapter(), folder.path());
  const auto chosen = MakeProducts(weights, again.choices());
  EXPECT_FALSE(again.DropStale(chosen->lowered(), again.choices()));
  ASSERT_THAT(again.records(), SizeIs(1));
  EXPECT_TRUE(again.records()[0].from_disk);
  EXPECT_EQ(again.records()[0].variant, record.variant);
  EXPECT_EQ(again.choices(), book.choices());
}

TEST(Measurement, EveryChoiceGivesTheSame) {
  WeightStore weights(SharedDevice());
  const auto program = MakeProducts(weights);
  const std::vector<std::byte> expected = Results(*program);
  const compile::Dispatch& dispatch = program->lowered().dispatches[0];
  for (const compile::Alternative& alternative : dispatch.alternatives()) {
    const auto chosen = MakeProducts(weights, {{dispatch.kind, alternative.variant}});
    EXPECT_EQ(chosen->lowered().dispatches[0].plan.variant, alternative.plan.variant);
    EXPECT_EQ(Results(*chosen), expected) << alternative.variant;
  }
}

// A caller that stops between two samples keeps the finished kinds and continues with the rest.
TEST(Measurement, StopsAfterAnySample) {
  WeightStore weights(SharedDevice());
  const auto program = MakeProducts(weights);
  PlanBook book(SharedDevice()->adapter(), {});
  {
    Measurement stopped(book, 2, /*warm=*/true);
    stopped.AddRun(program, "a run");
    stopped.AddKinds(program);
    while (book.size() == 0) stopped.Sample();
    EXPECT_FALSE(stopped.done());
    stopped.Sample();
  }
  EXPECT_EQ(book.size(), 1u);
  Measurement rest(book, 2, /*warm=*/true);
  rest.AddRun(program, "a run");
  rest.AddKinds(program);
  Finish(rest);
  EXPECT_EQ(book.size(), 2u);
  // A GPU that idled warms up before it is timed.
  Measurement cool(book, 1, /*warm=*/true);
  cool.AddRun(program, "another run");
  cool.Cool();
  EXPECT_GT(Finish(cool), 2u);
}

TEST(Measurement, KeepsTheTimeOfARun) {
  const TempFolder folder;
  WeightStore weights(SharedDevice());
  const auto program = MakeProducts(weights);
  const PlanIdentity identity = RunIdentityOf(program->lowered(), "one row");
  PlanBook book(SharedDevice()->adapter(), folder.path());
  EXPECT_EQ(book.Find(identity), std::nullopt);
  Measurement measurement(book, 2, /*warm=*/true);
  measurement.AddRun(program, "one row");
  Finish(measurement);
  const std::optional<PlanRecord> time = book.Find(identity);
  ASSERT_TRUE(time);
  EXPECT_GT(time->microseconds, 0);
  EXPECT_EQ(book.Find(RunIdentityOf(program->lowered(), "two rows")), std::nullopt);
  measurement.AddRun(program, "one row");
  EXPECT_TRUE(measurement.done()) << "it is known";

  PlanBook again(SharedDevice()->adapter(), folder.path());
  const std::optional<PlanRecord> kept = again.Find(identity);
  ASSERT_TRUE(kept);
  EXPECT_NEAR(kept->microseconds, time->microseconds, 1e-6 * time->microseconds);
  EXPECT_TRUE(kept->from_disk);
}

// One layer as two programs, with and without chains.
struct Layered {
  std::shared_ptr<Program> chained, apart;
  explicit Layered(WeightStore& weights) {
    const auto graph = graph::Parse(support::Layer("%x2, %y"));
    const Externals inputs = {{"a", Filled("a", std::vector<std::byte>(64))},
                              {"x", Filled("x", std::vector<std::byte>(128))}};
    for (const bool chain : {true, false}) {
      (chain ? chained : apart) = std::make_shared<Program>(SharedDevice(), weights, *graph, inputs,
                                                            compile::LowerOptions{.chain = chain});
    }
  }
};

TEST(Measurement, ChoosesBetweenChainsAndNone) {
  const TempFolder folder;
  WeightStore weights(SharedDevice());
  const Layered layer(weights);
  const PlanIdentity identity = ChainIdentityOf(layer.chained->lowered());
  std::optional<bool> prefers;
  {
    PlanBook book(SharedDevice()->adapter(), folder.path());
    EXPECT_EQ(book.PrefersChain(identity), std::nullopt);
    Measurement measurement(book, 2, /*warm=*/true);
    measurement.AddChain(layer.chained, layer.apart);
    Finish(measurement);
    prefers = book.PrefersChain(identity);
    ASSERT_TRUE(prefers);
    ASSERT_THAT(book.records(), SizeIs(1));
    EXPECT_EQ(book.records()[0].variant, *prefers ? "chain" : "layer");
    EXPECT_GT(book.records()[0].guess_microseconds, 0);
    measurement.AddChain(layer.chained, layer.apart);
    EXPECT_TRUE(measurement.done()) << "it is known";
  }
  PlanBook again(SharedDevice()->adapter(), folder.path());
  EXPECT_EQ(again.PrefersChain(identity), prefers);
  EXPECT_EQ(again.PrefersChain(ChainIdentityOf(layer.apart->lowered())), std::nullopt);
}

// A chain whose workgroups wait in vain is not chosen, however short its time was.
TEST(Measurement, NeverChoosesAChainThatIsStuck) {
  WeightStore weights(SharedDevice());
  const Layered layer(weights);
  const uint32_t one = 1;
  const auto get_stuck = [&] {
    SharedDevice()->Upload(layer.chained->compiled()->rows(), kernels::kChainStuckWord * 4,
                           std::as_bytes(std::span(&one, 1)));
  };
  const PlanIdentity identity = ChainIdentityOf(layer.chained->lowered());
  for (const bool at_first : {true, false}) {
    SCOPED_TRACE(at_first);
    const uint32_t none = 0;
    SharedDevice()->Upload(layer.chained->compiled()->rows(), kernels::kChainStuckWord * 4,
                           std::as_bytes(std::span(&none, 1)));
    PlanBook book(SharedDevice()->adapter(), {});
    Measurement measurement(book, 2, /*warm=*/true);
    measurement.AddChain(layer.chained, layer.apart);
    if (at_first) get_stuck();
    while (!measurement.done()) {
      measurement.Sample();
      // Get stuck just before the last sample.
      if (!at_first && measurement.samples_left() == 2) get_stuck();
    }
    EXPECT_EQ(book.PrefersChain(identity), false);
  }
}

}  // namespace
}  // namespace sinter::run
