#include "model/memory_estimate.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "compile/memory_plan.h"
#include "model/chunking.h"
#include "model/kv_cache.h"

namespace sinter::model {

MemoryEstimate EstimateMemory(const graph::Graph& graph, const GenaiConfig& config,
                              const RunForm& form, const Caps& caps,
                              const EstimateOptions& options) {
  const int64_t chunk =
      std::min(options.chunk != 0 ? options.chunk : kLoadedChunk, options.max_length);
  const int64_t capacity = CacheRows(options.max_length, options.chunk);
  const KvCacheLayout cache = LayOutKvCache(config, graph, caps, capacity);
  const compile::ExternalPlaces places = cache.Places();
  MemoryEstimate estimate;
  estimate.cache = cache.total_bytes();
  std::vector<int64_t> lengths = ChunkLengths(chunk);
  // The program of one token comes last, so that it is the one kept.
  if (lengths.front() != 1) lengths.push_back(1);
  for (const int64_t sequence : lengths) {
    auto program =
        SpecializeFor(graph, config, {sequence, capacity, form.exact}, sequence, options.rewrite);
    compile::Lowered lowered = compile::Lower(
        *program, caps, places,
        {.variants = options.variants, .chain = options.rewrite.fusion == passes::Fusion::kChain});
    estimate.workspace += compile::PlanMemory(lowered).total_bytes();
    estimate.weights = 0;
    for (const compile::BufferInfo& buffer : lowered.buffers) {
      if (buffer.kind == compile::BufferInfo::Kind::kWeight) estimate.weights += buffer.bytes;
      // All programs leave their logits in one buffer, which has the longest one's size.
      if (buffer.kind == compile::BufferInfo::Kind::kExternal && buffer.name == config.logits &&
          sequence == chunk) {
        estimate.workspace += buffer.bytes;
      }
    }
    estimate.token_graph = std::move(program);
    estimate.token_program = std::move(lowered);
  }
  return estimate;
}

int64_t LongestInMemory(const graph::Graph& graph, const GenaiConfig& config, const Caps& caps,
                        uint64_t bytes, int64_t max_length, int64_t chunk) {
  const auto fits = [&](int64_t length) {
    return LayOutKvCache(config, graph, caps, CacheRows(length, chunk)).total_bytes() <= bytes;
  };
  int64_t low = 0, high = max_length;  // `low` fits
  while (low < high) {
    const int64_t middle = high - (high - low) / 2;
    if (fits(middle)) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  constexpr int64_t kUnit = 256;
  return low == max_length || low < kUnit ? low : low / kUnit * kUnit;
}

}  // namespace sinter::model
