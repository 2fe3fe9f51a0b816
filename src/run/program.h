// A program: a compiled graph bound to memory, recorded once and replayed.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "compile/lowering.h"
#include "gpu/device.h"
#include "graph/graph.h"
#include "run/compiled_program.h"
#include "run/weight_store.h"

namespace sinter::run {

struct RunOptions {
  // Replay what was recorded at build time. Off: bind and record every dispatch anew, as a check on
  // the recording.
  bool capture = true;
};

// Time of one dispatch.
struct DispatchTime {
  std::string label;    // operator and node
  std::string variant;  // kernel
  double nanoseconds = 0;
  double begin_nanoseconds = 0;  // on the GPU's clock
  // What it had to move and compute (work.h), where that is known.
  double bytes = 0, flops = 0;
};

// Memory of graph inputs and outputs by name.
using Externals = std::map<std::string, gpu::BufferRange>;

// Where they lie, as Lower() takes it.
compile::ExternalPlaces PlacesOf(const Externals& externals);

// A CompiledProgram bound to the memory of its inputs and outputs, recorded.
class Program {
 public:
  // Binds `compiled`. `externals` has the memory of every graph input and output; two names may
  // have the same where the graph updates it in place. Outputs that are not in it get memory of
  // their own. Throws Error for an external buffer that is missing or too small.
  Program(std::shared_ptr<const CompiledProgram> compiled, Externals externals);
  // Lowers, compiles and binds `graph`, whose shapes are all numbers. `chain`: as for Lower().
  // Throws Error, too, for what cannot be lowered.
  Program(std::shared_ptr<gpu::Device> device, WeightStore& weights, const graph::Graph& graph,
          Externals externals, const compile::ForcedVariants& variants = {},
          const compile::Choices& choices = {}, bool chain = false);

  const std::shared_ptr<const CompiledProgram>& compiled() const { return compiled_; }
  const compile::Lowered& lowered() const { return compiled_->lowered(); }
  bool has_chains() const { return compiled_->has_chains(); }
  size_t num_dispatches() const { return lowered().dispatches.size(); }

  // Queues one run.
  void Run(const RunOptions& options = {});
  // What Run replays, to be joined with other work into one list.
  const gpu::CommandList& captured() const { return *captured_; }
  // Records what Run replays anew, with every dispatch bound anew.
  gpu::CommandList Record() const;
  // Runs once with a timestamp around every dispatch, and waits.
  std::vector<DispatchTime> Profile();

  // The dispatches `which` (of one operator and shape) with another plan. Their intermediate
  // results all go to the same place, so that each waits for the one before, as in a run; they are
  // of no use. For the planner.
  struct Recorded {
    gpu::CommandList list;
    gpu::Buffer rows;  // the dispatches' own, where they are chains
  };
  Recorded RecordWith(const compile::Alternative& alternative, std::span<const size_t> which) const;

  // Waits, and throws Error where workgroups of a dispatch waited for others that did not go on:
  // what the program gave since then is wrong. Only programs with chains have such dispatches.
  void CheckProgress() const;
  // Waits, and returns whether CheckProgress would throw.
  bool IsStuck() const { return IsStuck(compiled_->rows()); }
  // Returns the same of what was recorded with rows of its own.
  bool IsStuck(const gpu::Buffer& rows) const;

  // The buffer in which a graph input or output lies.
  const gpu::Buffer& external(const std::string& name) const;

 private:
  std::vector<gpu::Binding> BindingsOf(size_t dispatch) const;
  gpu::Binding Bind(const compile::Operand& operand) const;

  std::shared_ptr<const CompiledProgram> compiled_;
  std::shared_ptr<gpu::Device> device_;
  Externals externals_;
  std::vector<gpu::BufferRange> buffers_;  // by number in lowered()
  std::optional<gpu::CommandList> captured_;
};

}  // namespace sinter::run
