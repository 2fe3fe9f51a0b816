// A graph of fixed shapes, compiled for a device: what all who run it share. program.h binds it to
// memory and runs it.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "compile/lowering.h"
#include "compile/memory_plan.h"
#include "gpu/device.h"
#include "graph/graph.h"
#include "run/weight_store.h"

namespace sinter::run {

// Pipelines, weights and memory for intermediate results. Several Programs may be bound to one: a
// device runs what is submitted to it one after the other, so they may share the memory.
class CompiledProgram {
 public:
  // Compiles what `graph` was lowered to: pipelines, then weights that `weights` lacks. Throws
  // Error for a shader that does not compile, a buffer larger than one binding, or memory that runs
  // out.
  CompiledProgram(std::shared_ptr<gpu::Device> device, WeightStore& weights,
                  const graph::Graph& graph, compile::Lowered lowered);

  const std::shared_ptr<gpu::Device>& device() const { return device_; }
  const compile::Lowered& lowered() const { return lowered_; }
  // Bytes of intermediate results.
  uint64_t workspace_bytes() const { return memory_.total_bytes(); }
  bool has_chains() const;
  // Memory through which the chains hand rows on; none where there are no chains.
  gpu::Buffer rows() const;

 private:
  friend class Program;
  void CheckBindingSizes() const;
  // Memory of zeros through which chains hand rows on.
  gpu::Buffer MakeRows(const compile::BufferInfo& info) const;

  std::shared_ptr<gpu::Device> device_;
  compile::Lowered lowered_;
  compile::MemoryPlan memory_;
  std::set<std::string> inputs_;           // names of the graph's inputs
  std::vector<gpu::BufferRange> buffers_;  // by number in lowered_; empty for externals
  std::vector<gpu::Pipeline> pipelines_;   // by dispatch
  gpu::Buffer params_;                     // every dispatch's uniform, one after the other
  std::vector<uint64_t> params_offset_;
};

// Uploads the weights of a program that is not compiled yet.
void UploadWeights(const compile::Lowered& lowered, WeightStore& weights);

}  // namespace sinter::run
