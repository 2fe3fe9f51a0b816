#include "engine/step_runner.h"

#include <utility>

#include "engine/model.h"
#include "kernels/adjust_logits/adjust_logits.h"
#include "kernels/log_probs/log_probs.h"
#include "kernels/sample/step_inputs.h"
#include "kernels/sample/token_choice.h"
#include "passes/fold_attention_mask.h"
#include "passes/fold_last_position.h"
#include "passes/last_row_logits.h"
#include "passes/step_analysis.h"
#include "run/record_plan.h"

namespace sinter::engine {

StepBuffers::StepBuffers(const Model& model, int64_t capacity, const StepMemory& memory) {
  gpu::Device& device = *model.device();
  const model::GenaiConfig& config = model.config();
  gpu::CommandList clear(device);
  const auto bytes = [&](uint64_t each, const char* name) {
    gpu::Buffer buffer = device.CreateBuffer(static_cast<uint64_t>(memory.batch) * each, name);
    clear.Clear(buffer, 0, buffer.size_bytes());
    return buffer;
  };
  const auto words = [&](int64_t count, const char* name) {
    return bytes(static_cast<uint64_t>(count) * 4, name);
  };
  state = bytes(sizeof(kernels::StepState), "step state");
  sampling = bytes(sizeof(kernels::SamplingOptions), "sampling options");
  seen = words((config.vocab_size + 31) / 32, "seen tokens");
  ring = words(memory.ring, "tokens");
  // A batch has no masks: its programs need only their sums.
  attention_mask = words(memory.batch == 1 ? capacity : 1, "attention mask");
  total_length = words(1, "total length");
  last_row = words(1, "last row");
  last_position = words(1, "last position");
  past_length = words(1, "past length");
  input_ids = words(1, "input ids");
  position_ids = words(1, "position ids");
  if (memory.page_entries > 0) page_table = words(memory.page_entries, "page table");
  choice_scratch =
      device.CreateBuffer(kernels::TokenChoiceScratchBytes(static_cast<uint32_t>(config.vocab_size),
                                                           static_cast<uint32_t>(memory.batch)),
                          "token choice");
  clear.Clear(choice_scratch, 0, choice_scratch.size_bytes());
  device.Submit(clear);
  const auto logits_elems =
      static_cast<size_t>(config.vocab_size * memory.logits_rows * memory.batch);
  logits = device.CreateBuffer(
      DTypeBytes(kernels::DeviceDType(device.caps(), model.logits_dtype()), logits_elems),
      "logits");
}

void StepBuffers::AddAdjustments(gpu::Device& device, int64_t vocab, int64_t batch) {
  if (counts) return;
  gpu::CommandList clear(device);
  const auto make = [&](int64_t bytes, const char* name) {
    gpu::Buffer buffer = device.CreateBuffer(static_cast<uint64_t>(batch * bytes), name);
    clear.Clear(buffer, 0, buffer.size_bytes());
    return buffer;
  };
  adjustments = make(sizeof(kernels::LogitAdjustments), "logit adjustments");
  allowed = make((vocab + 31) / 32 * 4, "allowed tokens");
  adjusted = make(vocab * 4, "adjusted logits");
  counts = make(vocab * 4, "counts of tokens");
  device.Submit(clear);
}

void StepBuffers::AddLogProbs(gpu::Device& device, int64_t vocab, int64_t batch) {
  if (log_probs) return;
  log_probs_scratch = device.CreateBuffer(
      kernels::LogProbsScratchBytes(static_cast<uint32_t>(vocab), static_cast<uint32_t>(batch)),
      "log probabilities, scratch");
  log_probs = device.CreateBuffer(
      static_cast<uint64_t>(batch) * (1 + kernels::kMaxTopLogProbs) * sizeof(kernels::TokenLogProb),
      "log probabilities");
}

StepRunner::StepRunner(Model& model, std::shared_ptr<KvCache> cache, const StepMemory& memory,
                       const run::RunOptions& options)
    : model_(model),
      device_(model.device()),
      cache_(std::move(cache)),
      options_(options),
      memory_(memory),
      buffers_(model, cache_->capacity(), memory) {}

StepProgram& StepRunner::Bind(const std::shared_ptr<const CompiledStep>& step) {
  const auto it = bound_.find(step->key);
  if (it != bound_.end() && it->second.step == step) return it->second;
  const model::GenaiConfig& config = model_.config();
  const int64_t rows = step->key.rows;
  const kernels::StepInputsShape& inputs = step->inputs;
  const auto of_rows = [&](const gpu::Buffer& one, const char* name) {
    return rows == 1 ? one : device_->CreateBuffer(static_cast<uint64_t>(rows) * 4, name);
  };
  run::Externals externals = cache_->externals();
  const gpu::Buffer input_ids = of_rows(buffers_.input_ids, "input ids");
  const gpu::Buffer positions = of_rows(buffers_.position_ids, "position ids");
  externals[config.input_ids] = input_ids;
  externals[config.logits] = buffers_.logits;
  externals[config.attention_mask] = buffers_.attention_mask;
  externals[config.position_ids] = positions;
  externals[std::string(passes::kTotalLength)] = buffers_.total_length;
  externals[passes::kLastRow] = buffers_.last_row;
  externals[passes::kPastLength] = buffers_.past_length;
  if (step->key.page_entries > 0) {
    // A uniform binding may be smaller than the tables of all sequences.
    const auto table_bytes = static_cast<uint64_t>(step->key.batch * step->key.page_entries) * 4;
    externals[std::string(compile::kPageTable)] =
        gpu::BufferRange(buffers_.page_table, 0, table_bytes);
  }
  // With one row, the only position is also the last one.
  externals[passes::kLastPosition] = rows == 1 ? positions : buffers_.last_position;

  gpu::CommandList prepare(*device_);
  kernels::StepInputsShape shape = inputs;
  if (rows == 1 && shape.has_last_position) {
    shape.has_last_position = false;
    shape.has_position_ids = true;
  }
  const auto where = [](bool there, const gpu::Buffer& buffer) {
    return there ? buffer : gpu::Buffer();
  };
  using Roles = kernels::StepInputsRoles;
  const run::RoleBuffer operands[] = {
      {Roles::kState, buffers_.state},
      {Roles::kAttentionMask, where(shape.has_attention_mask, buffers_.attention_mask)},
      {Roles::kPositionIds, where(shape.has_position_ids, positions)},
      {Roles::kTotalLength, where(shape.has_total_length, buffers_.total_length)},
      {Roles::kLastRow, where(shape.has_last_row, buffers_.last_row)},
      {Roles::kLastPosition, where(shape.has_last_position, buffers_.last_position)},
      {Roles::kPastLength, where(shape.has_past_length, buffers_.past_length)}};
  if (shape.has_attention_mask || shape.has_position_ids || shape.has_total_length ||
      shape.has_last_row || shape.has_last_position || shape.has_past_length) {
    run::RecordPlan(*device_, kernels::PlanStepInputs(device_->caps(), shape), operands, prepare,
                    "step inputs");
  }
  auto program = std::make_shared<run::Program>(step->program, std::move(externals));
  gpu::CommandList captured(*device_);
  captured.Append(prepare);
  captured.Append(program->captured());
  StepProgram bound = {step, std::move(program), std::move(prepare), std::move(captured),
                       input_ids};
  return bound_.insert_or_assign(step->key, std::move(bound)).first->second;
}

std::vector<uint32_t> SeenBits(int64_t vocab, std::span<const int32_t> tokens) {
  std::vector<uint32_t> seen(static_cast<size_t>(vocab + 31) / 32);
  for (const int32_t token : tokens) seen[static_cast<size_t>(token) / 32] |= 1u << (token % 32);
  return seen;
}

void StepRunner::UploadTokens(const StepProgram& program, std::span<const int32_t> tokens) {
  std::vector<int32_t> padded(tokens.begin(), tokens.end());
  padded.resize(static_cast<size_t>(program.step->key.rows), padded.back());
  device_->Upload(program.input_ids, 0, std::as_bytes(std::span(padded)));
}

void StepRunner::UploadState(int64_t past, int64_t total, uint32_t last_row, uint32_t position,
                             uint32_t seed) {
  kernels::StepState state = {};
  state.past_length = static_cast<uint32_t>(past);
  state.total_length = static_cast<uint32_t>(total);
  state.last_row = last_row;
  state.position = position;
  state.seed = seed;
  device_->Upload(buffers_.state, 0, std::as_bytes(std::span(&state, 1)));
}

void StepRunner::Run(const StepProgram& program, int64_t past, int64_t rows, bool inputs_made) {
  const size_t first = inputs_made ? 0 : program.inputs.num_dispatches();
  if (options_.capture) {
    const gpu::CommandList& list = inputs_made ? program.program->captured() : program.captured;
    return Submit(list, &program, first, past, rows);
  }
  gpu::CommandList recorded(*device_);
  if (!inputs_made) recorded.Append(program.inputs);
  recorded.Append(program.program->Record());
  Submit(recorded, &program, first, past, rows);
}

void StepRunner::Submit(const gpu::CommandList& list, const StepProgram* program, size_t first,
                        int64_t past, int64_t rows) {
  if (profile_ == nullptr) return device_->Submit(list);
  const std::vector<gpu::DispatchSpan> spans = device_->SubmitTraced(list);
  for (size_t i = 0; i < spans.size(); ++i) {
    run::DispatchTime time{spans[i].label, spans[i].pipeline, spans[i].nanoseconds,
                           spans[i].begin_nanoseconds};
    // The list has small dispatches before and after the program whose work is not known.
    if (program != nullptr && i >= first && i - first < program->step->work.size()) {
      const compile::Work work =
          AtLength(program->step->work[i - first], past, rows, cache_->capacity());
      time.bytes = work.weight_bytes + work.cache_bytes + work.other_bytes;
      time.flops = work.flops + work.attention_flops;
    }
    profile_->push_back(std::move(time));
  }
}

void StepRunner::CheckRuns() const {
  for (const auto& [key, bound] : bound_) {
    bound.program->CheckProgress();
    bound.program->CheckRange();
  }
}

compile::Work AtLength(compile::Work work, int64_t past, int64_t rows, int64_t capacity) {
  work.cache_bytes *= static_cast<double>(past + rows) / static_cast<double>(capacity);
  // New row i attends to past + i + 1 tokens.
  work.attention_flops *= (static_cast<double>(past) + (static_cast<double>(rows) + 1) / 2) /
                          static_cast<double>(capacity);
  return work;
}

}  // namespace sinter::engine
