#include "run/measurement.h"

#include <algorithm>
#include <chrono>

#include "kernels/shader_source.h"

namespace sinter::run {
namespace {

constexpr double kWarmUpMicroseconds = 250'000;
// Duration of a sample, which repeats its runs until this time has passed.
constexpr double kSampleMicroseconds = 1500;
constexpr int kMaxRuns = 64;
// Limits of a sample of whole programs. It queues several runs, so that the CPU's time to queue one
// is hidden by the GPU's time for another. The time is bounded so that waiting work is not delayed
// for long.
constexpr double kProgramMicroseconds = 30'000;
constexpr int kProgramRuns = 24;
// Ratio by which repeated measurements of the same work scatter. Times of kLongMicroseconds (0.2
// ms) or more scatter less.
constexpr double kScatter = 1.03, kLongScatter = 1.002, kLongMicroseconds = 200;

}  // namespace

std::vector<wgsl::Shader> ShadersToMeasure(const PlanBook& book, const compile::Lowered& lowered) {
  std::vector<wgsl::Shader> shaders;
  for (const size_t i : book.UnknownKinds(lowered)) {
    for (const compile::Alternative& alternative : lowered.dispatches[i].alternatives())
      shaders.push_back(kernels::ExpandPlan(alternative.plan));
  }
  return shaders;
}

void Measurement::AddKinds(const std::shared_ptr<const Program>& program) {
  const std::vector<compile::Dispatch>& dispatches = program->lowered().dispatches;
  for (const size_t first : book_.UnknownKinds(program->lowered())) {
    const compile::Dispatch& dispatch = dispatches[first];
    const std::vector<compile::Alternative> alternatives = dispatch.alternatives();
    if (alternatives.empty()) continue;
    std::vector<size_t> which;
    for (size_t i = first; i < dispatches.size(); ++i) {
      if (dispatches[i].alternatives && dispatches[i].kind == dispatch.kind) which.push_back(i);
    }
    Kind kind;
    kind.record.guess = dispatch.kind;
    kind.record.variant = alternatives[0].variant;
    kind.dispatches = static_cast<double>(which.size());
    kind.max_runs = kMaxRuns;
    kind.program = program;
    for (const compile::Alternative& alternative : alternatives) {
      Program::Recorded recorded = program->RecordWith(alternative, which);
      kind.sources.push_back(IdentityOf(dispatch, alternative.plan).source);
      kind.candidates.push_back(
          {alternative.variant, std::move(recorded.list), recorded.rows, alternative.is_guess});
    }
    Add(std::move(kind));
  }
}

void Measurement::AddChain(const std::shared_ptr<const Program>& chained,
                           const std::shared_ptr<const Program>& layered) {
  const PlanIdentity identity = ChainIdentityOf(chained->lowered());
  if (book_.Find(identity)) return;
  Kind kind;
  kind.record.guess = identity.name;
  kind.record.variant = PlanBook::kLayered;
  kind.max_runs = kProgramRuns;
  kind.is_choice_of_chain = true;
  kind.program = chained;
  kind.sources = {identity.source, identity.source};
  for (const std::shared_ptr<const Program>& program : {layered, chained}) {
    gpu::CommandList list(*program->compiled()->device());
    list.Append(program->captured());
    const bool is_chain = program == chained;
    kind.candidates.push_back({std::string(is_chain ? PlanBook::kChained : PlanBook::kLayered),
                               std::move(list),
                               is_chain ? chained->compiled()->rows() : gpu::Buffer(), !is_chain});
  }
  Add(std::move(kind));
}

void Measurement::AddRun(const std::shared_ptr<const Program>& program, std::string_view what) {
  const PlanIdentity identity = RunIdentityOf(program->lowered(), what);
  if (book_.Find(identity)) return;
  Kind kind;
  kind.record.guess = identity.name;
  kind.record.variant = "run";
  kind.max_runs = 1;
  kind.program = program;
  kind.sources = {identity.source};
  gpu::CommandList list(*program->compiled()->device());
  list.Append(program->captured());
  kind.candidates.push_back({"run", std::move(list), {}, true});
  Add(std::move(kind));
}

void Measurement::Add(Kind kind) {
  kind.default_source = kind.sources[0];
  kinds_.insert(kinds_.begin(), std::move(kind));
}

size_t Measurement::samples_left() const {
  size_t samples = 0;
  for (const Kind& kind : kinds_) {
    const size_t all = static_cast<size_t>(rounds_) * kind.candidates.size() + 1;
    samples += all - static_cast<size_t>(kind.round) * kind.candidates.size() - kind.next;
  }
  return samples;
}

double Measurement::Time(const Kind& kind, const gpu::CommandList& list, int runs) const {
  gpu::Device& device = *kind.program->compiled()->device();
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < runs; ++i) device.Submit(list);
  device.Wait();
  const std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - start;
  return time.count();
}

