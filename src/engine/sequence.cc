#include "engine/sequence.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/half.h"
#include "engine/logits_fault.h"
#include "engine/tuner.h"
#include "model/kv_cache.h"
#include "run/plan_book.h"

namespace sinter::engine {
namespace {

// Sets the profile of a runner, and clears it when the scope is left.
class Profiling {
 public:
  Profiling(StepRunner& runner, std::vector<run::DispatchTime>& times) : runner_(runner) {
    runner_.set_profile(&times);
  }
  ~Profiling() { runner_.set_profile(nullptr); }
  Profiling(const Profiling&) = delete;
  Profiling& operator=(const Profiling&) = delete;

 private:
  StepRunner& runner_;
};

int64_t MaxLength(const Model& model, const SequenceOptions& options) {
  const model::GenaiConfig& config = model.config();
  int64_t length = options.max_length != 0 ? options.max_length : config.search.max_length;
  if (length == 0) length = config.context_length;
  if (length < 1 || length > config.context_length) {
    throw Error("model", "maximum length: got {}, want 1 to {} (the model's context length)",
                length, config.context_length);
  }
  if (options.chunk < 0) throw Error("model", "chunk: got {}, want at least 1", options.chunk);
  return length;
}

std::shared_ptr<KvCache> MakeCache(const Model& model, int64_t max_length, int64_t chunk) {
  const Limits& limits = model.device()->caps().limits;
  const int64_t capacity = model::CacheRows(max_length, chunk);
  const uint64_t row_bytes =
      model::KvCacheRowBytes(model.config(), model.graph(), model.device()->caps());
  const uint64_t layer_bytes = static_cast<uint64_t>(capacity) * row_bytes;
  if (layer_bytes > limits.max_storage_binding_bytes) {
    const auto rows = static_cast<int64_t>(limits.max_storage_binding_bytes / row_bytes);
    throw Error(
        "model",
        "KV cache of a layer: got {} bytes at a maximum length of {}, want at most {} (this "
        "adapter's largest storage binding): choose a maximum length of {} or less",
        layer_bytes, max_length, limits.max_storage_binding_bytes,
        std::max<int64_t>(1, model::LongestWithin(rows, chunk)));
  }
  return std::make_shared<KvCache>(model, capacity);
}

// Returns the lengths of the runs of a prompt, ascending.
std::vector<int64_t> ChunksFor(const Model& model, int64_t max_length, int64_t chunk) {
  if (model.run_form().exact) return {max_length};
  return model::ChunkLengths(std::min(chunk != 0 ? chunk : model::kLoadedChunk, max_length));
}

}  // namespace

Sequence::Sequence(std::shared_ptr<Model> model, const SequenceOptions& options)
    : model_(std::move(model)),
      options_(options),
      max_length_(MaxLength(*model_, options_)),
      cache_(MakeCache(*model_, max_length_, options_.chunk)),
      chunks_(ChunksFor(*model_, max_length_, options_.chunk)),
      run_costs_(model_->device()->adapter().software ? model::kSoftwareCosts : model::kGpuCosts),
      one_row_of_logits_(model_->has_last_row()),
      runner_(*model_, cache_,
              {.ring = cache_->capacity(), .logits_rows = one_row_of_logits_ ? 1 : chunks_.back()},
              options_.run),
      loop_(*model_, runner_),
      branches_(model_->BranchDecisions(1)) {
  // Logits of all rows would take much memory.
  chunk_is_final_ = options_.chunk != 0 || !one_row_of_logits_ || model_->run_form().exact ||
                    max_length_ < 2 * model::kLoadedChunk || model_->device()->adapter().software;
  DecodeProgram();
  PrepareInBackground();
}

void Sequence::PrepareInBackground() {
  if (!model_->options().prepare_in_background || model_->device()->adapter().software) return;
  std::vector<StepKey> keys;
  // Short programs are compiled first, the longest last.
  for (const int64_t rows : chunks_) {
    if (rows <= model::kLoadedChunk && !model_->run_form().exact) keys.push_back(KeyOf(rows));
  }
  ProgramSet& programs = model_->programs();
  if (programs.ChainIsUnknown(cache_->capacity(), branches_, branch_length_))
    keys.push_back({1, cache_->capacity(), branches_, /*chain=*/true});
  programs.Prepare(std::move(keys), branch_length_);
}

StepProgram& Sequence::ProgramFor(int64_t rows) {
  if (rows == 1) return DecodeProgram();
  return runner_.Bind(model_->programs().Get(KeyOf(rows), branch_length_));
}

StepProgram& Sequence::DecodeProgram() {
  ProgramSet& programs = model_->programs();
  const uint64_t version = programs.version();
  if (!decode_ || decode_->key.branches != branches_ || version != decode_version_) {
    if (decode_ && !decode_->key.chain && decode_->key.branches == branches_ &&
        programs.ChainIsUnknown(cache_->capacity(), branches_, branch_length_)) {
      TryChain(*model_, cache_, branches_);
    }
    decode_ = programs.GetDecode(cache_->capacity(), branches_, branch_length_);
    decode_version_ = version;
  }
  return runner_.Bind(decode_);
}

size_t Sequence::GreedyDispatches() { return loop_.GreedyDispatches(DecodeProgram()); }

compile::Work Sequence::DecodeWork(int64_t total) {
  compile::Work sum;
  for (const compile::Work& dispatch : DecodeProgram().step->work) {
    const compile::Work work = AtLength(dispatch, total - 1, 1, cache_->capacity());
    sum.weight_bytes += work.weight_bytes;
    sum.cache_bytes += work.cache_bytes;
    sum.other_bytes += work.other_bytes;
    sum.flops += work.flops;
    sum.attention_flops += work.attention_flops;
  }
  return sum;
}

std::vector<run::DispatchTime> Sequence::ProfileAppend(std::span<const int32_t> tokens) {
  std::vector<run::DispatchTime> times;
  const Profiling profiling(runner_, times);
  Append(tokens);
  return times;
}

std::vector<run::DispatchTime> Sequence::ProfileStep() {
  std::vector<run::DispatchTime> times;
  const Profiling profiling(runner_, times);
  Step();
  return times;
}

void Sequence::UpdateBranches(int64_t length) {
  std::vector<bool> branches = model_->BranchDecisions(length);
  branch_length_ = length;
  if (branches == branches_) return;
  branches_ = std::move(branches);
  PrepareInBackground();
  // Keys in the cache were rotated with the other branch's factors, so all tokens run again.
  const std::vector<int32_t> tokens = std::move(tokens_);
  SetTokens({});
  if (!tokens.empty()) RunTokens(tokens);
}

void Sequence::SetTokens(std::vector<int32_t> tokens) {
  tokens_ = std::move(tokens);
  cache_->used = static_cast<int64_t>(tokens_.size());
}

void Sequence::ChooseChunk() {
  if (chunk_is_final_) return;
  ProgramSet& programs = model_->programs();
  const StepKey key = KeyOf(model::kLoadedChunk);
  if (const auto loaded = programs.Get(key, branch_length_); loaded != loaded_chunk_) {
    loaded_chunk_ = loaded;
    loaded_chunk_run_ = run::RunIdentityOf(loaded->program->lowered(), kLoadedChunkRun);
  }
  const std::optional<run::PlanRecord> known = model_->plans().Find(loaded_chunk_run_);
  if (known) loaded_chunk_microseconds_ = known->microseconds;
  if (!loaded_chunk_microseconds_) return;
  int64_t chunk = model::ChunkFor(*loaded_chunk_microseconds_);
  while (chunk > max_length_) chunk /= 2;
  if (chunk <= chunks_.back()) return;
  // Longer programs are compiled in the background: a prompt would gain less from them than
  // compiling takes.
  std::vector<StepKey> longer;
  for (const int64_t rows : model::ChunkLengths(chunk)) {
    if (rows > model::kLoadedChunk) longer.push_back(KeyOf(rows));
  }
  int64_t ready = model::kLoadedChunk;
  for (const StepKey& each : longer) {
    if (programs.Peek(each)) ready = each.rows;
  }
  if (ready < chunk && model_->options().prepare_in_background)
    programs.Prepare(std::move(longer), branch_length_);
  chunks_ = model::ChunkLengths(ready);
  chunk_is_final_ = ready == chunk && known.has_value();
}

std::vector<int64_t> Sequence::PlanRuns(int64_t count) {
  if (model_->run_form().exact) {
    // Each length of a prompt has a program, of which only the last one is kept.
    if (count > 1 && exact_ && exact_->rows != count) {
      runner_.Forget(*exact_);
      model_->programs().Forget(*exact_);
    }
    if (count > 1) exact_ = KeyOf(count);
    return {count};
  }
  if (count > model::kLoadedChunk) ChooseChunk();
  const int64_t room = cache_->capacity() - static_cast<int64_t>(tokens_.size());
  return model::CutPrompt(count, room, chunks_, run_costs_);
}

void Sequence::RunTokens(std::span<const int32_t> tokens) {
  const std::vector<int64_t> runs = PlanRuns(static_cast<int64_t>(tokens.size()));
  size_t done = 0;
  for (const int64_t rows : runs) {
    const size_t valid = std::min(tokens.size() - done, static_cast<size_t>(rows));
    StepProgram& program = ProgramFor(rows);
    const std::span<const int32_t> run = tokens.subspan(done, valid);
    runner_.UploadTokens(program, run);
    gpu::Device& device = *model_->device();
    const auto past = static_cast<int64_t>(tokens_.size());
    logits_row_ = static_cast<uint32_t>(valid - 1);
    runner_.UploadState(past, past + static_cast<int64_t>(valid), logits_row_,
                        static_cast<uint32_t>(loop_.steps()), loop_.choice().seed);
    // The first long run of a prompt tells whether longer ones are short enough.
    const bool timed = !chunk_is_final_ && done == 0 && rows == model::kLoadedChunk;
    if (timed) device.Wait();
    const auto start = std::chrono::steady_clock::now();
    runner_.Run(program, past, static_cast<int64_t>(valid));
    if (timed) {
      device.Wait();
      const std::chrono::duration<double, std::micro> time =
          std::chrono::steady_clock::now() - start;
      loaded_chunk_microseconds_ =
          std::min(loaded_chunk_microseconds_.value_or(time.count()), time.count());
    }
    tokens_.insert(tokens_.end(), run.begin(), run.end());
    cache_->used = static_cast<int64_t>(tokens_.size());
    done += valid;
  }
  logits_valid_ = true;
}

void Sequence::Append(std::span<const int32_t> tokens) {
  SINTER_CHECK(!generating_, "Append during generation");
  const model::GenaiConfig& config = model_->config();
  if (tokens.empty() && !has_pending_)
    throw Error("model", "prompt: got no tokens, want at least one");
  for (const int32_t token : tokens) {
    if (token < 0 || token >= config.vocab_size) {
      throw Error("model", "token: got {}, want 0 to {} (the model's vocabulary)", token,
                  config.vocab_size - 1);
    }
  }
  const int64_t total = length() + static_cast<int64_t>(tokens.size());
  if (total > max_length_) {
    throw Error(
        "model",
        "prompt: got {} tokens{}, want at most {} (the maximum length; the model's context is {})",
        total, length() > 0 ? " including those before it" : "", max_length_,
        config.context_length);
  }
  const WorkGate::Scope work(model_->gate());
  std::vector<int32_t> all;
  if (has_pending_) all.push_back(pending_);
  all.insert(all.end(), tokens.begin(), tokens.end());
  has_pending_ = false;
  UpdateBranches(total);
  RunTokens(all);
  model_->device()->Check();
}

std::vector<float> Sequence::Logits() {
  SINTER_CHECK(logits_valid_, "logits before any token has run");
  runner_.CheckRuns();
  const gpu::Device& device = *model_->device();
  const auto vocab = static_cast<uint64_t>(model_->config().vocab_size);
  const DType dtype = kernels::DeviceDType(device.caps(), model_->logits_dtype());
  const uint64_t elem_bytes = DTypeBytes(dtype, 1);
  // Downloads start at multiples of 4 bytes.
  const uint64_t row =
      std::min<uint64_t>(logits_row_, static_cast<uint64_t>(runner_.logits_rows()) - 1);
  const uint64_t begin = row * vocab * elem_bytes;
  const uint64_t aligned = begin / 4 * 4;
  const std::vector<std::byte> bytes = model_->device()->Download(
      runner_.buffers().logits, aligned, begin - aligned + vocab * elem_bytes);
  std::vector<float> values(vocab);
  const std::byte* from = bytes.data() + (begin - aligned);
  for (uint64_t i = 0; i < vocab; ++i) {
    if (dtype == DType::kF16) {
      uint16_t half = 0;
      std::memcpy(&half, from + i * 2, 2);
      values[i] = HalfToFloat(half);
    } else {
      std::memcpy(&values[i], from + i * 4, 4);
    }
  }
  if (const auto fault = kernels::FaultOf(values)) throw LogitsError(*model_, *fault, length());
  return values;
}

void Sequence::Rewind(int64_t length) {
  SINTER_CHECK(!generating_, "Rewind during generation");
  if (length < 0 || length > this->length()) {
    throw Error("model", "rewind: got {}, want 0 to {} (the sequence's length)", length,
                this->length());
  }
  if (length == this->length()) return;
  const WorkGate::Scope work(model_->gate());
  has_pending_ = false;
  logits_valid_ = false;
  tokens_.resize(static_cast<size_t>(length));
  cache_->used = length;
}

void Sequence::BeginGeneration(const TokenChoice& choice) {
  SINTER_CHECK(!generating_, "generation is under way");
  if (!logits_valid_)
    throw Error("model", "generation: got no tokens to continue from, want a prompt");
  generating_.emplace(model_->gate());
  try {
    loop_.Begin(choice, tokens_, logits_row_);
  } catch (...) {
    generating_.reset();
    throw;
  }
}

void Sequence::Step() {
  SINTER_CHECK(generating_, "Step outside generation");
  const int64_t step = steps();
  if (step == 0) return loop_.StepFromLogits(DecodeProgram());
  const int64_t total = static_cast<int64_t>(tokens_.size()) + step;
  if (total > max_length_) {
    throw Error("model", "generation: got {} tokens, want at most {} (the maximum length)", total,
                max_length_);
  }
  // Generated tokens occupy rows of the cache, too.
  cache_->used = total;
  if (model_->BranchDecisions(total) == branches_) return loop_.Step(DecodeProgram(), total - 1);
  // The sequence passes the length from which on other factors hold, so it runs again with them and
  // then continues.
  std::vector<int32_t> sequence = tokens_;
  for (int64_t i = 0; i < step; ++i) sequence.push_back(Token(i));
  std::vector<int32_t> before = std::exchange(tokens_, {});
  try {
    UpdateBranches(total);
    RunTokens(sequence);
  } catch (...) {
    SetTokens(std::move(before));
    throw;
  }
  SetTokens(std::move(before));
  cache_->used = total;
  loop_.StepFromLogits(DecodeProgram());
}

void Sequence::EndGeneration(int64_t kept) {
  SINTER_CHECK(generating_ && kept >= 0 && kept <= steps(), "{} of {} tokens kept", kept, steps());
  if (kept > 0) Token(kept - 1);
  // Tokens queued past the end were decoded too. Their rows come after the sequence and are
  // overwritten later.
  const std::vector<int32_t> generated = loop_.tokens();
  loop_.End();
  const auto end = [&] {
    cache_->used = static_cast<int64_t>(tokens_.size());
    generating_.reset();
  };
  try {
    runner_.CheckRuns();
  } catch (...) {
    end();
    throw;
  }
  if (kept == 0) {
    KeepNone();
  } else {
    tokens_.insert(tokens_.end(), generated.begin(), generated.begin() + kept - 1);
    has_pending_ = true;
    pending_ = generated[static_cast<size_t>(kept - 1)];
    logits_valid_ = false;
  }
  end();
}

void Sequence::AbandonGeneration() noexcept {
  loop_.End();
  KeepNone();
  cache_->used = static_cast<int64_t>(tokens_.size());
  generating_.reset();
}

// Marks the last token as pending. Its logits may be lost, so it runs again with the next tokens.
void Sequence::KeepNone() noexcept {
  logits_valid_ = false;
  has_pending_ = true;
  pending_ = tokens_.back();
  tokens_.pop_back();
}

}  // namespace sinter::engine
