#include "engine/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/half.h"
#include "kernels/sample/step_inputs.h"
#include "kernels/sample/token_choice.h"
#include "kernels/shader_source.h"
#include "model/kv_cache.h"
#include "run/record_plan.h"

namespace sinter::engine {
namespace {

// The graph input that the rewrite of the attention mask leaves: the number of valid positions.
constexpr char kTotalLength[] = "sinter.total_length";
// The one that is left of its difference to one: the position of the run's last row.
constexpr char kLastPosition[] = "sinter.last_position";
// The one that the rewrite of the logits leaves: the last row that is not padding.
constexpr char kLastRow[] = "sinter.last_row";

// Of a dispatch's work that for the cache as it is: `past` tokens in it, and `rows` more that come
// with the run.
compile::Work AtLength(compile::Work work, int64_t past, int64_t rows, int64_t capacity) {
  work.cache_bytes *= static_cast<double>(past + rows) / static_cast<double>(capacity);
  // Row i of the new ones sees past + i + 1 tokens.
  work.attention_flops *= (static_cast<double>(past) + (static_cast<double>(rows) + 1) / 2) /
                          static_cast<double>(capacity);
  return work;
}

// Sets a pointer, and clears it when the scope is left.
template <typename T>
class Scoped {
 public:
  Scoped(T*& pointer, T* value) : pointer_(pointer) { pointer_ = value; }
  ~Scoped() { pointer_ = nullptr; }
  Scoped(const Scoped&) = delete;
  Scoped& operator=(const Scoped&) = delete;

