// Graph -> dispatches: what each node becomes on this adapter. Pure: plans and buffer descriptions,
// no GPU memory.
#pragma once

#include <string_view>

#include "base/caps.h"
#include "compile/dispatch.h"
#include "compile/tuning.h"
#include "graph/graph.h"

namespace sinter::compile {

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
