#include "engine/tuner.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "model/chunking.h"
#include "passes/pass.h"

namespace sinter::engine {
namespace {

// Length of the sequence after which plans are measured.
constexpr int64_t kMeasuredRows = 512;
// Idle time after which a GPU clocks down.
constexpr std::chrono::milliseconds kCoolsAfter{20};

// Rounds of samples in the short comparison.
constexpr int kTrialRounds = 3;

// Sets the inputs under which a program is measured: after kMeasuredRows tokens, or after all those
// in use if they are more. Returns false if the cache has no room there for the program's rows.
bool Place(StepRunner& runner, StepProgram& program) {
  const KvCache& cache = *runner.cache();
  const int64_t rows = program.step->key.rows;
  const int64_t least = cache.used;
  const int64_t most = cache.capacity() - rows;
  if (least > most) return false;
  const int64_t past = std::clamp(std::min(kMeasuredRows, cache.capacity()) - 1, least, most);
  runner.UploadState(past, past + 1, 0);
  runner.device().Submit(program.inputs);
  return true;
}

}  // namespace

std::vector<Tuner::Stage> Tuner::FirstStages(const Model& model, int64_t capacity, int64_t chunk) {
  std::vector<Stage> stages;
  const std::vector<bool> branches = model.BranchDecisions(1);
  const std::optional<passes::Fusion> fusion = model.options().fusion;
  const bool chain = fusion.value_or(passes::Fusion::kChain) == passes::Fusion::kChain;
  if (fusion != passes::Fusion::kChain) stages.push_back({{1, capacity, branches, false}});
  if (chain && !model.device()->adapter().software)
    stages.push_back({{1, capacity, branches, true}, /*compares_chain=*/!fusion});
  const int64_t rows = std::min(chunk, model::kLoadedChunk);
  // Programs of exactly a prompt's length are compiled when the prompt comes.
  if (rows > 1 && !model.run_form().exact)
    stages.push_back({{rows, capacity, branches, false}, false, /*times_run=*/true});
  return stages;
}

ProgramSet::KindCount CountTunedKinds(Model& model, int64_t max_length) {
  ProgramSet::KindCount count;
  const int64_t capacity = model::CacheRows(max_length, /*chunk=*/0);
  for (const Tuner::Stage& stage : Tuner::FirstStages(model, capacity, max_length)) {
    const ProgramSet::KindCount kinds = model.programs().CountKinds(stage.key, 1);
    count.known += kinds.known;
    count.all += kinds.all;
  }
  return count;
}

Tuner::Tuner(std::shared_ptr<Model> model, std::shared_ptr<KvCache> cache, int64_t chunk)
    : model_(std::move(model)),
      cache_(std::move(cache)),
      branches_(model_->BranchDecisions(1)),
      runner_(*model_, cache_, {.logits_rows = model_->has_last_row() ? 1 : model::kLoadedChunk}) {
  stages_ = FirstStages(*model_, cache_->capacity(), chunk);
  if (stages_.empty()) {
    state_ = State::kDone;
    return;
  }
  // Sequences use no longer chunks on a software GPU or where they keep all rows of logits.
  if (stages_.back().key.rows < model::kLoadedChunk || !model_->has_last_row() ||
      model_->device()->adapter().software) {
    return;
  }
  for (const int64_t rows : model::ChunkLengths(model::ChunkFor(0))) {
    if (rows > model::kLoadedChunk && rows <= cache_->capacity() - model::kLoadedChunk)
      longer_chunks_.push_back(rows);
  }
}

Tuner::~Tuner() = default;

void Tuner::AddLongerChunks() {
  const auto loaded = model_->programs().Get(stages_[next_].key, 1);
  const std::optional<run::PlanRecord> run =
      model_->plans().Find(run::RunIdentityOf(loaded->program->lowered(), kLoadedChunkRun));
  const int64_t longest = run ? model::ChunkFor(run->microseconds) : 0;
  for (const int64_t rows : std::exchange(longer_chunks_, {})) {
    if (rows <= longest) stages_.push_back({{rows, cache_->capacity(), branches_, false}});
  }
}

void Tuner::Compile() {
  const Stage& stage = stages_[next_];
  ProgramSet& programs = model_->programs();
  std::shared_ptr<const CompiledStep> step;
  try {
    step = programs.Get(stage.key, 1);
  } catch (const gpu::ResourceError&) {
    // A longer program, which nobody asked for, may need more than the adapter has; skip it.
    if (stage.key.rows <= model::kLoadedChunk) throw;
    return FinishMeasurement();
  }
  measurement_.emplace(model_->plans());
  if (!compares_) {
    model_->device()->GetPipelines(
        run::ShadersToMeasure(model_->plans(), step->program->lowered()));
    measurement_->AddKinds(runner_.Bind(step).program);
  } else if (stage.compares_chain) {
    StepKey layered = stage.key;
    layered.chain = false;
    const std::shared_ptr<const run::Program> chained = runner_.Bind(step).program;
    if (chained->has_chains())
      measurement_->AddChain(chained, runner_.Bind(programs.Get(layered, 1)).program);
  } else if (stage.times_run) {
    measurement_->AddRun(runner_.Bind(step).program, kLoadedChunkRun);
  }
  first_samples_ = measurement_->samples_left();
  state_ = State::kMeasure;
  if (measurement_->done()) FinishMeasurement();
}

bool Tuner::Measure(std::chrono::microseconds budget, const std::function<bool()>& stop) {
  const auto start = std::chrono::steady_clock::now();
  if (start - last_sample_ > kCoolsAfter) measurement_->Cool();
  const Stage& stage = stages_[next_];
  if (!Place(runner_, runner_.Bind(model_->programs().Get(stage.key, 1)))) return false;
  do {
    measurement_->Sample();
    measured_ = true;
    last_sample_ = std::chrono::steady_clock::now();
  } while (!measurement_->done() && last_sample_ - start < budget && !(stop && stop()));
  if (measurement_->done()) FinishMeasurement();
  return true;
}

void Tuner::FinishMeasurement() {
  measurement_.reset();
  const Stage stage = stages_[next_];
  if (!compares_) {
    if (std::exchange(measured_, false)) model_->programs().Refresh(stage.key, 1);
    if (stage.compares_chain || stage.times_run) {
      compares_ = true;
      state_ = State::kCompile;
      return;
    }
  }
  if (stage.times_run) AddLongerChunks();
  compares_ = false;
  ++next_;
  state_ = next_ == stages_.size() ? State::kDone : State::kCompile;
}

double Tuner::Share() const {
  if (state_ == State::kDone) return 1;
  // Compiling takes half of a stage's time; measuring its kinds takes most of the rest.
  double stage = compares_ ? 0.9 : 0;
  if (measurement_ && first_samples_ > 0) {
    const double left =
        static_cast<double>(measurement_->samples_left()) / static_cast<double>(first_samples_);
    stage = compares_ ? 0.9 + 0.1 * (1 - left) : 0.9 * (1 - left);
  }
  // Counts the longer chunks that may come, so that the fraction does not decrease if they do.
  return (static_cast<double>(next_) + stage) /
         static_cast<double>(stages_.size() + longer_chunks_.size());
}

void Tuner::RunAll(const std::function<void(double share)>& progress) {
  const auto report = [&] {
    if (progress) progress(Share());
  };
  report();
  // Compile all shaders at once; program by program, each would wait for its slowest shader.
  std::vector<wgsl::Shader> shaders;
  for (const Stage& stage : stages_) {
    std::ranges::move(model_->programs().ShadersToMeasure(stage.key, 1),
                      std::back_inserter(shaders));
  }
  model_->device()->GetPipelines(shaders);
  while (state_ != State::kDone) {
    report();
    if (state_ == State::kCompile) {
      Compile();
      continue;
    }
    const WorkGate::Scope work(model_->gate());
    if (!Measure(IdleTuner::kSlice, {})) {
      throw Error("model",
                  "tuning: got a KV cache of {} rows with {} in use, want room for {} more",
                  cache_->capacity(), cache_->used.load(), stages_[next_].key.rows);
    }
  }
  report();
}

void TryChain(Model& model, const std::shared_ptr<KvCache>& cache,
              const std::vector<bool>& branches, int64_t page_entries) {
  ProgramSet& programs = model.programs();
  StepKey key = {1, cache->capacity(), branches, /*chain=*/true, /*batch=*/1, page_entries};
  const std::shared_ptr<const CompiledStep> chained = programs.Peek(key);
  key.chain = false;
  const std::shared_ptr<const CompiledStep> layered = programs.Peek(key);
  if (!chained || !layered) return;
  StepRunner runner(model, cache,
                    {.logits_rows = model.has_last_row() ? 1 : model::kLoadedChunk,
                     .page_entries = page_entries});
  StepProgram& program = runner.Bind(chained);
  if (!Place(runner, program)) return;
  run::Measurement trial(model.plans(), kTrialRounds, /*warm=*/true);
  trial.AddChain(program.program, runner.Bind(layered).program);
  while (!trial.done()) trial.Sample();
}

IdleTuner::IdleTuner(std::shared_ptr<Model> model, std::shared_ptr<KvCache> cache, int64_t chunk)
    : model_(std::move(model)), tuner_(model_, std::move(cache), chunk) {
  thread_ = std::thread([this] { Loop(); });
}

IdleTuner::~IdleTuner() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  closed_.notify_all();
  thread_.join();
}

void IdleTuner::Loop() {
  WorkGate& gate = model_->gate();
  const auto pause = [&](std::chrono::milliseconds time) {
    std::unique_lock lock(mutex_);
    closed_.wait_for(lock, time, [&] { return closing_.load(); });
  };
  try {
    while (!closing_ && tuner_.state() != Tuner::State::kDone) {
      if (tuner_.state() == Tuner::State::kCompile) {
        tuner_.Compile();
      } else if (!gate.BeginSlice(kQuiet)) {
        pause(kSlice);
      } else {
        bool has_room = false;
        try {
          has_room = tuner_.Measure(kSlice, [&] { return closing_ || gate.WorkWaits(); });
        } catch (...) {
          gate.EndSlice();
          throw;
        }
        gate.EndSlice();
        if (!has_room) pause(std::chrono::seconds(1));
      }
    }
  } catch (const std::exception&) {
    // The device is lost, or a kernel does not compile. Other users of the device get the error;
    // tuning just ends.
  }
  done_ = true;
}

}  // namespace sinter::engine
