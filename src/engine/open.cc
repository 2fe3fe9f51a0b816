#include "engine/open.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/bytes_text.h"
#include "base/error.h"
#include "base/system_memory.h"
#include "engine/tuner.h"
#include "kernels/kernel_plan.h"
#include "model/chunking.h"
#include "model/kv_cache.h"
#include "model/memory_estimate.h"

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

// Returns the most tokens that the config allows.
int64_t ConfigLength(const model::GenaiConfig& config) {
  return config.search.max_length == 0 ? config.context_length
                                       : std::min(config.search.max_length, config.context_length);
}

LengthLimit LimitOf(const model::GenaiConfig& config, int64_t length) {
  if (length >= config.context_length) return LengthLimit::kNone;
  return length == ConfigLength(config) ? LengthLimit::kConfig : LengthLimit::kDefault;
}

// Memory for a model and a sequence. Neither WebGPU nor Vulkan tells how much other processes use,
// so what is known is asked first, and then memory is taken: what it is too little for is made
// shorter, or is an error.
class Room {
 public:
  // The model's weights have `file_bytes` bytes in its files.
  Room(const Model& model, const OpenOptions& options, uint64_t file_bytes)
      : model_(model),
        device_(*model.device()),
        options_(options),
        file_bytes_(file_bytes),
        left_(device_.MemoryLeft()) {}

  // Returns the longest length up to `length` for which the known memory suffices. Throws Error if
  // it does not suffice for kShortest tokens, or for `length` if that was asked for.
  int64_t Fit(int64_t length) const {
    if (!left_ || CertainlyFits(length)) return length;
    const model::MemoryEstimate estimate = Estimate(length);
    // Main memory is everybody's. Of a GPU's own memory, the driver and the screen take some.
    const uint64_t kept = options_.max_length                    ? 0
                          : device_.adapter().shares_main_memory ? *left_ / 8
                                                                 : *left_ / 16;
    const uint64_t usable = *left_ - kept;
    if (estimate.total() <= usable) return length;
    const uint64_t others = estimate.weights + estimate.workspace;
    const int64_t fits =
        others >= usable ? 0
                         : model::LongestInMemory(model_.graph(), model_.config(), device_.caps(),
                                                  usable - others, length, options_.chunk);
    if (!options_.max_length && fits >= std::min(length, kShortest)) return fits;
    Fail(estimate, length, fits);
  }

  // Makes a sequence of that length, or of a half, a quarter and so on where memory runs out.
  std::shared_ptr<Sequence> MakeSequence(const std::shared_ptr<Model>& model,
                                         int64_t length) const {
    uint64_t workspace = 0;
    for (int64_t tried = length;;) {
      try {
        // Programs of prompts take their memory later.
        const gpu::Buffer kept = device_.CreateBuffer(
            std::min(workspace, device_.caps().limits.max_buffer_size), "memory for prompts");
        auto sequence =
            std::make_shared<Sequence>(model, SequenceOptions{tried, options_.chunk, options_.run});
        if (options_.max_length && tried < length) {
          sequence.reset();
          Fail(Estimate(length), length, tried);
        }
        return sequence;
      } catch (const gpu::OutOfMemoryError&) {
        const model::MemoryEstimate estimate = Estimate(length);
        if (tried <= kShortest) Fail(estimate, length, 0);
        workspace = estimate.workspace;
        tried = std::max(tried / 2, kShortest);
        // What the failed try took is freed when the GPU no longer uses it.
        device_.Wait();
      }
    }
  }

 private:
  // Length below which a conversation makes no sense, so that too little memory is an error.
  static constexpr int64_t kShortest = 512;

  // Returns whether the memory suffices without doubt. The exact estimate takes as long as making
  // the programs' plans.
  bool CertainlyFits(int64_t length) const {
    constexpr uint64_t kMostWorkspace = uint64_t{1} << 30;
    const uint64_t cache = model::LayOutKvCache(model_.config(), model_.graph(), device_.caps(),
                                                model::CacheRows(length, options_.chunk))
                               .total_bytes();
    // f16 weights take twice the memory where they are f32 on the GPU.
    return 2 * file_bytes_ + cache + kMostWorkspace <= *left_ - *left_ / 8;
  }

  model::MemoryEstimate Estimate(int64_t length) const {
    return model::EstimateMemory(
        model_.graph(), model_.config(), model_.run_form(), device_.caps(),
        {model_.options().rewrite(), model_.options().variants, length, options_.chunk});
  }

  [[noreturn]] void Fail(const model::MemoryEstimate& estimate, int64_t length,
                         int64_t fits) const {
    const std::string want =
        fmt::format("{} for a maximum length of {}: weights {}, KV cache {}, workspace {}",
                    BytesText(estimate.total()), length, BytesText(estimate.weights),
                    BytesText(estimate.cache), BytesText(estimate.workspace));
    const std::string hint = fits >= 1
                                 ? fmt::format("a maximum length of {} fits", fits)
                                 : std::string("a smaller model, or one of fewer bits, may fit");
    const bool known = left_ && estimate.total() > *left_;
    throw Error("model", "memory of {}: got {}, want {}; {}", device_.adapter().name,
                known ? BytesText(*left_) + (AddressSpaceLeft() ? " free under ulimit -v" : " free")
                      : "too little free",
                want, hint);
  }

  const Model& model_;
  gpu::Device& device_;
  const OpenOptions& options_;
  uint64_t file_bytes_;
  std::optional<uint64_t> left_;
};

}  // namespace

int64_t WantedLength(const model::GenaiConfig& config, std::optional<int64_t> asked,
                     int64_t expected) {
  if (!asked) return std::min(ConfigLength(config), std::max(kDefaultLength, expected));
  if (*asked < 1 || *asked > config.context_length) {
    throw Error("model", "maximum length: got {}, want 1 to {} (the model's context length)",
                *asked, config.context_length);
  }
  return *asked;
}

OpenedModel Open(model::ModelFolder folder, std::shared_ptr<gpu::Device> device,
                 const OpenOptions& options) {
  OpenedModel opened;
  int64_t length = WantedLength(folder.config, options.max_length, options.expected_length);
  if (!options.max_length) {
    opened.limit = LimitOf(folder.config, length);
    const int64_t room = LongestThatFits(folder, device->caps(), options.chunk);
    if (room >= 1 && room < length) {
      length = room;
      opened.limit = LengthLimit::kBinding;
    }
  }
  const uint64_t file_bytes = folder.weight_bytes();
  ModelOptions model_options = options.model;
  model_options.plans_on_disk = options.plans != Plans::kGuess;
  // Measured plans replace guessed ones, so compiling guesses in the background would be wasted.
  if (options.plans == Plans::kMeasure) model_options.prepare_in_background = false;
  opened.model = std::make_shared<Model>(std::move(folder), std::move(device), model_options);
  const Room room(*opened.model, options, file_bytes);
  if (const int64_t fits = room.Fit(length); fits < length) {
    length = fits;
    opened.limit = LengthLimit::kMemory;
  }
  opened.sequence = room.MakeSequence(opened.model, length);
  if (opened.sequence->max_length() < length) opened.limit = LengthLimit::kMemory;
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
