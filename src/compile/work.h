// How much each dispatch of a program has to read, write and compute: what its time is judged by.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "compile/dispatch.h"
#include "graph/graph.h"

namespace sinter::compile {

// Work of one dispatch. Bytes are what the operands need moved once, whatever a kernel reads twice.
struct Work {
  // Constants read. Of a table that is read by row (embeddings, rotary factors) only those rows.
  double weight_bytes = 0;
  // KV cache read, if every row of it were valid.
  double cache_bytes = 0;
  // Everything else, both ways.
  double other_bytes = 0;
  // Multiplications and additions of matrix products.
  double flops = 0;
  // Those of attention, if every row of the cache were visible to every query.
  double attention_flops = 0;
};

// By dispatch of `lowered`, which was made from `graph`. `is_cache` tells the externals that are KV
// cache.
std::vector<Work> WorkOf(const graph::Graph& graph, const Lowered& lowered,
                         const std::function<bool(const std::string& name)>& is_cache);

}  // namespace sinter::compile
