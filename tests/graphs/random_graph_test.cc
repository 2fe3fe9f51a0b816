// The generator of random graphs, and what needs no GPU on its graphs: reading, rewrites, lowering
// for several adapters, memory plans.
#include "graphs/random_graph.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>

#include <set>

#include "base/error.h"
#include "compile/lowering.h"
#include "compile/memory_plan.h"
#include "graph/ops.h"
#include "graph/text.h"
#include "graph/verify.h"
#include "onnx/reader.h"
#include "onnx/writer.h"
#include "passes/pipeline.h"

namespace sinter::graphs {
namespace {

// Other seeds than those that run on a GPU.
constexpr uint64_t kFirstSeed = 1000, kSeeds = 400;

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

// An adapter with f16, subgroups and packed dot products; the default Caps have none of these.
Caps LargeCaps() {
  Caps caps;
  caps.f16 = caps.subgroups = caps.packed_dot_product = true;
  caps.subgroup_min_size = caps.subgroup_max_size = 32;
  caps.limits.max_workgroup_storage_bytes = 32 << 10;
  caps.limits.max_invocations_per_workgroup = caps.limits.max_workgroup_size_x = 1024;
  caps.limits.max_storage_buffers_per_stage = 16;
  return caps;
}

void Compile(const RandomGraph& random) {
  const std::string bytes = onnx::WriteModelBytes(*random.graph);
  const auto model = onnx::ReadModelBytes(std::as_bytes(std::span(bytes)));
  graph::Verify(*model);
  compile::ExternalPlaces places;
  for (const auto& [output, input] : random.in_place) {
    const int memory = static_cast<int>(places.size());
    places[output] = places[input] = {memory, 0};
  }
  const auto program = passes::Specialize(*model, random.dims);
  interpret::Interpret(*program, random.inputs);
  for (const passes::Fusion fusion : {passes::Fusion::kNone, passes::Fusion::kLayer}) {
    const auto rewritten = program->Clone();
    passes::RunPasses(*rewritten, passes::Stage::kProgram, {.fusion = fusion});
    interpret::Interpret(*rewritten, random.inputs);
    for (const Caps& caps : {Caps{}, LargeCaps()})
      compile::PlanMemory(compile::Lower(*rewritten, caps, places));
  }
}

TEST(RandomGraphs, CompileOrAreRefused) {
  int faults = 0;
  for (uint64_t seed = kFirstSeed; seed < kFirstSeed + kSeeds; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    const RandomGraph random = MakeRandomGraph(seed);
    if (random.fault.empty() && !random.may_be_refused) {
      EXPECT_NO_THROW(Compile(random));
      continue;
    }
    faults += random.fault.empty() ? 0 : 1;
    try {
      Compile(random);
      EXPECT_EQ(random.fault, "") << "must be refused";
    } catch (const Error&) {
      // An Error is what these graphs ask for; any other exception fails the test.
    }
  }
  EXPECT_GT(faults, 10);
}

}  // namespace
}  // namespace sinter::graphs
