// Layout of a session's KV cache. One buffer holds the concatenated keys of all layers and another
// the values, so that one dispatch can process many layers.
#pragma once

#include <cstdint>
#include <vector>

#include "base/caps.h"
#include "compile/lowering.h"
#include "graph/graph.h"
#include "model/genai_config.h"

namespace sinter::model {

struct KvCacheLayout {
  // Past and present keys (or values) of one layer. Both names refer to the same memory.
  struct Entry {
    std::string past, present;
    size_t buffer = 0;
    uint64_t offset = 0, bytes = 0;
  };
  std::vector<Entry> entries;
  // Bytes of each buffer. If all layers exceed the largest binding, they are split over several
  // buffers, each with as many layers as fit.
  std::vector<uint64_t> buffer_bytes;

  uint64_t total_bytes() const;
  compile::ExternalPlaces Places() const;
};

// Lays out a cache with `capacity` rows per head. Throws Error if the graph lacks a cache input
// that the config names.
KvCacheLayout LayOutKvCache(const GenaiConfig& config, const graph::Graph& graph, const Caps& caps,
                            int64_t capacity);

// Returns the bytes of one row of keys or values (whichever is larger) of one layer, over all
// heads.
uint64_t KvCacheRowBytes(const GenaiConfig& config, const graph::Graph& graph, const Caps& caps);

}  // namespace sinter::model
