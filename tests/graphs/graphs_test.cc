// Random graphs of fixed seeds: the GPU, with and without rewrites, against the interpreter in
// double. `make fuzz-graphs` runs other seeds, and ONNX Runtime's CPU provider beside them.
#include <gmock/gmock.h>

#include "graph/text.h"
#include "graphs/devices.h"
#include "graphs/harness.h"
#include "graphs/random_graph.h"

namespace sinter::graphs {
namespace {

constexpr uint64_t kSeeds = 200;

TEST(Graphs, GiveTheSameOnTheGpuAndTheInterpreter) {
  Harness harness(nullptr);
  Devices devices;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const RandomGraph random = MakeRandomGraph(seed);
    harness.set_device(devices.Get(FormIndex(seed)));
    const std::optional<Failure> failure = harness.Check(random);
    EXPECT_FALSE(failure) << "seed " << seed << " on the device " << FormOf(FormIndex(seed)).name
                          << ": " << failure->text << "\n"
                          << graph::Print(*random.graph);
  }
  // Enough of each kind is among the seeds.
  const Totals& totals = harness.totals();
  EXPECT_GT(totals.faults, 5);
  EXPECT_GT(totals.rewritten, 20);
  EXPECT_GT(totals.operators.size(), 50);
  for (const auto& [reason, count] : totals.skipped)
    EXPECT_LT(count, static_cast<int64_t>(kSeeds / 10)) << reason;
}

}  // namespace
}  // namespace sinter::graphs
