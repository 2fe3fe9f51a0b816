// Lowers a graph to dispatches for one adapter. Plans and describes buffers; uses no GPU memory.
#pragma once

#include <span>
#include <string_view>

#include "base/caps.h"
#include "compile/dispatch.h"
#include "compile/tuning.h"
#include "graph/graph.h"

namespace sinter::compile {

// Lowers every node of a specialized graph. `places` must list the graph inputs and outputs that
// share memory: those in the same bytes (a KV cache's past and present) and those in one buffer
// (the caches of several layers). Throws Error that names the node if the kernels do not support
// it, and Error for a forced variant of an unknown kernel. With `chain`, products of one row are
// joined where possible (chain.h).
Lowered Lower(const graph::Graph& graph, const Caps& caps, const ExternalPlaces& places,
              const ForcedVariants& variants, const Choices& choices = {}, bool chain = false);

// Returns whether there is a lowering for the operator, so that loading a model can refuse it.
bool CanLower(std::string_view domain, std::string_view op);

// Returns the kernels of which a variant can be forced.
std::span<const std::string_view> Kernels();

}  // namespace sinter::compile
