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
  // Replays the commands recorded at build time. If false, binds and records every dispatch again,
  // as a check on the recording.
  bool capture = true;
};

// Time of one dispatch.
struct DispatchTime {
  std::string label;    // operator and node
  std::string variant;  // kernel
  double nanoseconds = 0;
  double begin_nanoseconds = 0;  // on the GPU's clock
  // Bytes moved and operations computed (work.h); 0 if not known.
  double bytes = 0, flops = 0;
};

// Memory of graph inputs and outputs, by name.
using Externals = std::map<std::string, gpu::BufferRange>;

// Returns the places of the externals in the form that Lower() takes.
compile::ExternalPlaces PlacesOf(const Externals& externals);

// A CompiledProgram bound to the memory of its inputs and outputs, with its commands recorded.
class Program {
 public:
  // Binds `compiled` to memory. `externals` has the memory of every graph input and output. Two
  // names may have the same memory if the graph updates it in place. Outputs missing from it get
  // memory of their own. Throws Error if an external buffer is missing or too small.
  Program(std::shared_ptr<const CompiledProgram> compiled, Externals externals);
  // Lowers, compiles and binds `graph`, whose shapes are all numbers. Also throws Error if the
  // graph cannot be lowered.
  Program(const std::shared_ptr<gpu::Device>& device, WeightStore& weights,
          const graph::Graph& graph, const Externals& externals,
          const compile::LowerOptions& options = {});

  const std::shared_ptr<const CompiledProgram>& compiled() const { return compiled_; }
  const compile::Lowered& lowered() const { return compiled_->lowered(); }
  bool has_chains() const { return compiled_->has_chains(); }
  size_t num_dispatches() const { return lowered().dispatches.size(); }

  // Queues one run. If the program computes int64 that may need more than 32 bits, also waits and
  // calls CheckRange.
  void Run(const RunOptions& options = {});
  // Returns the list that Run replays, so that it can be joined with other commands.
  const gpu::CommandList& captured() const { return *captured_; }
  // Returns the list that Run replays, recorded again with every dispatch bound again.
  gpu::CommandList Record() const;
  // Runs once with a timestamp around every dispatch, and waits.
  std::vector<DispatchTime> Profile();

  // Records the dispatches `which` (of one operator and shape) with another plan, for measuring.
  // Their intermediate results all go to the same buffers, so that each dispatch waits for the one
  // before, as in a run. The results are meaningless.
  struct Recorded {
    gpu::CommandList list;
    gpu::Buffer rows;  // memory of their own in which chains exchange rows
  };
  Recorded RecordWith(const compile::Alternative& alternative, std::span<const size_t> which) const;

  // Waits, and throws Error if workgroups of a dispatch waited in vain for others that made no
  // progress. The program's results since then are wrong. Only programs with chains have such
  // dispatches.
  void CheckProgress() const;
  // Waits, and throws Error that names the node if a result of int64 did not fit the 32 bits that
  // integers have on the GPU. Does nothing if the program has no such results.
  void CheckRange() const;
  // Waits, and returns whether CheckProgress would throw.
  bool IsStuck() const { return IsStuck(compiled_->rows()); }
  // Waits, and returns the same for a list recorded with `rows` of its own.
  bool IsStuck(const gpu::Buffer& rows) const;

  // Returns the buffer of a graph input or output.
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
