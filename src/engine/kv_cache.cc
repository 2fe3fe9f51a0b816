#include "engine/kv_cache.h"

#include "engine/model.h"

namespace sinter::engine {

KvCache::KvCache(const Model& model, int64_t capacity) : capacity_(capacity) {
  gpu::Device& device = *model.device();
  const model::KvCacheLayout layout =
      model::LayOutKvCache(model.config(), model.graph(), device.caps(), capacity);
  gpu::CommandList clear(device);
  for (const uint64_t bytes : layout.buffer_bytes) {
    buffers_.push_back(device.CreateBuffer(bytes, "KV cache"));
    clear.Clear(buffers_.back(), 0, buffers_.back().size_bytes());
  }
  device.Submit(clear);
  for (const model::KvCacheLayout::Entry& entry : layout.entries) {
    externals_[entry.past] =
        externals_[entry.present] = {buffers_[entry.buffer], entry.offset, entry.bytes};
  }
  bytes_ = layout.total_bytes();
}

}  // namespace sinter::engine
