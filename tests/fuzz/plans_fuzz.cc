// Fuzz target: any bytes as a file of measured plans must give plans that survive being written and
// read again, and with which a program can be lowered, whatever variants they name.
//
// Seeds: seeds/plans.json.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/caps.h"
#include "compile/lowering.h"
#include "compile/memory_plan.h"
#include "compile/plan_file.h"
#include "fuzz/require.h"
#include "graph/text.h"
#include "passes/specialize.h"

namespace {

using namespace sinter;  // NOLINT: a program of one screen

constexpr char kProduct[] = R"(graph g {
  opset com.microsoft 1
  input %x: f32[1, 64]
  const %b: u8[64, 2, 16] = zeros
  const %s: f32[128] = zeros
  %y = com.microsoft::MatMulNBits (%x, %b, %s) {K = 64, N = 64, bits = 4, block_size = 32}
  return %y
})";

Caps SomeCaps() {
  Caps caps;
  caps.subgroups = true;
  caps.subgroup_min_size = caps.subgroup_max_size = 32;
  return caps;
}

bool Same(const compile::StoredPlans& a, const compile::StoredPlans& b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](const auto& one, const auto& other) {
           const compile::StoredPlan &x = one.second, &y = other.second;
           return one.first == other.first && x.variant == y.variant && x.source == y.source &&
                  x.microseconds == y.microseconds &&
                  x.guess_microseconds == y.guess_microseconds && x.alternatives == y.alternatives;
         });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::unique_ptr<graph::Graph> graph =
      passes::Specialize(*graph::Parse(kProduct), {});
  static const Caps caps = SomeCaps();
  static const compile::Lowered guessed = compile::Lower(*graph, caps, {});
  const compile::StoredPlans plans =
      compile::ParsePlans({reinterpret_cast<const char*>(data), size}, "GPU");
  Require(Same(compile::ParsePlans(compile::PlansText(plans, "GPU"), "GPU"), plans),
          "the plans changed in a round trip");
  compile::Choices choices;
  for (const auto& [kind, plan] : plans) {
    choices[kind] = plan.variant;
    for (const compile::Dispatch& dispatch : guessed.dispatches)
      choices[dispatch.kind] = plan.variant;
  }
  if (!choices.empty()) compile::PlanMemory(compile::Lower(*graph, caps, {}, {.choices = choices}));
  return 0;
}
