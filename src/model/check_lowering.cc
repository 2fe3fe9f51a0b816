#include "model/check_lowering.h"

#include <limits>

#include "compile/lowering.h"
#include "model/kv_cache.h"

namespace sinter::model {
namespace {

// Rows of the cache in the program that is lowered for the check, if the graph does not say.
constexpr int64_t kCacheRows = 64;

Caps CapsWithoutLimits() {
  Caps caps;
  caps.f16 = true;
  caps.limits.max_buffer_size = caps.limits.max_storage_binding_bytes =
      std::numeric_limits<int64_t>::max();
  caps.limits.max_storage_buffers_per_stage = 16;
  caps.limits.max_workgroup_storage_bytes = 64 << 10;
  return caps;
}

}  // namespace

void CheckLowering(const graph::Graph& graph, const GenaiConfig& config, const RunForm& form) {
  const std::unique_ptr<graph::Graph> rewritten = graph.Clone();
  Rewrite(*rewritten, config, {}, form.one_row);
  ProgramShape shape = {1, kCacheRows, form.exact};
  const graph::Value* past = rewritten->FindValue(LayerName(config.past_key_names, 0));
  if (past != nullptr && past->dims && past->dims->size() == 4 && (*past->dims)[2].known())
    shape.capacity = (*past->dims)[2].value;
  // At this level every node of the model is lowered by itself.
  const RewriteOptions options = {.fusion = passes::Fusion::kNone, .disabled_passes = {}};
  const std::unique_ptr<graph::Graph> program =
      SpecializeFor(*rewritten, config, shape, /*length=*/1, options);
  const Caps caps = CapsWithoutLimits();
  compile::Lower(*program, caps, LayOutKvCache(config, *program, caps, shape.capacity).Places());
}

}  // namespace sinter::model
