#include "model/kv_cache.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "kernels/kernel_plan.h"

namespace sinter::model {
namespace {

const graph::Value& Find(const graph::Graph& graph, const std::string& name) {
  const graph::Value* value = graph.FindValue(name);
  if (value != nullptr) return *value;
  throw Error("model",
              "graph input '{}': got no such input, want it, because genai_config.json names it",
              name);
}

}  // namespace

uint64_t KvCacheLayout::total_bytes() const {
  return std::accumulate(buffer_bytes.begin(), buffer_bytes.end(), uint64_t{0});
}

compile::ExternalPlaces KvCacheLayout::Places() const {
  compile::ExternalPlaces places;
  for (const Entry& entry : entries)
    places[entry.past] = places[entry.present] = {static_cast<int>(entry.buffer), entry.offset};
  return places;
}

uint64_t KvCacheRowBytes(const GenaiConfig& config, const graph::Graph& graph, const Caps& caps) {
  uint64_t bytes = 0;
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    for (const std::string& names : {config.past_key_names, config.past_value_names}) {
      const DType dtype = Find(graph, LayerName(names, layer)).dtype;
      bytes = std::max(
          bytes, DTypeBytes(kernels::DeviceDType(caps, dtype),
                            static_cast<size_t>(config.num_key_value_heads * config.head_size)));
    }
  }
  return bytes;
}

KvCacheLayout LayOutKvCache(const GenaiConfig& config, const graph::Graph& graph, const Caps& caps,
                            int64_t capacity) {
  const uint64_t row = KvCacheRowBytes(config, graph, caps);
  const uint64_t bytes = static_cast<uint64_t>(capacity) * row;
  // Each layer starts at an offset that a binding may have and that is a multiple of one head's
  // row.
  const uint64_t unit =
      std::lcm(uint64_t{caps.limits.min_storage_offset_alignment},
               std::max<uint64_t>(row / static_cast<uint64_t>(config.num_key_value_heads), 1));
  const uint64_t stride = (bytes + unit - 1) / unit * unit;
  const uint64_t most =
      std::min(caps.limits.max_storage_binding_bytes, caps.limits.max_buffer_size);
  const auto layers = static_cast<uint64_t>(config.num_hidden_layers);
  const uint64_t together = std::clamp<uint64_t>(most / std::max<uint64_t>(stride, 1), 1, layers);

  KvCacheLayout layout;
  for (uint64_t first = 0; first < layers; first += together) {
    const uint64_t count = std::min(together, layers - first);
    for (const auto& [past, present] :
         {std::pair(config.past_key_names, config.present_key_names),
          std::pair(config.past_value_names, config.present_value_names)}) {
      for (uint64_t i = 0; i < count; ++i) {
        const auto layer = static_cast<int64_t>(first + i);
        layout.entries.push_back({LayerName(past, layer), LayerName(present, layer),
                                  layout.buffer_bytes.size(), i * stride, bytes});
      }
      layout.buffer_bytes.push_back((count - 1) * stride + bytes);
    }
  }
  return layout;
}

}  // namespace sinter::model
