#include "engine/model.h"

#include <algorithm>

#include "base/error.h"
#include "model/kv_cache.h"
#include "passes/last_row_logits.h"
#include "passes/specialize.h"

namespace sinter::engine {

std::shared_ptr<Model> Model::Load(const std::filesystem::path& path,
                                   std::shared_ptr<gpu::Device> device,
                                   const ModelOptions& options) {
  return std::make_shared<Model>(model::ModelFolder::Read(path), std::move(device), options);
}

Model::Model(model::ModelFolder folder, std::shared_ptr<gpu::Device> device,
             const ModelOptions& options)
    : folder_(std::move(folder)),
      device_(std::move(device)),
      options_(options),
      weights_(device_),
      plans_(device_->adapter(), options_.plans_on_disk ? device_->options().cache_dir : "") {
  model::Rewrite(*folder_.graph, folder_.config, options_.rewrite(), folder_.run_form.one_row);
  const graph::Value* logits = graph().FindValue(config().logits);
  if (logits == nullptr) {
    throw Error(
        "model",
        "graph output '{}': got no such output, want it, because genai_config.json names it",
        config().logits);
  }
  logits_dtype_ = logits->dtype;
  has_last_row_ = folder_.run_form.one_row ||
                  std::ranges::any_of(graph().inputs(), [](const graph::Value* input) {
                    return input->name() == passes::kLastRow && !input->uses().empty();
                  });
  has_branches_ = std::ranges::any_of(graph().nodes(), [](const auto& node) {
    return node->op() == "If" && node->domain().empty();
  });
  if (options_.progress) {
    weights_.set_progress(
        [progress = options_.progress, total = folder_.weight_bytes()](uint64_t done) {
          // Elements may be widened or narrowed, so the bytes uploaded can differ from the file's.
          progress(std::min(done, total), total);
        });
  }
}

int64_t Model::MostCacheRows() const {
  const Caps& caps = device_->caps();
  const auto bound =
      static_cast<int64_t>(caps.limits.max_storage_binding_bytes /
                           std::max<uint64_t>(model::KvCacheRowBytes(config(), graph(), caps), 1));
  const std::optional<uint64_t> left = device_->MemoryLeft();
  if (!left) return bound;
  // An eighth is left for programs and others.
  const uint64_t usable = *left - *left / 8;
  const uint64_t weights = std::min(folder_.weight_bytes(), usable);
  constexpr int64_t kRows = 1024;
  const uint64_t bytes = model::LayOutKvCache(config(), graph(), caps, kRows).total_bytes();
  return std::min(bound,
                  static_cast<int64_t>((usable - weights) / std::max<uint64_t>(bytes, 1)) * kRows);
}

std::unique_ptr<graph::Graph> Model::Specialize(const model::ProgramShape& shape,
                                                int64_t length) const {
  model::ProgramShape with_form = shape;
  with_form.exact = folder_.run_form.exact;
  return model::SpecializeFor(graph(), config(), with_form, length, options_.rewrite());
}

std::vector<bool> Model::BranchDecisions(int64_t length) const {
  if (!has_branches_) return {};
  return passes::BranchDecisions(
      graph(), model::BindDims(graph(), config(), {.sequence = 1, .capacity = length - 1}, length));
}

}  // namespace sinter::engine
