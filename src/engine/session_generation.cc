// The part of Session that generates: the choice of a token, the loop on the GPU, what is kept of
// it.

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "engine/session.h"
#include "kernels/argmax/argmax.h"
#include "kernels/sample/sample.h"
#include "run/record_plan.h"

namespace sinter::engine {

bool Session::ChoiceMakesInputs(const StepProgram& decode) const {
  const kernels::StepInputsShape& shape = decode.inputs_shape;
  // Beside the inputs, the choice needs the other buffers of TokenChoiceShape.
  const uint32_t buffers = 7 + (shape.has_position_ids ? 1 : 0) + (shape.has_total_length ? 1 : 0);
  return !shape.has_attention_mask && !shape.has_last_row &&
         buffers <= device_->caps().limits.max_storage_buffers_per_stage;
}

kernels::TokenChoiceShape Session::ChoiceShape(const StepProgram& decode) const {
  const model::GenaiConfig& config = model_->config();
  kernels::TokenChoiceShape shape;
  shape.vocab = static_cast<uint32_t>(config.vocab_size);
  shape.rows = static_cast<uint32_t>(logits_rows_);
  shape.ring_size = static_cast<uint32_t>(capacity_);
  shape.dtype = model_->graph().FindValue(config.logits)->dtype;
  if (ChoiceMakesInputs(decode)) {
    shape.position_ids = decode.inputs_shape.has_position_ids;
    shape.total_length = decode.inputs_shape.has_total_length;
  }
  return shape;
}

std::vector<gpu::Buffer> Session::ChoiceOperands(const kernels::TokenChoiceShape& shape) const {
  return {logits_,
          state_,
          sampling_,
          seen_,
          ring_,
          decode_input_ids_,
          choice_scratch_,
          shape.position_ids ? decode_position_ids_ : gpu::Buffer(),
          shape.total_length ? total_length_ : gpu::Buffer()};
}

void Session::RecordChoice() {
  const StepProgram& decode = ProgramFor(1);
  const kernels::TokenChoiceShape shape = ChoiceShape(decode);
  const std::vector<kernels::KernelPlan> plans =
      choice_.greedy ? std::vector{kernels::PlanArgmax(device_->caps(), shape)}
                     : kernels::PlanSample(device_->caps(), shape);
  const std::vector<gpu::Buffer> buffers = ChoiceOperands(shape);
  choose_.emplace(*device_);
  for (const kernels::KernelPlan& plan : plans) {
    run::RecordPlan(*device_, plan, buffers, *choose_, "token choice");
  }
  decode_and_choose_.emplace(*device_);
  decode_and_choose_->Append(ChoiceMakesInputs(decode) ? decode.program->captured()
                                                       : decode.captured);
  decode_and_choose_->Append(*choose_);
}

size_t Session::greedy_dispatches() {
  SINTER_CHECK(!generating_, "generation is under way");
  if (!choice_.greedy) choose_.reset();
  choice_.greedy = true;
  if (!choose_) RecordChoice();
  return decode_and_choose_->num_dispatches();
}

void Session::Choose() {
  if (!choose_) RecordChoice();
  Submit(*choose_, nullptr, 0, 0, 0);
}

void Session::BeginGeneration(const TokenChoice& choice) {
  SINTER_CHECK(!generating_, "generation is under way");
  if (!logits_valid_)
    throw Error("model", "generation: got no tokens to go on from, want a prompt");
  if (choice_.greedy != choice.greedy) choose_.reset();
  choice_ = choice;
  if (!choose_) RecordChoice();
  generating_ = true;
  pending_tokens_.clear();
  generated_.clear();
  device_->Upload(sampling_, 0, std::as_bytes(std::span(&choice_.options, 1)));
  std::vector<uint32_t> seen(static_cast<size_t>(model_->config().vocab_size + 31) / 32);
  for (const int32_t token : tokens_) seen[static_cast<size_t>(token) / 32] |= 1u << (token % 32);
  device_->Upload(seen_, 0, std::as_bytes(std::span(seen)));
  const auto length = static_cast<uint32_t>(tokens_.size());
  UploadState(length, length, logits_row_);
}

void Session::Step() {
  SINTER_CHECK(generating_, "Step outside generation");
  const int64_t step = steps();
  const int64_t total = static_cast<int64_t>(tokens_.size()) + step;
  if (step == 0) {
    Choose();
  } else {
    if (total > max_length_) {
      throw Error("model", "generation: got {} tokens, want at most {} (the maximum length)", total,
                  max_length_);
    }
    if (model_->BranchDecisions(total) != branches_) {
      // The sequence passes the length where other factors hold: run it anew with them, then go on.
      std::vector<int32_t> sequence = tokens_;
      for (int64_t i = 0; i < step; ++i) sequence.push_back(Token(i));
      const std::vector<int32_t> before = std::exchange(tokens_, {});
      try {
        UpdateBranches(total);
        RunTokens(sequence);
      } catch (...) {
        tokens_ = before;
        throw;
      }
      tokens_ = before;
      Choose();
    } else {
      const StepProgram& decode = ProgramFor(1);
      const bool inputs_made = ChoiceMakesInputs(decode);
      const size_t first = inputs_made ? 0 : decode.inputs.num_dispatches();
      if (options_.run.capture) {
        Submit(*decode_and_choose_, &decode, first, total - 1, 1);
      } else {
        Run(decode, total - 1, 1, inputs_made);
        Choose();
      }
    }
  }
  pending_tokens_.push_back(
      device_->DownloadAsync(ring_, static_cast<uint64_t>(step % capacity_) * 4, 4));
}

int32_t Session::Token(int64_t step) {
  SINTER_CHECK(step >= 0 && step < steps(), "token {} of {}", step, steps());
  while (static_cast<int64_t>(generated_.size()) <= step) {
    const std::vector<std::byte> bytes = pending_tokens_[generated_.size()].Wait();
    int32_t token = 0;
    std::memcpy(&token, bytes.data(), sizeof(token));
    generated_.push_back(token);
  }
  return generated_[static_cast<size_t>(step)];
}

void Session::EndGeneration(int64_t kept) {
  SINTER_CHECK(generating_ && kept >= 0 && kept <= steps(), "{} of {} tokens kept", kept, steps());
  generating_ = false;
  if (kept > 0) Token(kept - 1);
  // Tokens queued past the end were decoded too: their rows lie behind the sequence and are
  // overwritten later.
  pending_tokens_.clear();
  ProgramFor(1).program->CheckProgress();
  if (kept == 0) return KeepNone();
  tokens_.insert(tokens_.end(), generated_.begin(), generated_.begin() + kept - 1);
  has_pending_ = true;
  pending_ = generated_[static_cast<size_t>(kept - 1)];
  logits_valid_ = false;
}

void Session::AbandonGeneration() noexcept {
  generating_ = false;
  pending_tokens_.clear();
  KeepNone();
}

// The logits of the sequence's last token may be gone: it runs again with what comes next.
void Session::KeepNone() noexcept {
  logits_valid_ = false;
  has_pending_ = true;
  pending_ = tokens_.back();
  tokens_.pop_back();
}

}  // namespace sinter::engine
