// A graph of fixed shapes, compiled for a device: the part that all its users share. program.h
// binds it to memory and runs it.
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

// Pipelines, weights and memory for intermediate results. Several Programs may be bound to one
// CompiledProgram. They may share its memory because a device runs submitted work in order.
class CompiledProgram {
 public:
  // Compiles the pipelines of `lowered`, the lowered form of `graph`, then uploads the weights that
  // `weights` lacks. Throws Error if a shader does not compile, a buffer is larger than one
  // binding, or memory runs out.
  CompiledProgram(std::shared_ptr<gpu::Device> device, WeightStore& weights,
                  const graph::Graph& graph, compile::Lowered lowered);

  const std::shared_ptr<gpu::Device>& device() const { return device_; }
  const compile::Lowered& lowered() const { return lowered_; }
  // Returns the bytes of memory for intermediate results.
  uint64_t workspace_bytes() const { return memory_.total_bytes(); }
  bool has_chains() const;
  // Returns the memory through which workgroups of the chains exchange rows; an empty buffer if
  // there are no chains.
  gpu::Buffer rows() const;
  // Returns the word of BufferInfo::Kind::kFaults; an empty buffer if no dispatch computes int64
  // that may need more than 32 bits.
  const gpu::Buffer& faults() const { return faults_; }

 private:
  friend class Program;
  void CheckBindingSizes() const;
  // Allocates zeroed memory through which workgroups of the chains exchange rows.
  gpu::Buffer MakeRows(const compile::BufferInfo& info) const;

  std::shared_ptr<gpu::Device> device_;
  compile::Lowered lowered_;
  compile::MemoryPlan memory_;
  std::set<std::string> inputs_;           // names of the graph's inputs and of the page table
  std::vector<gpu::BufferRange> buffers_;  // by number in lowered_; empty for externals
  std::vector<gpu::Pipeline> pipelines_;   // by dispatch
  gpu::Buffer faults_;
  gpu::Buffer params_;  // the dispatches' uniforms, concatenated
  std::vector<uint64_t> params_offset_;
};

// Uploads the weights of a program before it is compiled.
void UploadWeights(const compile::Lowered& lowered, WeightStore& weights);

}  // namespace sinter::run
