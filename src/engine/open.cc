#include "engine/open.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "engine/tuner.h"
#include "kernels/kernel_plan.h"
#include "model/chunking.h"

namespace sinter::engine {
namespace {

// Returns the length of the longest sequence whose keys of one layer fit one binding of this
// adapter.
int64_t LongestThatFits(const model::ModelFolder& folder, const Caps& caps, int64_t chunk) {
  const model::GenaiConfig& config = folder.config;
  const graph::Value* keys = folder.graph->FindValue(model::LayerName(config.past_key_names, 0));
  if (keys == nullptr) return INT64_MAX;
  const auto row_elems = static_cast<size_t>(config.num_key_value_heads * config.head_size);
  const uint64_t row_bytes = DTypeBytes(kernels::DeviceDType(caps, keys->dtype), row_elems);
  const uint64_t rows = caps.limits.max_storage_binding_bytes / std::max<uint64_t>(row_bytes, 1);
  return model::LongestWithin(static_cast<int64_t>(std::min<uint64_t>(rows, INT32_MAX)), chunk);
}

}  // namespace

int64_t WantedLength(const model::GenaiConfig& config, std::optional<int64_t> asked) {
  if (!asked) {
    return config.search.max_length == 0
               ? config.context_length
               : std::min(config.search.max_length, config.context_length);
  }
  if (*asked < 1 || *asked > config.context_length) {
    throw Error("model", "maximum length: got {}, want 1 to {} (the model's context length)",
                *asked, config.context_length);
  }
  return *asked;
}

OpenedModel Open(model::ModelFolder folder, std::shared_ptr<gpu::Device> device,
                 const OpenOptions& options) {
  OpenedModel opened;
  int64_t length = WantedLength(folder.config, options.max_length);
  if (!options.max_length) {
    const int64_t room = LongestThatFits(folder, device->caps(), options.chunk);
    if (room >= 1 && room < length) opened.wanted_length = std::exchange(length, room);
  }
  ModelOptions model_options = options.model;
  model_options.plans_on_disk = options.plans != Plans::kGuess;
  // Measured plans replace guessed ones, so compiling guesses in the background would be wasted.
  if (options.plans == Plans::kMeasure) model_options.prepare_in_background = false;
  opened.model = std::make_shared<Model>(std::move(folder), std::move(device), model_options);
  opened.sequence =
      std::make_shared<Sequence>(opened.model, SequenceOptions{length, options.chunk, options.run});
  if (options.plans == Plans::kMeasure) {
    Tuner(opened.model, opened.sequence->cache(), opened.sequence->chunk())
        .RunAll(options.measuring);
  }
  opened.model->device()->Wait();
  // The callback's owner may be destroyed before the model.
  opened.model->weights().set_progress({});
  return opened;
}

}  // namespace sinter::engine
