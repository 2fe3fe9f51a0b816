#include "engine/program_set.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "engine/model.h"
#include "kernels/shader_source.h"
#include "model/kv_cache.h"
#include "passes/fold_attention_mask.h"
#include "passes/fold_last_position.h"
#include "passes/last_row_logits.h"
#include "passes/step_analysis.h"
#include "run/measurement.h"

namespace sinter::engine {
namespace {

// Returns whether the graph has an input of that name and reads it.
bool Reads(const graph::Graph& graph, std::string_view name) {
  return std::ranges::any_of(graph.inputs(), [&](const graph::Value* input) {
    return input->name() == name && !input->uses().empty();
  });
}

kernels::StepInputsShape InputsOf(const graph::Graph& graph, const model::GenaiConfig& config,
                                  const StepKey& key) {
  kernels::StepInputsShape inputs;
  inputs.batch = static_cast<uint32_t>(key.batch);
  inputs.sequence = static_cast<uint32_t>(key.rows);
  inputs.mask_length = static_cast<uint32_t>(key.capacity);
  inputs.has_attention_mask = Reads(graph, config.attention_mask);
  inputs.has_position_ids = Reads(graph, config.position_ids);
  inputs.has_total_length = Reads(graph, passes::kTotalLength);
  inputs.has_last_row = Reads(graph, passes::kLastRow);
  inputs.has_last_position = Reads(graph, passes::kLastPosition);
  inputs.has_past_length = Reads(graph, passes::kPastLength);
  return inputs;
}

model::ProgramShape ShapeOf(const StepKey& key) {
  return {.sequence = key.rows, .capacity = key.capacity, .batch = key.batch};
}

}  // namespace

ProgramSet::~ProgramSet() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
    jobs_.clear();
  }
  changed_.notify_all();
  if (worker_.joinable()) worker_.join();
}

compile::Lowered ProgramSet::Lower(const graph::Graph& graph, const StepKey& key) const {
  const model::KvCacheLayout layout =
      model::LayOutKvCache(model_.config(), model_.graph(), model_.device()->caps(), key.capacity);
  run::PlanBook& plans = model_.plans();
  for (;;) {
    const compile::LowerOptions options = {.variants = model_.options().variants,
                                           .choices = plans.choices(),
                                           .chain = key.chain,
                                           .page_entries = static_cast<uint32_t>(key.page_entries)};
    compile::Lowered lowered =
        compile::Lower(graph, model_.device()->caps(), layout.Places(), options);
    if (!plans.DropStale(lowered, options.choices)) return lowered;
  }
}

bool ProgramSet::MayChain() const {
  return !model_.options().fusion && !model_.device()->adapter().software;
}

std::shared_ptr<const ProgramSet::Chain> ProgramSet::ChainOf(int64_t capacity,
                                                             const std::vector<bool>& branches,
                                                             int64_t length, int64_t page_entries) {
  const StepKey key = {1, capacity, branches, /*chain=*/true, /*batch=*/1, page_entries};
  std::lock_guard lock(chain_mutex_);
  std::shared_ptr<const Chain>& known = chains_[key];
  if (known == nullptr) {
    auto chain = std::make_shared<Chain>();
    chain->graph = model_.Specialize({.sequence = 1, .capacity = capacity}, length);
    chain->lowered = Lower(*chain->graph, key);
    chain->exists = std::ranges::any_of(chain->lowered.dispatches, &compile::Dispatch::is_chain);
    chain->identity = run::ChainIdentityOf(chain->lowered);
    known = std::move(chain);
  }
  return known;
}

std::shared_ptr<const CompiledStep> ProgramSet::Build(const StepKey& key, int64_t length) {
  // The chain's weights are uploaded first. They join the tensors of one kind of all layers in one
  // buffer, and programs without chains then use parts of that buffer.
  std::shared_ptr<const graph::Graph> graph;
  if (MayChain()) {
    const std::shared_ptr<const Chain> chain =
        ChainOf(key.capacity, key.branches, length, key.page_entries);
    if (chain->exists) run::UploadWeights(chain->lowered, model_.weights());
    if (key.rows == 1 && key.batch == 1) graph = chain->graph;
  }
  if (graph == nullptr) graph = model_.Specialize(ShapeOf(key), length);
  auto step = std::make_shared<CompiledStep>();
  step->key = key;
  step->program = std::make_shared<run::CompiledProgram>(model_.device(), model_.weights(), *graph,
                                                         Lower(*graph, key));
  step->inputs = InputsOf(*graph, model_.config(), key);
  const model::KvCacheLayout layout =
      model::LayOutKvCache(model_.config(), model_.graph(), model_.device()->caps(), key.capacity);
  const compile::ExternalPlaces cache = layout.Places();
  step->work = compile::WorkOf(*graph, step->program->lowered(),
                               [&](const std::string& name) { return cache.contains(name); });
  model_.device()->Check();
  return step;
}

