// Interface between the lowering of one node and the program that is being built. Internal to
// src/compile.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/caps.h"
#include "compile/dispatch.h"
#include "compile/lowering.h"
#include "compile/tuning.h"
#include "graph/graph.h"

namespace sinter::compile {

class LowerContext {
 public:
  LowerContext(const graph::Graph& graph, const Caps& caps, const ExternalPlaces& places,
               const LowerOptions& options);

  // Makes `node`, the graph's node number `index`, the current node.
  void Begin(const graph::Node& node, size_t index);
  // Adds buffers for the graph's outputs without elements, which no dispatch writes.
  void AddEmptyOutputs(const graph::Graph& graph);
  Lowered Take() { return std::move(lowered_); }

  const Caps& caps() const { return caps_; }
  const graph::Node& node() const { return *node_; }

  bool has(size_t input) const { return node_->input(input) != nullptr; }
  bool wants(size_t output) const;
  DType dtype(size_t input) const { return node_->input(input)->dtype; }
  graph::Shape shape(size_t input) const { return node_->input(input)->shape(); }
  graph::Shape output_shape(size_t output) const { return node_->output(output)->shape(); }
  DType output_dtype(size_t output) const { return node_->output(output)->dtype; }

  // Return the buffer of an input and of an output; an empty reference if it is absent. On the GPU
  // int64 has 32 bits: In throws Error that names the node for a constant with an element beyond,
  // and InSaturated takes the nearest number of 32 bits for it.
  BufferRef In(size_t input);
  BufferRef InSaturated(size_t input);
  BufferRef Out(size_t output);
  // Least and largest element of an input that is a constant of int64 and has elements.
  struct Bounds {
    int64_t least, largest;
  };
  std::optional<Bounds> Int64Bounds(size_t input) const;
  // Returns the buffer of an input in the bytes of the file, whatever its type: packed weights and
  // packed zero points.
  BufferRef InRaw(size_t input);
  // Returns a buffer with several constants of one type, concatenated; an empty reference if they
  // are absent. If `unit` is above 0, the `rows` rows of all constants together are interleaved in
  // units of that many elements (InJoinedRaw: bytes). Throws Error that names the node if one of
  // them is not a constant.
  BufferRef InJoined(std::span<const size_t> inputs, uint64_t rows = 1, uint64_t unit = 0);
  BufferRef InJoinedRaw(std::span<const size_t> inputs, uint64_t rows = 1, uint64_t unit = 0);
  // Returns whether the input is absent, or a constant that only quantized products read, so that
  // its rows can be stored in the order that is best for products.
  bool IsOfProductsOnly(size_t input) const;
  // Returns rows [begin, begin + count) of `row_bytes` each.
  static BufferRef Rows(BufferRef ref, uint64_t begin, uint64_t count, uint64_t row_bytes);
  // Returns the buffer of a constant that the graph does not have.
  BufferRef Constant(graph::Tensor tensor, std::string_view what);
  // Adds a buffer that lives from the node's first dispatch that names it to the last one.
  BufferRef Scratch(uint64_t bytes, std::string_view what);

  // Returns scratch of `words` u32 (KernelPlan::scratch_words). Its counters are zero before the
  // program's first run, and each kernel that uses them must leave them at zero. All nodes of a
  // program share one buffer, so dispatches that bind it run one after the other.
  BufferRef Counters(uint64_t words);

  // Returns the number of pages of a sequence; 0 if KV caches are not in pages.
  uint32_t page_entries() const { return options_.page_entries; }
  // Keeps a past of the node, a GroupQueryAttention, and the present that it becomes in pages: its
  // memory has the size of one element of the batch. Does nothing if caches are not in pages.
  // Throws Error if the past is no graph input of whole pages, or if other operators, which cannot
  // find its rows, read either.
  void InPages(size_t past, size_t present);
  // Returns the page table; an empty reference if KV caches are not in pages.
  BufferRef PageTable(uint32_t batch);

  // Returns the word in which dispatches of int64 note results beyond 32 bits, and the number that
  // the current node puts there.
  BufferRef Faults();
  uint32_t fault_word() const { return static_cast<uint32_t>(index_) + 1; }

  // Returns the forced variant of a kernel, or "".
  std::string_view variant(std::string_view kernel) const;

  // Picks one of a kernel's plans: the forced one, the chosen one or the guess.
  TunedPlan Tune(const kernels::Tunable& tunable) const {
    return compile::Tune(tunable, options_.variants, options_.choices);
  }

  // Appends a dispatch without the operands that are absent. The returned reference is valid until
  // the next dispatch is appended.
  Dispatch& Emit(TunedPlan plan, std::vector<Operand> operands);
  Dispatch& Emit(kernels::KernelPlan plan, std::vector<Operand> operands) {
    return Emit(TunedPlan{.plan = std::move(plan)}, std::move(operands));
  }

  // Makes the output another name of the input's memory. This takes no dispatch, unless the output
  // has memory of its own (a graph output): then the input is copied.
  void Alias(size_t output, size_t input);
  // Makes the output the same buffer as the input, which the node changes in place. Throws Error if
  // the caller bound the two to different memory.
  void InPlace(size_t output, size_t input);

  // Returns the elements of a constant input, or nothing if it is absent. Throws Error that names
  // the node if the input is not a constant.
  std::vector<int64_t> ConstantInts(size_t input) const;

 private:
  int BufferOf(const graph::Value* value);
  int AddBuffer(BufferInfo info);
  // Returns the buffer of constants. Values that view the same bytes (tied or reshaped weights)
  // share one.
  int WeightBuffer(std::vector<graph::Tensor> tensors, const WeightForm& form,
                   std::string_view name);
  BufferRef Joined(std::span<const size_t> inputs, DType device_dtype, uint64_t rows,
                   uint64_t unit);
  std::vector<graph::Tensor> Constants(std::span<const size_t> inputs) const;
  uint64_t DeviceBytes(const graph::Value* value) const;

  const Caps& caps_;
  const ExternalPlaces& places_;
  const LowerOptions& options_;
  const graph::Node* node_ = nullptr;
  size_t index_ = 0;
  Lowered lowered_;
  std::map<const graph::Value*, int> buffer_of_;
  std::map<WeightKey, int> weight_of_;
  // First bytes of the constants that nodes other than quantized products read.
  std::set<const std::byte*> read_by_others_;
  // Buffers by place: externals at the same place are one buffer.
  std::map<ExternalPlace, int> buffer_at_;
};

// Returns whether variants of the kernel can be forced.
bool IsKernel(std::string_view name);

}  // namespace sinter::compile
