// Random graphs of fixed seeds: the GPU, with and without rewrites, against the interpreter in
// double. `make fuzz-graphs` runs other seeds, and ONNX Runtime's CPU provider beside them.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>

#include <set>

#include "graph/ops.h"
#include "graph/text.h"
#include "graphs/devices.h"
#include "graphs/harness.h"
#include "graphs/random_graph.h"

namespace sinter::graphs {
namespace {

constexpr uint64_t kSeeds = 200;

std::string FullName(std::string_view domain, std::string_view name) {
  return fmt::format("{}::{}", domain, name);
}

TEST(RandomGraphs, CoverEveryOperatorOfTheTable) {
  std::set<std::string> table, covered;
  for (const graph::OpSpec* spec : graph::AllOps())
    table.insert(FullName(spec->domain, spec->name));
  for (const std::string& name : GeneratedOperators()) covered.insert(name);
  for (const OmittedOperator& operation : OmittedOperators()) {
    EXPECT_FALSE(operation.reason.empty());
    covered.insert(FullName(operation.domain, operation.name));
  }
  EXPECT_EQ(table, covered) << "each operator needs a maker in tests/graphs, or a reason";
}

TEST(RandomGraphs, AreTheSameForASeed) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    EXPECT_EQ(graph::Print(*MakeRandomGraph(seed).graph),
              graph::Print(*MakeRandomGraph(seed).graph));
  }
}

TEST(RandomGraphs, GiveTheSameOnTheGpuAndTheInterpreter) {
  Harness harness(nullptr);
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const RandomGraph random = MakeRandomGraph(seed);
    harness.set_device(DeviceOf(FormIndex(seed)));
    const std::optional<Failure> failure = harness.Check(random);
    EXPECT_FALSE(failure) << "seed " << seed << " on the device " << FormOf(FormIndex(seed)).name
                          << ": " << failure->text << "\n"
                          << graph::Print(*random.graph);
  }
  const Totals& totals = harness.totals();
  EXPECT_GT(totals.faults, 5);
  EXPECT_GT(totals.rewritten, 20);
}

}  // namespace
}  // namespace sinter::graphs
