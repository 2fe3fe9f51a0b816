// Engines of the C library.

#include <chrono>
#include <functional>
#include <utility>

#include "api/call.h"
#include "api/handles.h"
#include "base/bytes_text.h"
#include "engine/engine.h"
#include "model/kv_cache.h"
#include "model/memory_estimate.h"
#include "model/rewrite.h"

namespace sinter::api {
namespace {

using Log = std::function<void(int32_t level, const std::string& line)>;

Log LogOf(const sinter_engine_options& options) {
  if (options.log == nullptr) return [](int32_t, const std::string&) {};
  return [call = options.log, user = options.log_user](int32_t level, const std::string& line) {
    call(user, level, line.c_str());
  };
}

engine::EngineOptions ToEngineOptions(const sinter_engine_options& given) {
  engine::EngineOptions options;
  if (given.max_batch != 0) options.max_batch = given.max_batch;
  options.max_length = given.max_length;
  options.kv_tokens = given.kv_tokens;
  if (given.queue != 0) options.queue = given.queue;
  options.deterministic = given.deterministic != 0;
  for (const auto& [name, value] :
       {std::pair("max_length", given.max_length), std::pair("kv_tokens", given.kv_tokens)}) {
    if (value < 0) throw InvalidArgument("api", "{}: got {}, want 0 or more", name, value);
  }
  return options;
}

// Opens an engine's model: on the device that the caller gave, and again on one like it after that
// was lost.
class Opener {
 public:
  Opener(std::shared_ptr<ReadModel> model, std::shared_ptr<gpu::Device> device,
         std::shared_ptr<LoadedModel> loaded, const sinter_engine_options& options)
      : model_(std::move(model)),
        options_(device->options()),
        device_(std::move(device)),
        loaded_(std::move(loaded)),
        progress_(options.progress),
        progress_user_(options.progress_user),
        log_(LogOf(options)) {}

  std::shared_ptr<engine::Model> operator()() {
    const bool again = device_ == nullptr;
    if (again) log_(SINTER_LOG_WARNING, "[gpu] the device was lost; opening it again");
    const std::shared_ptr<gpu::Device> device =
        again ? gpu::Device::Open(options_) : std::exchange(device_, nullptr);
    engine::ModelOptions options;
    options.plans_on_disk = true;
    options.prepare_in_background = true;
    if (!again && progress_ != nullptr) {
      options.progress = [call = progress_, user = progress_user_](uint64_t done, uint64_t total) {
        if (call(user, done, total) != 0) throw Cancelled();
      };
    }
    auto model = std::make_shared<engine::Model>(model_->Take(), device, options);
    log_(SINTER_LOG_INFO,
         fmt::format("[gpu] {} {}", again ? "opened again:" : "opened:", device->adapter().name));
    std::lock_guard lock(loaded_->mutex);
    loaded_->model = model;
    return model;
  }

 private:
  std::shared_ptr<ReadModel> model_;
  gpu::DeviceOptions options_;
  std::shared_ptr<gpu::Device> device_;  // for the first time
  std::shared_ptr<LoadedModel> loaded_;
  int (*progress_)(void*, uint64_t, uint64_t);
  void* progress_user_;
  Log log_;
};

constexpr int64_t kPageTokens = 64;

// Returns the bytes of the KV cache for that many tokens. One page more belongs to no request.
uint64_t CacheBytes(const model::GenaiConfig& config, const graph::Graph& graph, const Caps& caps,
                    int64_t tokens) {
  return model::LayOutKvCache(config, graph, caps,
                              (tokens + kPageTokens - 1) / kPageTokens * kPageTokens + kPageTokens)
      .total_bytes();
}

uint64_t FreeBytes(const gpu::Device& device) { return device.MemoryLeft().value_or(UINT64_MAX); }

}  // namespace
}  // namespace sinter::api

using namespace sinter;       // NOLINT(google-build-using-namespace): the functions are C's
using namespace sinter::api;  // NOLINT(google-build-using-namespace)

sinter_status sinter_engine_create(const sinter_model* model, const sinter_device* device,
                                   const sinter_engine_options* options, sinter_engine** engine,
                                   sinter_error** error) {
  return Guard(error, [&] {
    Required(engine, "engine");
    const std::shared_ptr<ReadModel>& read = Required(model, "model").model;
    const auto given =
        ReadOptions(options, sinter_engine_options SINTER_ENGINE_OPTIONS_INIT, "options");
    const engine::EngineOptions wanted = ToEngineOptions(given);
    const auto begin = std::chrono::steady_clock::now();
    const std::shared_ptr<gpu::Device> opened =
        device != nullptr ? device->device
                          : gpu::Device::Open({.cache_dir = gpu::DefaultCacheDir()});
    auto loaded = std::make_shared<LoadedModel>();
    auto made = std::make_unique<engine::Engine>(Opener(read, opened, loaded, given), wanted);
    // The callback belongs to this call.
    if (const std::shared_ptr<engine::Model> there = loaded->model.lock())
      there->weights().set_progress({});
    LogOf(given)(
        SINTER_LOG_INFO,
        fmt::format("[engine] loaded in {:.1f} s: weights of {}, a cache for {} tokens, {} "
                    "requests at a time",
                    std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(),
                    BytesText(read->weight_bytes()), made->options().kv_tokens,
                    made->options().max_batch));
    *engine = new sinter_engine{std::move(loaded),
                                std::make_unique<generate::TextEngine>(
                                    std::move(made), read->tokenizer(), read->chat_template())};
  });
}

