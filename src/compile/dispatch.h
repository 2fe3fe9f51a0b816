// Data of a lowered program: dispatches over numbered buffers, without GPU memory. Each dispatch
// describes itself: what it binds and how it accesses it, which alternative plans there are, and
// which nodes of the graph it computes.
//
// The kind of a buffer (weight, graph input or output, intermediate result) decides later who
// allocates it. memory_plan.h lets intermediates share memory.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "compile/weight_form.h"
#include "kernels/kernel_plan.h"
#include "kernels/layer_chain/layer_chain.h"
#include "kernels/operand.h"

namespace sinter::compile {

// Place of a graph input or output in memory that the caller provides: the number of a memory, and
// the first byte in it.
struct ExternalPlace {
  int memory = -1;  // -1: a memory of its own that no other input or output shares
  uint64_t offset = 0;
  auto operator<=>(const ExternalPlace&) const = default;
};
using ExternalPlaces = std::map<std::string, ExternalPlace>;  // by name

// Bytes [offset, offset + bytes) of a buffer. A negative `buffer` means that the operand is absent.
// `bytes` 0 means up to the end of the buffer. For an external buffer the range may extend past the
// buffer into the memory that follows it.
struct BufferRef {
  int buffer = -1;
  uint64_t offset = 0, bytes = 0;
  explicit operator bool() const { return buffer >= 0; }
};

struct BufferInfo {
  // kFaults: a word that dispatches raise to the number of a node, counted from 1, whose int64
  // result does not fit 32 bits; zero before the first run. kCounters: scratch whose counters are
  // zero before the first run. kRows: the buffer through which chains (chain.h) pass rows; all zero
  // before the first run.
  enum class Kind { kIntermediate, kWeight, kExternal, kCounters, kRows, kFaults };
  Kind kind = Kind::kIntermediate;
  std::string name;
  uint64_t bytes = 0;
  // Only for kWeight: the tensors, concatenated, and their form.
  std::vector<graph::Tensor> tensors;
  WeightForm form;
  // Only for kExternal.
  ExternalPlace place;
};

// A buffer that a dispatch binds, and its role.
struct Operand {
  kernels::Role role;
  BufferRef buffer;
  bool writes() const {
    return role.access != kernels::Access::kRead && role.access != kernels::Access::kReadRows;
  }
  // Returns whether `plan`, which must be one of the dispatch's plans, binds the operand.
  bool IsBoundBy(const kernels::KernelPlan& plan) const {
    return role.access != kernels::Access::kScratch || plan.scratch_words > 0 || plan.row_words > 0;
  }
};

// One of the plans of a dispatch. All of them give the same results.
struct Alternative {
  std::string variant;  // name that the kernel gives the plan
  kernels::KernelPlan plan;
  bool is_guess = false;  // whether this plan is taken without measuring
};

// A plan that measuring may replace by another one.
struct TunedPlan {
  kernels::KernelPlan plan;
  // Name of the kind of dispatch, under which measurements are stored. Dispatches of one kind have
  // the same alternatives. Empty if the plan must not be replaced.
  std::string kind;
  // Returns all plans to choose from; null if the plan must not be replaced.
  std::function<std::vector<Alternative>()> alternatives;
};

struct Dispatch : TunedPlan {
  // Operands that are present.
  std::vector<Operand> operands;
  // Indices of the nodes that the dispatch computes, in the order of the lowered graph: one node,
  // or those of all dispatches that a chain replaces.
  std::vector<size_t> nodes;
  // Text for profiles, such as `MatMulNBits /model/layers.0/mlp/gate_proj`.
  std::string label;
  // Part that the dispatch can be of a chain (chain.h); absent if it cannot be joined.
  std::optional<kernels::ChainPart> part;

  bool is_chain() const { return nodes.size() > 1; }
  // Returns the buffer of a role, or an empty reference if the operand is absent.
  BufferRef Find(const kernels::Role& role) const {
    for (const Operand& operand : operands) {
      if (operand.role == role) return operand.buffer;
    }
    return {};
  }
};

struct Lowered {
  std::vector<BufferInfo> buffers;
  std::vector<Dispatch> dispatches;
  // Pages of a sequence (LowerOptions); 0 if the KV caches are not in pages.
  uint32_t page_entries = 0;
};

}  // namespace sinter::compile