double Measurement::Sample() {
  Kind& kind = kinds_.back();
  if (kind.next < kind.candidates.size() && !kind.candidates[kind.next].tried) {
    Candidate& candidate = kind.candidates[kind.next];
    candidate.tried = true;
    if (candidate.rows) {
      // Check that the GPU holds all workgroups that wait for each other at once. A chain that gets
      // stuck does so in its first run, and takes long each time.
      const double time = Time(kind, candidate.list, 1);
      if (kind.program->IsStuck(candidate.rows)) {
        kind.candidates.erase(kind.candidates.begin() + static_cast<std::ptrdiff_t>(kind.next));
        kind.sources.erase(kind.sources.begin() + static_cast<std::ptrdiff_t>(kind.next));
        if (kind.candidates.empty() || kind.is_choice_of_chain) {
          Finish(kind);
        } else if (kind.next == kind.candidates.size()) {
          kind.next = 0;
          ++kind.round;
        }
      }
      return time;
    }
  }
  if (!warm_) {
    const double time = Time(kind, kind.candidates[0].list, kind.runs > 0 ? kind.runs : 1);
    warm_microseconds_ += time;
    if (warm_microseconds_ >= kWarmUpMicroseconds) {
      warm_ = true;
      warm_microseconds_ = 0;
    }
    return time;
  }
  if (kind.runs == 0) {
    const double first = Time(kind, kind.candidates[0].list, 1);
    const double wanted = kind.max_runs == kMaxRuns ? kSampleMicroseconds : kProgramMicroseconds;
    kind.runs = std::clamp(static_cast<int>(wanted / std::max(first, 1.0)), 1, kind.max_runs);
    return first;
  }
  Candidate& candidate = kind.candidates[kind.next];
  const double time = Time(kind, candidate.list, kind.runs);
  const double each = time / kind.runs / kind.dispatches;
  candidate.microseconds =
      candidate.microseconds == 0 ? each : std::min(candidate.microseconds, each);
  if (++kind.next == kind.candidates.size()) {
    kind.next = 0;
    ++kind.round;
  }
  if (kind.round == rounds_) Finish(kind);
  return time;
}

void Measurement::Finish(Kind& kind) {
  PlanRecord record = kind.record;
  std::string source = kind.default_source;
  record.alternatives = kind.candidates.size();
  if (!kind.candidates.empty() && kind.round == rounds_) {
    const auto least = std::ranges::min_element(kind.candidates, {}, &Candidate::microseconds);
    const auto take = [&](const Candidate& candidate) {
      record.variant = candidate.variant;
      record.microseconds = candidate.microseconds;
      source = kind.sources[static_cast<size_t>(&candidate - kind.candidates.data())];
    };
    take(*least);
    const auto guess = std::ranges::find(kind.candidates, true, &Candidate::is_guess);
    if (guess != kind.candidates.end()) {
      record.guess_microseconds = guess->microseconds;
      // A gain smaller than the scatter of measurements is no reason to leave the guess.
      const double scatter = record.microseconds < kLongMicroseconds ? kScatter : kLongScatter;
      if (guess->microseconds <= scatter * record.microseconds) take(*guess);
    }
  }
  // A chain that got stuck while it was timed is never chosen.
  if (kind.is_choice_of_chain && kind.program->IsStuck()) record.variant = PlanBook::kLayered;
  kinds_.pop_back();
  book_.Keep(std::move(record), source);
}

}  // namespace sinter::run