void sinter_engine_free(sinter_engine* engine) { delete engine; }

sinter_status sinter_model_estimate_memory(const sinter_model* model, const sinter_device* device,
                                           const sinter_engine_options* options,
                                           sinter_memory* memory, sinter_error** error) {
  return Guard(error, [&] {
    const ReadModel& read = *Required(model, "model").model;
    const gpu::Device& opened = *Required(device, "device").device;
    const engine::EngineOptions wanted = ToEngineOptions(
        ReadOptions(options, sinter_engine_options SINTER_ENGINE_OPTIONS_INIT, "options"));
    constexpr int64_t kUsualLength = 8192, kUsualTokens = 65536;
    const int64_t length = wanted.max_length != 0
                               ? wanted.max_length
                               : std::min(kUsualLength, read.config().context_length);
    model::ModelFolder folder = read.Read();
    const model::RewriteOptions rewrite = engine::ModelOptions().rewrite();
    model::Rewrite(*folder.graph, folder.config, rewrite, folder.run_form.one_row);
    const model::MemoryEstimate estimate =
        model::EstimateMemory(*folder.graph, folder.config, folder.run_form, opened.caps(),
                              {.rewrite = rewrite, .max_length = length});
    int64_t tokens = wanted.kv_tokens;
    if (tokens == 0) {
      const auto bound = static_cast<int64_t>(
          opened.caps().limits.max_storage_binding_bytes /
          std::max<uint64_t>(model::KvCacheRowBytes(folder.config, *folder.graph, opened.caps()),
                             1));
      tokens = std::min(kUsualTokens, bound - kPageTokens);
    }
    sinter_memory figures = {};
    figures.weight_bytes = estimate.weights;
    figures.cache_bytes = CacheBytes(folder.config, *folder.graph, opened.caps(), tokens);
    figures.workspace_bytes = estimate.workspace;
    figures.total_bytes = figures.weight_bytes + figures.cache_bytes + figures.workspace_bytes;
    figures.free_bytes = FreeBytes(opened);
    WriteInfo(memory, figures, "memory");
  });
}

sinter_status sinter_engine_get_memory(const sinter_engine* engine, sinter_memory* memory,
                                       sinter_error** error) {
  return Guard(error, [&] {
    const sinter_engine& given = Required(engine, "engine");
    std::shared_ptr<engine::Model> model;
    {
      std::lock_guard lock(given.loaded->mutex);
      model = given.loaded->model.lock();
    }
    if (model == nullptr)
      throw DeviceLostError(
          "memory: got a device that is being opened again, want one that is open");
    const gpu::Device& device = *model->device();
    sinter_memory figures = {};
    figures.weight_bytes = model->weights().bytes();
    figures.cache_bytes = CacheBytes(model->config(), model->graph(), device.caps(),
                                     given.engine->engine().options().kv_tokens);
    figures.total_bytes =
        std::max(device.allocated_bytes(), figures.weight_bytes + figures.cache_bytes);
    figures.workspace_bytes = figures.total_bytes - figures.weight_bytes - figures.cache_bytes;
    figures.free_bytes = FreeBytes(device);
    WriteInfo(memory, figures, "memory");
  });
}

sinter_status sinter_engine_get_info(const sinter_engine* engine, sinter_engine_info* info,
                                     sinter_error** error) {
  return Guard(error, [&] {
    engine::Engine& running = Required(engine, "engine").engine->engine();
    const engine::EngineOptions& options = running.options();
    const engine::EngineStats stats = running.stats();
    WriteInfo(info,
              sinter_engine_info{.size = sizeof(sinter_engine_info),
                                 .max_batch = options.max_batch,
                                 .max_length = options.max_length,
                                 .kv_tokens = options.kv_tokens,
                                 .queue = options.queue,
                                 .waiting = stats.waiting,
                                 .prompts = stats.prompts,
                                 .decoding = stats.decoding,
                                 .kv_pages = stats.kv_pages,
                                 .kv_pages_used = stats.kv_pages_used,
                                 .kv_pages_cached = stats.kv_pages_cached,
                                 .requests = stats.requests,
                                 .prompt_tokens = stats.prompt_tokens,
                                 .cached_tokens = stats.cached_tokens,
                                 .generated_tokens = stats.generated_tokens,
                                 .device_losses = stats.losses},
              "info");
  });
}
