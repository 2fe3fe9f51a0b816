// Where a session's KV cache lies: the keys of all layers one behind the other in one buffer, the
// values in another, so that one dispatch can go through many layers.
#pragma once

#include <cstdint>
#include <vector>

#include "base/caps.h"
#include "compile/lowering.h"
#include "graph/graph.h"
#include "model/genai_config.h"

namespace sinter::model {

struct KvCacheLayout {
  // Past and present key, resp. value, of one layer, which are the same memory.
  struct Entry {
    std::string past, present;
    size_t buffer = 0;
    uint64_t offset = 0, bytes = 0;
  };
  std::vector<Entry> entries;
  // Of each buffer. Where all layers are more than a binding can be, there are more of them, each
  // with as many layers as fit.
  std::vector<uint64_t> buffer_bytes;

  uint64_t total_bytes() const;
  compile::ExternalPlaces Places() const;
};

// `capacity`: rows of a head. Throws Error where the graph lacks a cache that the config names.
KvCacheLayout LayOutKvCache(const GenaiConfig& config, const graph::Graph& graph, const Caps& caps,
                            int64_t capacity);

// Bytes of a row of all heads of one layer's keys, resp. values.
uint64_t KvCacheRowBytes(const GenaiConfig& config, const graph::Graph& graph, const Caps& caps);

}  // namespace sinter::model
