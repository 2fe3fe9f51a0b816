#include "run/planner.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "kernels/shader_source.h"

namespace sinter::run {
namespace {

constexpr int kFormat = 1;

// All alternatives are measured in turn, round by round, and the least time of each counts: GPUs
// take their time to clock up (an H200's first 60 ms of work are up to 8 times as slow), and what
// was slow by chance gets other chances.
constexpr double kWarmUpMicroseconds = 250'000;
constexpr int kRounds = 7;
// A round's sample is as many runs as pass this time.
constexpr double kSampleMicroseconds = 1500;
// Times of the same scatter by so much, those of 0.2 ms and more by less.
constexpr double kScatter = 1.03, kLongScatter = 1.002, kLongMicroseconds = 200;
// Programs run one behind the other, as tokens do: then the CPU's time to queue one hides behind
// the GPU's time for another.
constexpr int kProgramRuns = 24;

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

compile::Choices PlanBook::choices() const {
  const std::lock_guard lock(mutex_);
  compile::Choices choices;
  for (const std::string& guess : order_) choices[guess] = by_guess_.at(guess).variant;
  return choices;
}

std::vector<PlanRecord> PlanBook::records() const {
  const std::lock_guard lock(mutex_);
  std::vector<PlanRecord> records;
  for (const std::string& guess : order_) records.push_back(by_guess_.at(guess));
  return records;
}

namespace {

// One kind of dispatch, and its alternatives recorded.
struct Candidate {
  std::string variant;
  gpu::CommandList list;
  double microseconds = 0;  // a dispatch
  bool is_guess = false;
};

struct Kind {
  std::string guess, source;
  std::vector<size_t> which;
  std::vector<compile::Alternative> alternatives;
  std::vector<Candidate> candidates;
};

PlanRecord MeasureKind(gpu::Device& device, Kind& kind, int min_runs = 1) {
  std::vector<Candidate>& candidates = kind.candidates;
  const double first = Microseconds(device, candidates[0].list, 1);
  const int runs =
      std::clamp(static_cast<int>(kSampleMicroseconds / std::max(first, 1.0)), min_runs, 64);
  const auto count = static_cast<double>(kind.which.size());
  for (int round = 0; round < kRounds; ++round) {
    for (Candidate& candidate : candidates) {
      const double time = Microseconds(device, candidate.list, runs) / count;
      candidate.microseconds = round == 0 ? time : std::min(candidate.microseconds, time);
    }
  }
  std::stable_sort(
      candidates.begin(), candidates.end(),
      [](const Candidate& a, const Candidate& b) { return a.microseconds < b.microseconds; });
  PlanRecord record = {.guess = kind.guess,
                       .variant = candidates[0].variant,
                       .microseconds = candidates[0].microseconds,
                       .alternatives = candidates.size()};
  for (const Candidate& candidate : candidates) {
    if (!candidate.is_guess) continue;
    record.guess_microseconds = candidate.microseconds;
    // Less than what measurements scatter by is no reason.
    const double scatter = record.microseconds < kLongMicroseconds ? kScatter : kLongScatter;
    if (candidate.microseconds > scatter * record.microseconds) continue;
    record.variant = candidate.variant;
    record.microseconds = candidate.microseconds;
  }
  return record;
}

}  // namespace

const PlanRecord* PlanBook::Find(const std::string& name, const std::string& source) {
  const auto it = source_of_.find(name);
  if (it == source_of_.end() || it->second != source) return nullptr;
  if (std::find(order_.begin(), order_.end(), name) == order_.end()) order_.push_back(name);
  return &by_guess_.at(name);
}

void PlanBook::Keep(PlanRecord record, const std::string& source) {
  const std::string name = record.guess;
  by_guess_[name] = std::move(record);
  source_of_[name] = source;
  if (std::find(order_.begin(), order_.end(), name) == order_.end()) order_.push_back(name);
}

namespace {

// What a program offers to measuring.
std::vector<Kind> KindsOf(const compile::Lowered& lowered) {
  std::map<std::string, std::vector<size_t>> offered;
  for (size_t i = 0; i < lowered.dispatches.size(); ++i) {
    if (lowered.dispatches[i].alternatives) offered[lowered.dispatches[i].choice].push_back(i);
  }
  std::vector<Kind> kinds;
  for (auto& [guess, which] : offered) {
    std::vector<compile::Alternative> alternatives = lowered.dispatches[which[0]].alternatives();
    if (alternatives.empty()) continue;
    // By the source of all of them, so that a changed kernel is measured anew.
    std::string sources;
    for (const compile::Alternative& alternative : alternatives)
      sources += SourceHash(alternative.plan) + alternative.variant;
    kinds.push_back({.guess = guess,
                     .source = fmt::format("{:016x}", Hash(sources)),
                     .which = std::move(which),
                     .alternatives = std::move(alternatives)});
  }
  return kinds;
}

}  // namespace

std::vector<wgsl::Shader> PlanBook::UnknownPipelines(const compile::Lowered& lowered) const {
  const std::lock_guard lock(mutex_);
  std::vector<wgsl::Shader> specs;
  std::set<std::string_view> seen;
  for (const compile::Dispatch& dispatch : lowered.dispatches) {
    if (!dispatch.alternatives || source_of_.contains(dispatch.choice) ||
        !seen.insert(dispatch.choice).second) {
      continue;
    }
    for (const compile::Alternative& alternative : dispatch.alternatives())
      specs.push_back(kernels::ExpandPlan(alternative.plan));
  }
  return specs;
}

Measured PlanBook::Measure(gpu::Device& device, const Program& program) {
  const std::lock_guard lock(mutex_);
  Measured measured;
  std::vector<Kind> unknown;
  for (Kind& kind : KindsOf(program.lowered())) {
    if (std::find(order_.begin(), order_.end(), kind.guess) != order_.end()) continue;
    measured.added = true;
    if (Find(kind.guess, kind.source) == nullptr) unknown.push_back(std::move(kind));
  }
  // Compiled and recorded before anything is measured: in parallel, and so that the GPU does not
  // clock down between the kinds.
  std::vector<wgsl::Shader> specs;
  for (const Kind& kind : unknown) {
    for (const compile::Alternative& alternative : kind.alternatives)
      specs.push_back(kernels::ExpandPlan(alternative.plan));
  }
  device.GetPipelines(specs);
  measured.ran = !unknown.empty();
  for (Kind& kind : unknown) {
    for (const compile::Alternative& alternative : kind.alternatives) {
      Program::Recorded recorded = program.RecordWith(alternative, kind.which);
      const bool is_guess = kind.guess.starts_with(alternative.plan.variant);
      if (recorded.rows) {
        // More workgroups than this GPU holds at once, where they wait for each other?
        device.Submit(recorded.list);
        if (program.IsStuck(recorded.rows)) continue;
      }
      kind.candidates.push_back({alternative.variant, std::move(recorded.list), 0, is_guess});
    }
  }
  const auto warm =
      std::ranges::find_if(unknown, [](const Kind& kind) { return !kind.candidates.empty(); });
  for (double spent = 0; warm != unknown.end() && spent < kWarmUpMicroseconds;)
    spent += 8 * Microseconds(device, warm->candidates[0].list, 8);
  for (Kind& kind : unknown) {
    Keep(kind.candidates.empty()
             ? PlanRecord{.guess = kind.guess, .variant = kind.alternatives[0].variant}
             : MeasureKind(device, kind),
         kind.source);
  }
  if (!unknown.empty()) Save();
  return measured;
}

namespace {

constexpr std::string_view kChained = "chain", kLayered = "layer";

// What a program is known by, and the hash of its kernels' sources.
std::pair<std::string, std::string> IdentityOf(const Program& program) {
  std::string variants;
  std::map<std::string, std::string> sources;
  const std::vector<compile::Dispatch>& dispatches = program.lowered().dispatches;
  for (const compile::Dispatch& dispatch : dispatches) {
    variants += dispatch.plan.variant + "\n";
    std::string& source = sources[dispatch.plan.variant];
    if (source.empty()) source = SourceHash(dispatch.plan);
  }
  std::string all;
  for (const auto& [variant, source] : sources) all += source;
  return {fmt::format("fusion of {} dispatches {:016x}", dispatches.size(), Hash(variants)),
          fmt::format("{:016x}", Hash(all))};
}

// The same for the time of its run, to which the sizes of its weights and of its dispatches count;
// that of a KV cache does not, as little of it is read.
std::pair<std::string, std::string> RunIdentityOf(const Program& program, std::string_view what) {
  std::string all;
  for (const compile::Dispatch& dispatch : program.lowered().dispatches) {
    all += dispatch.plan.variant;
    for (const uint32_t groups : dispatch.plan.workgroups) all += fmt::format(" {}", groups);
  }
  for (const compile::BufferInfo& buffer : program.lowered().buffers) {
    if (buffer.kind == compile::BufferInfo::Kind::kWeight) all += fmt::format(" {}", buffer.bytes);
  }
  return {fmt::format("run of {} {:016x}", what, Hash(all)), IdentityOf(program).second};
}

}  // namespace

std::optional<bool> PlanBook::PrefersChain(const Program& chained) {
  const std::lock_guard lock(mutex_);
  const auto [name, source] = IdentityOf(chained);
  const PlanRecord* record = Find(name, source);
  if (record == nullptr) return std::nullopt;
  return record->variant == kChained;
}

bool PlanBook::MeasureChain(gpu::Device& device, Program& chained, const Program& layered) {
  const std::lock_guard lock(mutex_);
  auto [name, source] = IdentityOf(chained);
  Kind kind = {.guess = name, .source = source, .which = {0}};
  for (const auto& [level, program] :
       {std::pair(kLayered, &layered),
        std::pair<std::string_view, const Program*>(kChained, &chained)}) {
    gpu::CommandList list(device);
    list.Append(program->captured());
    kind.candidates.push_back({std::string(level), std::move(list), 0, program == &layered});
  }
  // A chain that gets stuck does so in its first run, and takes long each time.
  PlanRecord record = {.guess = name, .variant = std::string(kLayered), .alternatives = 2};
  device.Submit(chained.captured());
  if (!chained.IsStuck()) record = MeasureKind(device, kind, kProgramRuns);
  if (chained.IsStuck()) record.variant = kLayered;
  const bool prefers = record.variant == kChained;
  Keep(std::move(record), source);
  Save();
  return prefers;
}

std::optional<double> PlanBook::RunMicroseconds(const Program& program, std::string_view what) {
  const std::lock_guard lock(mutex_);
  const auto [name, source] = RunIdentityOf(program, what);
  const PlanRecord* record = Find(name, source);
  if (record == nullptr) return std::nullopt;
  return record->microseconds;
}

double PlanBook::MeasureRun(gpu::Device& device, const Program& program, std::string_view what) {
  const std::lock_guard lock(mutex_);
  const auto [name, source] = RunIdentityOf(program, what);
  double least = Microseconds(device, program.captured(), 1);
  for (double spent = least; spent < kWarmUpMicroseconds;) {
    const double time = Microseconds(device, program.captured(), 1);
    spent += time;
    least = std::min(least, time);
  }
  Keep({.guess = name,
        .variant = "run",
        .microseconds = least,
        .guess_microseconds = least,
        .alternatives = 1},
       source);
  Save();
  return least;
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

}  // namespace sinter::run
