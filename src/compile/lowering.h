// Lowers a graph to dispatches for one adapter. Plans and describes buffers; uses no GPU memory.
#pragma once

#include <span>
#include <string_view>

#include "base/caps.h"
#include "compile/dispatch.h"
#include "compile/tuning.h"
#include "graph/graph.h"

namespace sinter::compile {

// Name of the external buffer with the page table, i32 [batch, page_entries].
inline constexpr std::string_view kPageTable = "sinter.page_table";

struct LowerOptions {
  ForcedVariants variants;
  Choices choices;
  // Joins products of one row where possible (chain.h).
  bool chain = false;
  // Pages of a sequence if the KV caches of GroupQueryAttention are in pages
  // (kernels/common/kv_pages.h), a multiple of 4; otherwise 0. In the graph a past is still [batch,
  // kv_heads, capacity, head_size]. In pages its memory has the size of one element of the batch,
  // and `capacity`, a multiple of kPageRows, is the number of rows for all sequences.
  uint32_t page_entries = 0;
};

// Lowers every node of a specialized graph. `places` must list the graph inputs and outputs that
// share memory: those in the same bytes (a KV cache's past and present) and those in one buffer
// (the caches of several layers). Throws Error that names the node if the kernels do not support
// it, and Error for a forced variant of an unknown kernel.
Lowered Lower(const graph::Graph& graph, const Caps& caps, const ExternalPlaces& places,
              const LowerOptions& options = {});

// Returns whether there is a lowering for the operator, so that loading a model can refuse it.
bool CanLower(std::string_view domain, std::string_view op);

// Returns the kernels of which a variant can be forced.
std::span<const std::string_view> Kernels();

}  // namespace sinter::compile
