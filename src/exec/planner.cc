#include "exec/planner.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>

#include "kernels/shader_source.h"

namespace sinter::exec {
namespace {

constexpr int kFormat = 1;

// A sample takes as many runs as pass this time.
constexpr double kSampleMicroseconds = 800;
constexpr int kSamples = 3;
// GPUs take their time to clock up.
constexpr double kWarmUpMicroseconds = 20'000;

uint64_t Hash(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

std::string SourceHash(const kernels::KernelPlan& plan) {
  return fmt::format("{:016x}", Hash(kernels::ExpandPlan(plan).source.source));
}

double Microseconds(gpu::Device& device, const gpu::CommandList& list, int runs) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < runs; ++i) device.Submit(list);
  device.Wait();
  const std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - start;
  return time.count() / runs;
}

// Median time of one run of the list.
double TimeOf(gpu::Device& device, const gpu::CommandList& list) {
  const double first = Microseconds(device, list, 1);
  const int runs = std::clamp(static_cast<int>(kSampleMicroseconds / std::max(first, 1.0)), 1, 32);
  std::vector<double> times;
  for (int i = 0; i < kSamples; ++i) times.push_back(Microseconds(device, list, runs));
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

}  // namespace

PlanBook::PlanBook(const gpu::AdapterInfo& adapter, std::filesystem::path dir)
    : adapter_(fmt::format("{}; {}; {}", adapter.name, adapter.backend, adapter.driver)) {
  if (dir.empty()) return;
  path_ = std::move(dir) / fmt::format("plans-{:016x}.json", Hash(adapter_));
  std::ifstream file(path_);
  const nlohmann::json json = nlohmann::json::parse(file, nullptr, false);
  if (!json.is_object() || json.value("format", 0) != kFormat ||
      json.value("adapter", "") != adapter_ || !json.contains("plans") ||
      !json["plans"].is_object()) {
    return;
  }
  for (const auto& [guess, entry] : json["plans"].items()) {
    if (!entry.is_object()) continue;
    try {
      PlanRecord record = {.guess = guess,
                           .variant = entry.at("variant").get<std::string>(),
                           .microseconds = entry.at("us").get<double>(),
                           .guess_microseconds = entry.at("guess_us").get<double>(),
                           .alternatives = entry.at("alternatives").get<size_t>(),
                           .from_disk = true};
      source_of_[guess] = entry.at("source").get<std::string>();
      by_guess_[guess] = std::move(record);
    } catch (const nlohmann::json::exception&) {
      // An entry that somebody edited is measured again.
    }
  }
}

Choices PlanBook::choices() const {
  const std::lock_guard lock(mutex_);
  Choices choices;
  for (const std::string& guess : order_) choices[guess] = by_guess_.at(guess).variant;
  return choices;
}

std::vector<PlanRecord> PlanBook::records() const {
  const std::lock_guard lock(mutex_);
  std::vector<PlanRecord> records;
  for (const std::string& guess : order_) records.push_back(by_guess_.at(guess));
  return records;
}

bool PlanBook::Measure(gpu::Device& device, const Program& program) {
  const std::lock_guard lock(mutex_);
  std::map<std::string, std::vector<size_t>> kinds;
  const std::vector<Dispatch>& dispatches = program.lowered().dispatches;
  for (size_t i = 0; i < dispatches.size(); ++i) {
    if (dispatches[i].alternatives) kinds[dispatches[i].choice].push_back(i);
  }
  bool added = false, measured = false;
  for (const auto& [guess, which] : kinds) {
    if (std::find(order_.begin(), order_.end(), guess) != order_.end()) continue;
    std::vector<Alternative> alternatives = dispatches[which[0]].alternatives();
    if (alternatives.empty()) continue;
    added = true;
    // By the source of all of them, so that a changed kernel is measured anew.
    std::string sources;
    for (const Alternative& alternative : alternatives)
      sources += SourceHash(alternative.plan) + alternative.variant;
    const std::string source = fmt::format("{:016x}", Hash(sources));
    if (const auto it = source_of_.find(guess); it != source_of_.end() && it->second == source) {
      order_.push_back(guess);
      continue;
    }
    std::vector<gpu::PipelineSpec> specs;
    for (const Alternative& alternative : alternatives)
      specs.push_back(kernels::ExpandPlan(alternative.plan));
    device.GetPipelines(specs);
    PlanRecord record = {.guess = guess, .alternatives = alternatives.size()};
    for (const Alternative& alternative : alternatives) {
      const gpu::CommandList list = program.RecordWith(alternative, which);
      for (double spent = 0; !measured && spent < kWarmUpMicroseconds;)
        spent += Microseconds(device, list, 1);
      measured = true;
      const double time = TimeOf(device, list) / static_cast<double>(which.size());
      if (guess.starts_with(alternative.plan.variant)) record.guess_microseconds = time;
      if (record.variant.empty() || time < record.microseconds) {
        record.variant = alternative.variant;
        record.microseconds = time;
      }
    }
    by_guess_[guess] = std::move(record);
    source_of_[guess] = source;
    order_.push_back(guess);
  }
  if (measured) Save();
  return added;
}

void PlanBook::Save() const {
  if (path_.empty()) return;
  nlohmann::json json = {{"format", kFormat}, {"adapter", adapter_}};
  for (const auto& [guess, record] : by_guess_) {
    json["plans"][guess] = {{"variant", record.variant},
                            {"us", record.microseconds},
                            {"guess_us", record.guess_microseconds},
                            {"alternatives", record.alternatives},
                            {"source", source_of_.at(guess)}};
  }
  // Written aside and renamed, so that another process never sees half a file. A cache that cannot
  // be written is no error.
  std::error_code error;
  std::filesystem::create_directories(path_.parent_path(), error);
  const std::filesystem::path aside = path_.string() + fmt::format(".{}", getpid());
  {
    std::ofstream file(aside);
    file << json.dump(1) << '\n';
    if (!file.flush()) {
      std::filesystem::remove(aside, error);
      return;
    }
  }
  std::filesystem::rename(aside, path_, error);
  if (error) std::filesystem::remove(aside, error);
}

}  // namespace sinter::exec
