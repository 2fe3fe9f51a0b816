// Fuzz target: any bytes as the body of a graph's text must give an Error, or a graph that is
// specialized, rewritten, lowered for two adapters and given a memory plan.
//
// Seeds: seeds/*.graph.
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/caps.h"
#include "base/error.h"
#include "compile/lowering.h"
#include "compile/memory_plan.h"
#include "graph/text.h"
#include "graph/verify.h"
#include "passes/pipeline.h"
#include "passes/specialize.h"

namespace {

using namespace sinter;  // NOLINT: a program of one screen

constexpr std::string_view kHead =
    "graph g { opset ai.onnx 23 opset com.microsoft 1 opset sinter 1\n";
// Value of every symbolic dimension.
constexpr int64_t kDim = 4;

// The seeds' caches, which are updated in place.
const compile::ExternalPlaces kPlaces = {{"pk", {0}}, {"key", {0}}, {"pv", {1}}, {"value", {1}}};

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

passes::DimBinding BindSymbols(const graph::Graph& graph) {
  passes::DimBinding dims;
  for (const graph::Value* input : graph.inputs()) {
    if (!input->dims) continue;
    for (const graph::Dim& dim : *input->dims) {
      if (!dim.symbol.empty()) dims[dim.symbol] = kDim;
    }
  }
  return dims;
}

// The names that decoders have, and any output as a result.
passes::StepRoles RolesOf(const graph::Graph& graph, bool exact) {
  passes::StepRoles roles = {.input_ids = "input_ids",
                             .attention_mask = "attention_mask",
                             .position_ids = "position_ids",
                             .caches = {"pk", "pv"},
                             .logits = "logits",
                             .exact = exact};
  for (const graph::Value* output : graph.outputs()) roles.results.insert(output->name());
  return roles;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string text(kHead);
  text.append(reinterpret_cast<const char*>(data), size).append("\n}");
  try {
    const std::unique_ptr<graph::Graph> model = graph::Parse(text);
    graph::Verify(*model);
    passes::RunPasses(*model, passes::Stage::kModel, {});
    const std::unique_ptr<graph::Graph> program = passes::Specialize(*model, BindSymbols(*model));
    passes::RunPasses(*program, passes::Stage::kProgram, {});
    for (const bool exact : {false, true}) {
      try {
        const passes::StepRoles roles = RolesOf(*model, exact);
        passes::Specialize(*model, BindSymbols(*model), {}, &roles);
      } catch (const Error&) {
        // Few texts are a decoder whose results are proved.
      }
    }
    for (const Caps& caps : {Caps{}, LargeCaps()}) {
      for (const bool chain : {false, true}) {
        compile::PlanMemory(compile::Lower(*program, caps, kPlaces, {.chain = chain}));
      }
    }
  } catch (const Error&) {
    // An Error is the right result for a text that is not a valid graph.
  }
  return 0;
}
