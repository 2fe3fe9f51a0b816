#include "run/plan_book.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "compile/plan_file.h"
#include "kernels/shader_source.h"

namespace sinter::run {
namespace {

uint64_t Hash(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

std::string HashText(std::string_view text) { return fmt::format("{:016x}", Hash(text)); }

}  // namespace

std::string SourceHash(const kernels::KernelPlan& plan) {
  return HashText(kernels::ExpandPlan(plan).source.source);
}

PlanIdentity IdentityOf(const compile::Dispatch& dispatch, const kernels::KernelPlan& chosen) {
  // The names of all alternatives are part of the hash, so that a kernel that offers others is
  // measured again.
  std::string all = SourceHash(chosen);
  for (const compile::Alternative& alternative : dispatch.alternatives())
    all += " " + alternative.variant;
  return {dispatch.kind, HashText(all)};
}

PlanIdentity ChainIdentityOf(const compile::Lowered& chained) {
  std::string variants;
  std::map<std::string, std::string> sources;
  for (const compile::Dispatch& dispatch : chained.dispatches) {
    variants += dispatch.plan.variant + "\n";
    std::string& source = sources[dispatch.plan.variant];
    if (source.empty()) source = SourceHash(dispatch.plan);
  }
  std::string all;
  for (const auto& [variant, source] : sources) all += source;
  return {fmt::format("fusion of {} dispatches {}", chained.dispatches.size(), HashText(variants)),
          HashText(all)};
}

PlanIdentity RunIdentityOf(const compile::Lowered& lowered, std::string_view what) {
  std::string all;
  for (const compile::Dispatch& dispatch : lowered.dispatches) {
    all += dispatch.plan.variant;
    for (const uint32_t groups : dispatch.plan.workgroups) all += fmt::format(" {}", groups);
  }
  for (const compile::BufferInfo& buffer : lowered.buffers) {
    if (buffer.kind == compile::BufferInfo::Kind::kWeight) all += fmt::format(" {}", buffer.bytes);
  }
  return {fmt::format("run of {} {}", what, HashText(all)), ChainIdentityOf(lowered).source};
}

PlanBook::PlanBook(const gpu::AdapterInfo& adapter, const std::filesystem::path& dir)
    : adapter_(fmt::format("{}; {}; {}", adapter.name, adapter.backend, adapter.driver)) {
  if (dir.empty()) return;
  path_ = dir / fmt::format("plans-{}.json", HashText(adapter_));
  ReadUnknown();
}

void PlanBook::ReadUnknown() {
  std::string text;
  try {
    text = ReadSmallFile(path_, "plans", "measured plans");
  } catch (const Error&) {
    return;
  }
  for (auto& [guess, plan] : compile::ParsePlans(text, adapter_)) {
    if (by_guess_.contains(guess) || dropped_.contains(guess)) continue;
    by_guess_[guess] = {.guess = guess,
                        .variant = plan.variant,
                        .microseconds = plan.microseconds,
                        .guess_microseconds = plan.guess_microseconds,
                        .alternatives = plan.alternatives,
                        .from_disk = true};
    source_of_[guess] = std::move(plan.source);
  }
}

compile::Choices PlanBook::choices() const {
  const std::lock_guard lock(mutex_);
  compile::Choices choices;
  for (const auto& [guess, record] : by_guess_) choices[guess] = record.variant;
  return choices;
}

std::vector<PlanRecord> PlanBook::records() const {
  const std::lock_guard lock(mutex_);
  std::vector<PlanRecord> records;
  for (const std::string& guess : order_) records.push_back(by_guess_.at(guess));
  return records;
}

size_t PlanBook::size() const {
  const std::lock_guard lock(mutex_);
  return by_guess_.size();
}

void PlanBook::Use(const std::string& name) {
  if (std::ranges::find(order_, name) == order_.end()) order_.push_back(name);
}

bool PlanBook::DropStale(const compile::Lowered& lowered, const compile::Choices& choices) {
  const std::lock_guard lock(mutex_);
  bool dropped = false;
  std::set<std::string_view> seen;
  for (const compile::Dispatch& dispatch : lowered.dispatches) {
    if (!dispatch.alternatives || !seen.insert(dispatch.kind).second) continue;
    const auto it = source_of_.find(dispatch.kind);
    if (it == source_of_.end()) continue;
    if (it->second == IdentityOf(dispatch, dispatch.plan).source) {
      Use(dispatch.kind);
      continue;
    }
    // Another thread may have found a choice since the program was lowered without it.
    const auto chosen = choices.find(dispatch.kind);
    if (chosen == choices.end() || chosen->second != by_guess_.at(dispatch.kind).variant) continue;
    dropped_.insert(dispatch.kind);
    by_guess_.erase(dispatch.kind);
    std::erase(order_, dispatch.kind);
    source_of_.erase(it);
    dropped = true;
  }
  return dropped;
}

std::vector<size_t> PlanBook::UnknownKinds(const compile::Lowered& lowered) const {
  const std::lock_guard lock(mutex_);
  std::vector<size_t> kinds;
  std::set<std::string_view> seen;
  for (size_t i = 0; i < lowered.dispatches.size(); ++i) {
    const compile::Dispatch& dispatch = lowered.dispatches[i];
    if (dispatch.alternatives && !by_guess_.contains(dispatch.kind) &&
        seen.insert(dispatch.kind).second) {
      kinds.push_back(i);
    }
  }
  return kinds;
}

std::optional<PlanRecord> PlanBook::Find(const PlanIdentity& identity) {
  const std::lock_guard lock(mutex_);
  const auto it = source_of_.find(identity.name);
  if (it == source_of_.end() || it->second != identity.source) return std::nullopt;
  Use(identity.name);
  return by_guess_.at(identity.name);
}

std::optional<bool> PlanBook::PrefersChain(const PlanIdentity& chained) {
  const std::optional<PlanRecord> record = Find(chained);
  if (!record) return std::nullopt;
  return record->variant == kChained;
}

void PlanBook::Forget() {
  const std::lock_guard lock(mutex_);
  by_guess_.clear();
  source_of_.clear();
  order_.clear();
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

void PlanBook::Keep(PlanRecord record, const std::string& source) {
  const std::lock_guard lock(mutex_);
  const std::string name = record.guess;
  by_guess_[name] = std::move(record);
  source_of_[name] = source;
  Use(name);
  Save();
}

void PlanBook::Save() {
  if (path_.empty()) return;
  // Other processes may have added measurements to the file.
  ReadUnknown();
  compile::StoredPlans plans;
  for (const auto& [guess, record] : by_guess_) {
    plans[guess] = {record.variant, record.microseconds, record.guess_microseconds,
                    record.alternatives, source_of_.at(guess)};
  }
  // Failing to write a cache is no error.
  ReplaceFile(path_, compile::PlansText(plans, adapter_));
}

}  // namespace sinter::run