std::shared_ptr<const CompiledStep> ProgramSet::Make(const StepKey& key, int64_t length,
                                                     bool again) {
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !slots_[key].building; });
    Slot& slot = slots_[key];
    if (slot.step && !again) return slot.step;
    slot.building = true;
  }
  std::shared_ptr<const CompiledStep> step;
  std::exception_ptr error;
  try {
    step = Build(key, length);
  } catch (...) {
    error = std::current_exception();
  }
  {
    std::lock_guard lock(mutex_);
    Slot& slot = slots_[key];
    if (step) slot.step = step;
    slot.building = false;
    ++version_;
  }
  changed_.notify_all();
  if (error) std::rethrow_exception(error);
  return step;
}

std::shared_ptr<const CompiledStep> ProgramSet::Get(const StepKey& key, int64_t length) {
  return Make(key, length, /*again=*/false);
}

std::shared_ptr<const CompiledStep> ProgramSet::Peek(const StepKey& key) const {
  std::lock_guard lock(mutex_);
  const auto it = slots_.find(key);
  return it == slots_.end() ? nullptr : it->second.step;
}

std::shared_ptr<const CompiledStep> ProgramSet::GetDecode(int64_t capacity,
                                                          const std::vector<bool>& branches,
                                                          int64_t length, int64_t page_entries) {
  StepKey key = {1, capacity,    branches, model_.options().fusion == passes::Fusion::kChain,
                 1, page_entries};
  if (MayChain()) {
    const std::shared_ptr<const Chain> chain = ChainOf(capacity, branches, length, page_entries);
    key.chain = chain->exists && model_.plans().PrefersChain(chain->identity) == true;
  }
  return Get(key, length);
}

bool ProgramSet::ChainIsUnknown(int64_t capacity, const std::vector<bool>& branches, int64_t length,
                                int64_t page_entries) {
  if (!MayChain()) return false;
  const std::shared_ptr<const Chain> chain = ChainOf(capacity, branches, length, page_entries);
  return chain->exists && !model_.plans().PrefersChain(chain->identity);
}

std::vector<wgsl::Shader> ProgramSet::ShadersToMeasure(const StepKey& key, int64_t length) const {
  const compile::Lowered lowered = Lower(*model_.Specialize(ShapeOf(key), length), key);
  std::vector<wgsl::Shader> shaders = run::ShadersToMeasure(model_.plans(), lowered);
  for (const compile::Dispatch& dispatch : lowered.dispatches)
    shaders.push_back(kernels::ExpandPlan(dispatch.plan));
  return shaders;
}

ProgramSet::KindCount ProgramSet::CountKinds(const StepKey& key, int64_t length) const {
  const compile::Lowered lowered = Lower(*model_.Specialize(ShapeOf(key), length), key);
  const size_t all = run::PlanBook({}, {}).UnknownKinds(lowered).size();
  return {all - model_.plans().UnknownKinds(lowered).size(), all};
}

void ProgramSet::Refresh(const StepKey& key, int64_t length) {
  {
    std::lock_guard lock(chain_mutex_);
    if (key.chain) chains_.erase({1, key.capacity, key.branches, true, 1, key.page_entries});
  }
  Make(key, length, /*again=*/true);
}

void ProgramSet::Forget(const StepKey& key) {
  std::lock_guard lock(mutex_);
  const auto it = slots_.find(key);
  if (it != slots_.end() && !it->second.building) slots_.erase(it);
}

void ProgramSet::Prepare(std::vector<StepKey> keys, int64_t length) {
  {
    std::lock_guard lock(mutex_);
    for (StepKey& key : keys) {
      const bool known = std::ranges::any_of(jobs_, [&](const Job& job) { return job.key == key; });
      if (!known && !slots_[key].step) jobs_.push_back({std::move(key), length});
    }
    if (jobs_.empty()) return;
    if (!worker_.joinable()) worker_ = std::thread([this] { WorkInBackground(); });
  }
  changed_.notify_all();
}

void ProgramSet::WorkInBackground() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return closing_ || !jobs_.empty(); });
    if (closing_) return;
    const Job job = std::move(jobs_.front());
    jobs_.pop_front();
    job_under_way_ = true;
    lock.unlock();
    try {
      Get(job.key, job.length);
    } catch (const std::exception&) {
      // A caller that needs this program tries again and gets the error. A program that nobody
      // needs may fail.
    }
    lock.lock();
    job_under_way_ = false;
    lock.unlock();
    changed_.notify_all();
    lock.lock();
  }
}

bool ProgramSet::IsPreparing() const {
  std::lock_guard lock(mutex_);
  return job_under_way_ || !jobs_.empty();
}

void ProgramSet::Settle() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return jobs_.empty() && !job_under_way_; });
}

}  // namespace sinter::engine