 private:
  T*& pointer_;
};

// Whether the graph has an input of that name and reads it.
bool Reads(const graph::Graph& graph, const std::string& name) {
  return std::any_of(graph.inputs().begin(), graph.inputs().end(), [&](const graph::Value* input) {
    return input->name() == name && !input->uses().empty();
  });
}

// The length of the sequence behind which plans are measured.
constexpr int64_t kMeasuredRows = 512;

}  // namespace

Session::Session(std::shared_ptr<Model> model, const SessionOptions& options)
    : model_(std::move(model)), device_(model_->device()), options_(options) {
  const model::GenaiConfig& config = model_->config();
  max_length_ = options_.max_length != 0 ? options_.max_length : config.search.max_length;
  if (max_length_ == 0) max_length_ = config.context_length;
  if (max_length_ < 1 || max_length_ > config.context_length) {
    throw Error("model", "maximum length: got {}, want 1 to {} (the model's context length)",
                max_length_, config.context_length);
  }
  if (options_.chunk < 0) throw Error("model", "chunk: got {}, want at least 1", options_.chunk);
  chunks_ = model::ChunkLengths(
      std::min(options_.chunk != 0 ? options_.chunk : model::kLoadedChunk, max_length_));
  run_costs_ = device_->adapter().software ? model::kSoftwareCosts : model::kGpuCosts;
  capacity_ = model::CacheRows(max_length_, options_.chunk);

  const Limits& limits = device_->caps().limits;
  branches_ = model_->BranchDecisions(1);
  const uint64_t row_bytes = model::KvCacheRowBytes(config, model_->graph(), device_->caps());
  const uint64_t layer_bytes = static_cast<uint64_t>(capacity_) * row_bytes;
  if (layer_bytes > limits.max_storage_binding_bytes) {
    throw Error(
        "model",
        "KV cache of a layer: got {} bytes at a maximum length of {}, want at most {} (this "
        "adapter's largest storage binding): choose a maximum length of {} or less",
        layer_bytes, max_length_, limits.max_storage_binding_bytes,
        std::max<int64_t>(1, model::LongestWithin(
                                 static_cast<int64_t>(limits.max_storage_binding_bytes / row_bytes),
                                 options_.chunk)));
  }
  const model::KvCacheLayout layout =
      model::LayOutKvCache(config, model_->graph(), device_->caps(), capacity_);
  for (const uint64_t bytes : layout.buffer_bytes)
    cache_buffers_.push_back(device_->CreateBuffer(bytes, "KV cache"));
  for (const model::KvCacheLayout::Entry& entry : layout.entries) {
    cache_[entry.past] =
        cache_[entry.present] = {cache_buffers_[entry.buffer], entry.offset, entry.bytes};
  }
  cache_bytes_ = layout.total_bytes();
  ClearCache();

  state_ = device_->CreateBuffer(sizeof(kernels::StepState), "step state");
  sampling_ = device_->CreateBuffer(sizeof(kernels::SamplingOptions), "sampling options");
  seen_ =
      device_->CreateBuffer(static_cast<uint64_t>(config.vocab_size + 31) / 32 * 4, "seen tokens");
  ring_ = device_->CreateBuffer(static_cast<uint64_t>(capacity_) * 4, "tokens");
  total_length_ = device_->CreateBuffer(4, "total length");
  last_row_ = device_->CreateBuffer(4, "last row");
  last_position_ = device_->CreateBuffer(4, "last position");
  attention_mask_ = device_->CreateBuffer(static_cast<uint64_t>(capacity_) * 4, "attention mask");
  decode_input_ids_ = device_->CreateBuffer(4, "input ids");
  decode_position_ids_ = device_->CreateBuffer(4, "position ids");
  choice_scratch_ = device_->CreateBuffer(
      kernels::TokenChoiceScratchBytes(static_cast<uint32_t>(config.vocab_size)), "token choice");
  gpu::CommandList clear_scratch(*device_);
  clear_scratch.Clear(choice_scratch_, 0, choice_scratch_.size_bytes());
  device_->Submit(clear_scratch);
  const graph::Value* logits = model_->graph().FindValue(config.logits);
  if (logits == nullptr) {
    throw Error("model",
                "graph output '{}': got none of that name, want it as genai_config.json says",
                config.logits);
  }
  logits_rows_ = Reads(model_->graph(), kLastRow) ? 1 : chunks_.back();
  logits_ = device_->CreateBuffer(DTypeBytes(kernels::DeviceDType(device_->caps(), logits->dtype),
                                             static_cast<size_t>(config.vocab_size * logits_rows_)),
                                  "logits");
  // Now, as a shader compiled at the first prompt would stall the first token; but long prompts are
  // rare and slow anyhow.
  CompileAhead();
  ProgramFor(1);
  for (const int64_t sequence : chunks_) {
    if (sequence <= model::kLoadedChunk) ProgramFor(sequence);
  }
  if (options_.chunk == 0) chunks_ = model::ChunkLengths(ChooseChunk());
}

int64_t Session::ChooseChunk() {
  // Logits of all rows would take much memory.
  const bool may_be_longer = model_->options().measure_plans &&
                             max_length_ >= 2 * model::kLoadedChunk && logits_rows_ == 1;
  if (!may_be_longer) return chunks_.back();
  const StepProgram& loaded = ProgramFor(model::kLoadedChunk);
  const std::string what = fmt::format("{} rows", model::kLoadedChunk);
  std::optional<double> microseconds = model_->plans().RunMicroseconds(*loaded.program, what);
  if (!microseconds) {
    PrepareMeasuring(loaded.inputs, model::kLoadedChunk);
    microseconds = model_->plans().MeasureRun(*device_, *loaded.program, what);
    ClearCache();
  }
  int64_t chunk = model::ChunkFor(*microseconds);
  while (chunk > max_length_) chunk /= 2;
  return chunk;
}

// Padding rows are read before anything was written to some of them; they must not hold NaN.
void Session::ClearCache() {
  gpu::CommandList clear(*device_);
  for (const gpu::Buffer& buffer : cache_buffers_) clear.Clear(buffer, 0, buffer.size_bytes());
  device_->Submit(clear);
}

void Session::PrepareMeasuring(const gpu::CommandList& inputs, int64_t sequence) {
  const int64_t past = std::min(std::min(kMeasuredRows, max_length_) - 1, capacity_ - sequence);
  UploadState(static_cast<uint32_t>(past), static_cast<uint32_t>(past + 1), 0);
  device_->Submit(inputs);
}

bool Session::Measures(int64_t sequence) const {
  // Runs of few rows are rare, and short whatever their plans.
  return model_->options().measure_plans &&
         (sequence == 1 || sequence >= std::min(chunks_.back(), model::kLoadedChunk));
}

void Session::CompileAhead() {
  const ModelOptions& options = model_->options();
  if (!options.measure_plans) return;
  const run::PlanBook& plans = model_->plans();
  const compile::ExternalPlaces places = run::PlacesOf(cache_);
  std::vector<wgsl::Shader> specs;
  // Whether the program offers what the plan book does not know.
  const auto add = [&](int64_t sequence, bool chain) {
    const std::unique_ptr<graph::Graph> graph = model_->Specialize({sequence, capacity_}, 1);
    const compile::Lowered lowered =
        compile::Lower(*graph, device_->caps(), places, options.variants, plans.choices(), chain);
    std::vector<wgsl::Shader> unknown;
    if (Measures(sequence)) unknown = plans.UnknownPipelines(lowered);
    std::ranges::move(unknown, std::back_inserter(specs));
    for (const compile::Dispatch& dispatch : lowered.dispatches)
      specs.push_back(kernels::ExpandPlan(dispatch.plan));
    return !unknown.empty();
  };
  // A book that knows a token's program has seen the model: later loads stop here. Chains take
  // longest: they come first.
  if (!add(1, options.fusion.value_or(passes::Fusion::kChain) == passes::Fusion::kChain)) return;
  if (!options.fusion) add(1, /*chain=*/false);
  for (const int64_t sequence : chunks_) {
    if (sequence <= model::kLoadedChunk) add(sequence, /*chain=*/false);
  }
  device_->GetPipelines(specs);
}

Session::StepProgram& Session::ProgramFor(int64_t sequence) {
  const auto key = std::make_pair(sequence, branches_);
  if (const auto it = programs_.find(key); it != programs_.end()) return it->second;
  const model::GenaiConfig& config = model_->config();
  // Any length with these decisions gives the same graph; the sequence's own is one.
  const int64_t length = std::max<int64_t>(1, branch_length_);
  const std::unique_ptr<graph::Graph> graph = model_->Specialize({sequence, capacity_}, length);

  run::Externals externals = cache_;
  const gpu::Buffer input_ids =
      sequence == 1 ? decode_input_ids_
                    : device_->CreateBuffer(static_cast<uint64_t>(sequence) * 4, "input ids");
  externals[config.input_ids] = input_ids;
  externals[config.logits] = logits_;

  kernels::StepInputsShape inputs;
  inputs.sequence = static_cast<uint32_t>(sequence);
  inputs.mask_length = static_cast<uint32_t>(capacity_);
  gpu::Buffer mask, positions, total, last_row, last_position;
  if (Reads(*graph, config.attention_mask)) {
    inputs.has_attention_mask = true;
    externals[config.attention_mask] = mask = attention_mask_;
  }
  if (Reads(*graph, config.position_ids)) {
    inputs.has_position_ids = true;
    positions = sequence == 1
                    ? decode_position_ids_
                    : device_->CreateBuffer(static_cast<uint64_t>(sequence) * 4, "position ids");
    externals[config.position_ids] = positions;
  }
  if (Reads(*graph, kTotalLength)) {
    inputs.has_total_length = true;
    externals[kTotalLength] = total = total_length_;
  }
  if (Reads(*graph, kLastRow)) {
    inputs.has_last_row = true;
    externals[kLastRow] = last_row = last_row_;
  }
  if (Reads(*graph, kLastPosition)) {
    if (sequence == 1) {
      // The only position is the last one.
      inputs.has_position_ids = true;
      externals[kLastPosition] = positions = decode_position_ids_;
    } else {
      inputs.has_last_position = true;
      externals[kLastPosition] = last_position = last_position_;
    }
  }
  gpu::CommandList prepare(*device_);
  if (inputs.has_attention_mask || inputs.has_position_ids || inputs.has_total_length ||
      inputs.has_last_row || inputs.has_last_position) {
    const gpu::Buffer buffers[] = {state_, mask, positions, total, last_row, last_position};
    run::RecordPlan(*device_, kernels::PlanStepInputs(device_->caps(), inputs), buffers, prepare,
                    "step inputs");
  }
  const ModelOptions& options = model_->options();
  const bool measures = Measures(sequence);
  bool measured = false;
  if (measures) PrepareMeasuring(prepare, sequence);
  const auto make = [&](bool chain) {
    const auto build = [&] {
      return std::make_unique<run::Program>(device_, model_->weights(), *graph, externals,
                                            options.variants, model_->plans().choices(), chain);
    };
    std::unique_ptr<run::Program> program = build();
    if (!measures) return program;
    const run::Measured result = model_->plans().Measure(*device_, *program);
    measured |= result.ran;
    if (result.added) program = build();
    return program;
  };
  const bool chooses = measures && sequence == 1 && !options.fusion;
  std::unique_ptr<run::Program> program = make(chooses || options.fusion == passes::Fusion::kChain);
  if (chooses && program->has_chains()) {
    run::PlanBook& plans = model_->plans();
    const std::optional<bool> known = plans.PrefersChain(*program);
    if (known != true) {
      std::unique_ptr<run::Program> layered = make(false);
      measured |= !known;
      if (known == false || !plans.MeasureChain(*device_, *program, *layered))
        program = std::move(layered);
    }
  }
  if (measured) {
    ClearCache();
    cache_lost_ = cache_lost_ || !tokens_.empty();
    logits_valid_ = false;
  }
  std::vector<compile::Work> work = compile::WorkOf(
      *graph, program->lowered(), [&](const std::string& name) { return cache_.contains(name); });
  gpu::CommandList captured(*device_);
  captured.Append(prepare);
  captured.Append(program->captured());
  device_->Check();
  return programs_
      .emplace(key, StepProgram{std::move(program), std::move(prepare), std::move(captured),
                                input_ids, inputs, std::move(work)})
      .first->second;
}

size_t Session::decode_dispatches() {
  const StepProgram& decode = ProgramFor(1);
  return ChoiceMakesInputs(decode) ? decode.program->captured().num_dispatches()
                                   : decode.captured.num_dispatches();
}

compile::Work Session::DecodeWork(int64_t total) {
  compile::Work sum;
  for (const compile::Work& dispatch : ProgramFor(1).work) {
    const compile::Work work = AtLength(dispatch, total - 1, 1, capacity_);
    sum.weight_bytes += work.weight_bytes;
    sum.cache_bytes += work.cache_bytes;
    sum.other_bytes += work.other_bytes;
    sum.flops += work.flops;
    sum.attention_flops += work.attention_flops;
  }
  return sum;
}

void Session::Run(const StepProgram& program, int64_t past, int64_t rows, bool inputs_made) {
  const size_t first = inputs_made ? 0 : program.inputs.num_dispatches();
  if (options_.run.capture) {
    const gpu::CommandList& list = inputs_made ? program.program->captured() : program.captured;
    return Submit(list, &program, first, past, rows);
  }
  gpu::CommandList recorded(*device_);
  if (!inputs_made) recorded.Append(program.inputs);
  recorded.Append(program.program->Record());
  Submit(recorded, &program, first, past, rows);
}

void Session::Submit(const gpu::CommandList& list, const StepProgram* program, size_t first,
                     int64_t past, int64_t rows) {
  if (profile_ == nullptr) return device_->Submit(list);
  const std::vector<gpu::DispatchSpan> spans = device_->SubmitTraced(list);
  for (size_t i = 0; i < spans.size(); ++i) {
    run::DispatchTime time{spans[i].label, spans[i].pipeline, spans[i].nanoseconds,
                           spans[i].begin_nanoseconds};
    // Before and behind the program are small dispatches whose work is not known.
    if (program != nullptr && i >= first && i - first < program->work.size()) {
      const compile::Work work = AtLength(program->work[i - first], past, rows, capacity_);
      time.bytes = work.weight_bytes + work.cache_bytes + work.other_bytes;
      time.flops = work.flops + work.attention_flops;
    }
    profile_->push_back(std::move(time));
  }
}

std::vector<run::DispatchTime> Session::ProfileAppend(std::span<const int32_t> tokens) {
  std::vector<run::DispatchTime> times;
  const Scoped scoped(profile_, &times);
  Append(tokens);
  return times;
}

std::vector<run::DispatchTime> Session::ProfileStep() {
  std::vector<run::DispatchTime> times;
  const Scoped scoped(profile_, &times);
  Step();
  return times;
}

void Session::UpdateBranches(int64_t length) {
  std::vector<bool> branches = model_->BranchDecisions(length);
  branch_length_ = length;
  if (branches == branches_) return;
  branches_ = std::move(branches);
  // Keys in the cache were rotated with the other branch's factors: everything runs again.
  choose_.reset();
  decode_and_choose_.reset();
  const std::vector<int32_t> tokens = std::move(tokens_);
  tokens_.clear();
  if (!tokens.empty()) RunTokens(tokens);
}

void Session::UploadState(uint32_t past, uint32_t total, uint32_t last_row) {
  kernels::StepState state = {};
  state.past_length = past;
  state.total_length = total;
  state.last_row = last_row;
  state.position = static_cast<uint32_t>(pending_tokens_.size());
  state.seed = choice_.seed;
  device_->Upload(state_, 0, std::as_bytes(std::span(&state, 1)));
}

std::vector<int64_t> Session::PlanRuns(int64_t count) {
  for (;;) {
    const int64_t room = capacity_ - static_cast<int64_t>(tokens_.size());
    std::vector<int64_t> runs = model::CutPrompt(count, room, chunks_, run_costs_);
    try {
      for (const int64_t rows : runs) ProgramFor(rows);
      return runs;
    } catch (const Error&) {
      // Measuring may have been under way.
      cache_lost_ = true;
      logits_valid_ = false;
      // A program that nobody asked for may be more than the adapter has memory for.
      if (options_.chunk != 0 || runs.front() <= model::kLoadedChunk) throw;
      device_->Check();
      ClearCache();
    }
    chunks_ = model::ChunkLengths(model::kLoadedChunk);
  }
}

void Session::RunTokens(std::span<const int32_t> tokens) {
  // The program of one token, too: what comes later must not measure.
  ProgramFor(1);
  std::vector<int64_t> runs = PlanRuns(static_cast<int64_t>(tokens.size()));
  std::vector<int32_t> again;
  if (cache_lost_) {
    again = std::exchange(tokens_, {});
    again.insert(again.end(), tokens.begin(), tokens.end());
    tokens = again;
    runs = PlanRuns(static_cast<int64_t>(tokens.size()));
    cache_lost_ = false;
  }
  size_t done = 0;
  for (const int64_t sequence : runs) {
    const size_t valid = std::min(tokens.size() - done, static_cast<size_t>(sequence));
    StepProgram& program = ProgramFor(sequence);
    std::vector<int32_t> padded(tokens.begin() + static_cast<std::ptrdiff_t>(done),
                                tokens.begin() + static_cast<std::ptrdiff_t>(done + valid));
    padded.resize(static_cast<size_t>(sequence), tokens.back());
    device_->Upload(program.input_ids, 0, std::as_bytes(std::span(padded)));
    const auto past = static_cast<uint32_t>(tokens_.size());
    logits_row_ = static_cast<uint32_t>(valid - 1);
    UploadState(past, past + static_cast<uint32_t>(valid), logits_row_);
    Run(program, past, static_cast<int64_t>(valid));
    tokens_.insert(tokens_.end(), padded.begin(),
                   padded.begin() + static_cast<std::ptrdiff_t>(valid));
    done += valid;
  }
  logits_valid_ = true;
}

void Session::Append(std::span<const int32_t> tokens) {
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
        total, length() > 0 ? " with what came before" : "", max_length_, config.context_length);
  }
  std::vector<int32_t> all;
  if (has_pending_) all.push_back(pending_);
  all.insert(all.end(), tokens.begin(), tokens.end());
  has_pending_ = false;
  UpdateBranches(total);
  RunTokens(all);
  device_->Check();
}

