// Graph -> dispatches: what each node becomes on this adapter. Pure: plans and buffer descriptions,
// no GPU memory.
//
// A Lowered program lists dispatches over numbered buffers. What a buffer is (a weight, a graph
// input or output, an intermediate result) decides later who makes it; memory_plan.h lets
// intermediates share memory.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/caps.h"
#include "compile/weight_form.h"
#include "graph/graph.h"
#include "kernels/group_query_attention/group_query_attention_decode.h"
#include "kernels/kernel_plan.h"
#include "kernels/layer_chain/layer_chain.h"
#include "kernels/matmul_nbits/matmul_nbits.h"

namespace sinter::compile {

// Where a graph input or output lies from outside: in which memory, by a number for each, and from
// which byte on.
struct ExternalPlace {
  int memory = -1;  // its own, which no other shares
  uint64_t offset = 0;
  auto operator<=>(const ExternalPlace&) const = default;
};
using ExternalPlaces = std::map<std::string, ExternalPlace>;  // by name

// Bytes [offset, offset + bytes) of a buffer; none where `buffer` is negative (an absent operand).
// Bytes 0: to the end. Of an external they may go on into what lies behind it in its memory.
struct BufferRef {
  int buffer = -1;
  uint64_t offset = 0, bytes = 0;
  explicit operator bool() const { return buffer >= 0; }
};

struct BufferInfo {
  // kRows: what chains (chain.h) hand their rows on by; zeros before the first run.
  enum class Kind { kIntermediate, kWeight, kExternal, kCounters, kRows };
  Kind kind = Kind::kIntermediate;
  std::string name;
  uint64_t bytes = 0;
  // kWeight: what it holds, one behind the other, and how.
  std::vector<graph::Tensor> tensors;
  WeightForm form;
  // kExternal.
  ExternalPlace place;
};

// Another plan for a dispatch, with the same result.
struct Alternative {
  // As Plan... of the kernel takes it.
  std::string variant;
  kernels::KernelPlan plan;
};

struct Dispatch {
  kernels::KernelPlan plan;
  // By binding, from 1 on.
  std::vector<BufferRef> operands;
  // Which of them the kernel writes.
  std::vector<bool> writes;
  // `MatMulNBits /model/layers.0/mlp/gate_proj`: for profiles.
  std::string label;
  // Where measuring may choose the plan: the name of the best guess, by which Choices goes, and all
  // that there is to choose from.
  std::string choice;
  std::function<std::vector<Alternative>()> alternatives;
  // Of a whole quantized product whose plan is not forced, with what stands around it: what chain.h
  // may join with others.
  std::optional<kernels::MatMulNBitsShape> product;
  // Of an attention of few rows whose plan is not forced: what may stand before such products.
  std::optional<kernels::GroupQueryAttentionDecodeShape> attention;
  // Of the lookup of a token in a table of f16: what may stand before both.
  std::optional<kernels::ChainTable> table;
  // Of a chain: the labels of the dispatches that it takes the place of.
  std::vector<std::string> parts;
  bool is_chain() const { return !parts.empty(); }
};

struct Lowered {
  std::vector<BufferInfo> buffers;
  std::vector<Dispatch> dispatches;
};

// Forced variants by kernel (the first part of a plan's variant): {"matmul_nbits", "tile"}.
using ForcedVariants = std::map<std::string, std::string, std::less<>>;

// What measuring chose (planner.h): variants by the name of the best guess.
using Choices = std::map<std::string, std::string, std::less<>>;

// What a node's lowering sees and does.
class LowerContext {
 public:
  LowerContext(const Caps& caps, const ForcedVariants& variants, const Choices& choices)
      : caps_(caps), variants_(variants), choices_(choices) {}

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

  // Appends a dispatch. `written`: the operands (from 0) that the kernel writes.
  void Emit(kernels::KernelPlan plan, std::vector<BufferRef> operands,
            std::initializer_list<size_t> written);

  // What measuring chose in place of the best guess; "" where it has not.
  std::string_view chosen(std::string_view guess) const;
  // Lets measuring choose the plan of the dispatch emitted last.
  void Offer(std::string_view guess, std::function<std::vector<Alternative>()> alternatives);
  // Lets the dispatch emitted last be joined with others.
  void OfferToChain(const kernels::MatMulNBitsShape& product);
  void OfferToChain(const kernels::GroupQueryAttentionDecodeShape& attention);
  void OfferToChain(const kernels::ChainTable& table);

  // Makes the output another name of the input's memory: no dispatch, unless the output has memory
  // of its own to go to (a graph output), where it is copied.
  void Alias(size_t output, size_t input);
  // Makes the output the very buffer of the input, which the node changes in place. Throws Error
  // where the two are bound to different memory from outside.
  void InPlace(size_t output, size_t input);

  // The constant elements of an input. Throws Error naming the node where they are not known before
  // running.
  std::vector<int64_t> ConstantInts(size_t input) const;

  Lowered Take() { return std::move(lowered_); }

 private:
  friend Lowered Lower(const graph::Graph&, const Caps&, const ExternalPlaces&,
                       const ForcedVariants&, const Choices&, bool);
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
  const ForcedVariants& variants_;
  const Choices& choices_;
  const graph::Node* node_ = nullptr;
  Lowered lowered_;
  std::map<const graph::Value*, int> buffer_of_;
  std::map<WeightKey, int> weight_of_;
  // Bytes of constants that other nodes than quantized products read.
  std::set<const std::byte*> read_by_others_;
  // Equal places are one buffer.
  const ExternalPlaces* places_ = nullptr;
  std::map<ExternalPlace, int> buffer_at_;
};

// Lowers every node of a specialized graph. `places` has at least the graph inputs and outputs that
// lie in one memory with others: in the very same bytes (a KV cache's past and present), or side by
// side (the caches of several layers). Throws Error naming the node for what the kernels do not
// have, and for a forced variant of a kernel that does not exist. `chain`: products of one row are
// joined where that can be (chain.h).
Lowered Lower(const graph::Graph& graph, const Caps& caps, const ExternalPlaces& places,
              const ForcedVariants& variants, const Choices& choices = {}, bool chain = false);

// Whether there is a lowering for the operator, so that a model can be refused at load.
bool CanLower(std::string_view domain, std::string_view op);

}  // namespace sinter::compile
