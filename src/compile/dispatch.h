// A lowered program: dispatches over numbered buffers. Data only, no GPU memory. Every dispatch
// describes itself: what it binds where and what it does with it, which other plans there are for
// it, and which nodes of the graph it computes.
//
// What a buffer is (a weight, a graph input or output, an intermediate result) decides later who
// makes it; memory_plan.h lets intermediates share memory.
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

// A buffer that a dispatch binds.
struct Operand {
  kernels::Role role;
  BufferRef buffer;
  bool writes() const {
    return role.access != kernels::Access::kRead && role.access != kernels::Access::kReadRows;
  }
  // Whether `plan`, one of the dispatch's, binds it.
  bool IsBoundBy(const kernels::KernelPlan& plan) const {
    return role.access != kernels::Access::kScratch || plan.scratch_words > 0 || plan.row_words > 0;
  }
};

// Another plan for a dispatch, with the same result.
struct Alternative {
  std::string variant;  // by which the kernel knows it
  kernels::KernelPlan plan;
  bool is_guess = false;  // whether it is the plan that is taken without measuring
};

// A plan that measuring may replace.
struct TunedPlan {
  kernels::KernelPlan plan;
  // Name of the kind of dispatch, by which measurements are kept; dispatches of one kind have the
  // same alternatives. Empty where the plan is not to be replaced.
  std::string kind;
  // All plans to choose from; null where there are none.
  std::function<std::vector<Alternative>()> alternatives;
};

struct Dispatch : TunedPlan {
  // Those that are there, by binding.
  std::vector<Operand> operands;
  // Places, in the order of the graph that was lowered, of the nodes that it computes: one, or
  // those of all dispatches that a chain takes the place of.
  std::vector<size_t> nodes;
  // `MatMulNBits /model/layers.0/mlp/gate_proj`: for profiles.
  std::string label;
  // What it is for chain.h, where it may be joined with others.
  std::optional<kernels::ChainPart> part;

  bool is_chain() const { return nodes.size() > 1; }
  // The buffer in a role; an empty ref where it is absent.
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
};

}  // namespace sinter::compile