std::vector<float> Session::Logits() {
  SINTER_CHECK(logits_valid_, "logits before any token has run");
  ProgramFor(1).program->CheckProgress();
  const auto vocab = static_cast<uint64_t>(model_->config().vocab_size);
  const DType dtype = kernels::DeviceDType(
      device_->caps(), model_->graph().FindValue(model_->config().logits)->dtype);
  const uint64_t elem_bytes = DTypeBytes(dtype, 1);
  // Downloads start at whole words.
  const uint64_t begin =
      std::min<uint64_t>(logits_row_, static_cast<uint64_t>(logits_rows_) - 1) * vocab * elem_bytes;
  const uint64_t aligned = begin / 4 * 4;
  const std::vector<std::byte> bytes =
      device_->Download(logits_, aligned, begin - aligned + vocab * elem_bytes);
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
  return values;
}

void Session::Rewind(int64_t length) {
  SINTER_CHECK(!generating_, "Rewind during generation");
  if (length < 0 || length > this->length()) {
    throw Error("model", "rewind: got {}, want 0 to {} (the sequence's length)", length,
                this->length());
  }
  if (length == this->length()) return;
  has_pending_ = false;
  logits_valid_ = false;
  tokens_.resize(static_cast<size_t>(length));
}

}  // namespace sinter::engine
