// Estimates how many bytes each dispatch of a program moves and how much it computes, to compare
// its time with.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "compile/dispatch.h"
#include "graph/graph.h"

namespace sinter::compile {

// Work of one dispatch. Bytes count once, even if a kernel reads them twice.
struct Work {
  // Constants read. For tables that are read by row (embeddings, rotary factors), only the rows
  // read.
  double weight_bytes = 0;
  // KV cache read, assuming that every row of it is valid.
  double cache_bytes = 0;
  // All other bytes, read and written.
  double other_bytes = 0;
  // Multiplications and additions of matrix products.
  double flops = 0;
  // Multiplications and additions of attention, assuming that every query sees every row of the
  // cache.
  double attention_flops = 0;
};

// Returns the work of each dispatch of `lowered`, which must have been made from `graph`.
// `is_cache` returns whether an external is KV cache.
std::vector<Work> WorkOf(const graph::Graph& graph, const Lowered& lowered,
                         const std::function<bool(const std::string& name)>& is_cache);

}  // namespace sinter::compile
