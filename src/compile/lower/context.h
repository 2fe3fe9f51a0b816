// What the lowering of one node sees and does. Internal to src/compile.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/caps.h"
#include "compile/dispatch.h"
#include "compile/tuning.h"
#include "graph/graph.h"

namespace sinter::compile {

class LowerContext {
 public:
  LowerContext(const graph::Graph& graph, const Caps& caps, const ExternalPlaces& places,
               const ForcedVariants& variants, const Choices& choices);

  // Turns to a node, the one at `index` of the graph's.
  void Begin(const graph::Node& node, size_t index);
  Lowered Take() { return std::move(lowered_); }

  const Caps& caps() const { return caps_; }
  const graph::Node& node() const { return *node_; }

  bool has(size_t input) const { return node_->input(input) != nullptr; }
  bool wants(size_t output) const;
  DType dtype(size_t input) const { return node_->input(input)->dtype; }
  graph::Shape shape(size_t input) const { return node_->input(input)->shape(); }
  graph::Shape output_shape(size_t output) const { return node_->output(output)->shape(); }
  DType output_dtype(size_t output) const { return node_->output(output)->dtype; }

  // The buffer of an input, resp. output; an empty ref where it is absent.
  BufferRef In(size_t input);
  BufferRef Out(size_t output);
  // An input as it lies in the file, whatever its type: packed weights and packed zero points.
  BufferRef InRaw(size_t input);
  // Several constants of one type, one behind the other in one buffer; an empty ref where they are
  // absent. With a `unit` of so many elements (of the latter bytes) above 0, `rows` rows in all lie
  // interleaved by such units. Throws Error naming the node where one is known only at run time.
  BufferRef InJoined(std::span<const size_t> inputs, uint64_t rows = 1, uint64_t unit = 0);
  BufferRef InJoinedRaw(std::span<const size_t> inputs, uint64_t rows = 1, uint64_t unit = 0);
  // Whether an input is a constant that only quantized products read, so that its rows may lie as
  // those like best; also where it is absent.
  bool IsOfProductsOnly(size_t input) const;
  // Rows [begin, begin + count) of `row_bytes` each.
  static BufferRef Rows(BufferRef ref, uint64_t begin, uint64_t count, uint64_t row_bytes);
  // Memory that lives from this node's first to its last dispatch that names it.
  BufferRef Scratch(uint64_t bytes, std::string_view what);

  // A scratch of `words` u32 (KernelPlan::scratch_words), whose counters are zero before the
  // program's first run; that they are so again whenever a dispatch of it ends is the duty of each
  // kernel that takes them. One buffer a program, which all its nodes share: dispatches that bind
  // it run one after the other.
  BufferRef Counters(uint64_t words);

  // The forced variant of a kernel, or "".
  std::string_view variant(std::string_view kernel) const;

  // The forced, chosen or guessed one of a kernel's plans.
  TunedPlan Tune(const kernels::Tunable& tunable) const {
    return compile::Tune(tunable, variants_, choices_);
  }

  // Appends a dispatch, without the operands that are absent. The reference is good until the next
  // one.
  Dispatch& Emit(TunedPlan plan, std::vector<Operand> operands);
  Dispatch& Emit(kernels::KernelPlan plan, std::vector<Operand> operands) {
    return Emit(TunedPlan{.plan = std::move(plan)}, std::move(operands));
  }

  // Makes the output another name of the input's memory: no dispatch, unless the output has memory
  // of its own to go to (a graph output), where it is copied.
  void Alias(size_t output, size_t input);
  // Makes the output the very buffer of the input, which the node changes in place. Throws Error
  // where the two are bound to different memory from outside.
  void InPlace(size_t output, size_t input);

  // The constant elements of an input. Throws Error naming the node where they are not known before
  // running.
  std::vector<int64_t> ConstantInts(size_t input) const;

 private:
  int BufferOf(const graph::Value* value);
  int AddBuffer(BufferInfo info);
  // The buffer of constants, one for whatever views the same bytes (tied weights, reshaped ones).
  int WeightBuffer(std::vector<graph::Tensor> tensors, const WeightForm& form,
                   std::string_view name);
  BufferRef Joined(std::span<const size_t> inputs, DType device_dtype, uint64_t rows,
                   uint64_t unit);
  std::vector<graph::Tensor> Constants(std::span<const size_t> inputs) const;
  uint64_t DeviceBytes(const graph::Value* value) const;

  const Caps& caps_;
  const ExternalPlaces& places_;
  const ForcedVariants& variants_;
  const Choices& choices_;
  const graph::Node* node_ = nullptr;
  size_t index_ = 0;
  Lowered lowered_;
  std::map<const graph::Value*, int> buffer_of_;
  std::map<WeightKey, int> weight_of_;
  // Bytes of constants that other nodes than quantized products read.
  std::set<const std::byte*> read_by_others_;
  // Equal places are one buffer.
  std::map<ExternalPlace, int> buffer_at_;
};

// Whether variants of a kernel can be forced: whether a lowering asks for them.
bool IsKernel(std::string_view name);
// "binary, cast, ...": all of them.
std::string KernelNames();

}  // namespace sinter::compile
