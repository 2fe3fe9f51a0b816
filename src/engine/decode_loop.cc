#include "engine/decode_loop.h"

#include <cstring>

#include "base/check.h"
#include "engine/logits_fault.h"
#include "engine/model.h"
#include "kernels/argmax/argmax.h"
#include "kernels/sample/sample.h"
#include "run/record_plan.h"

namespace sinter::engine {

bool DecodeLoop::MakesInputs(const CompiledStep& decode) const {
  const kernels::StepInputsShape& shape = decode.inputs;
  // Besides the inputs, the choice needs the other buffers of TokenChoiceShape.
  const uint32_t buffers = 7 + (shape.has_position_ids || shape.has_last_position ? 1 : 0) +
                           (shape.has_total_length ? 1 : 0);
  return !shape.has_attention_mask && !shape.has_last_row && !shape.has_past_length &&
         buffers <= runner_.device().caps().limits.max_storage_buffers_per_stage;
}

kernels::TokenChoiceShape DecodeLoop::ShapeOf(const CompiledStep& decode) const {
  kernels::TokenChoiceShape shape;
  shape.vocab = static_cast<uint32_t>(model_.config().vocab_size);
  shape.rows = static_cast<uint32_t>(runner_.logits_rows());
  shape.ring_size = static_cast<uint32_t>(runner_.cache()->capacity());
  shape.dtype = model_.logits_dtype();
  if (MakesInputs(decode)) {
    shape.position_ids = decode.inputs.has_position_ids || decode.inputs.has_last_position;
    shape.total_length = decode.inputs.has_total_length;
  }
  return shape;
}

std::vector<kernels::KernelPlan> DecodeLoop::PlansOf(const CompiledStep& decode,
                                                     bool greedy) const {
  const Caps& caps = runner_.device().caps();
  if (greedy) return {kernels::PlanArgmax(caps, ShapeOf(decode))};
  return kernels::PlanSample(caps, ShapeOf(decode));
}

void DecodeLoop::Record(StepProgram& decode) {
  if (recorded_ == decode.step && recorded_greedy_ == choice_.greedy) return;
  const kernels::TokenChoiceShape shape = ShapeOf(*decode.step);
  const StepBuffers& buffers = runner_.buffers();
  using Roles = kernels::TokenChoiceRoles;
  const run::RoleBuffer operands[] = {
      {Roles::kLogits, buffers.logits},
      {Roles::kState, buffers.state},
      {Roles::kOptions, buffers.sampling},
      {Roles::kSeen, buffers.seen},
      {Roles::kTokens, buffers.ring},
      {Roles::kInputIds, buffers.input_ids},
      {Roles::kScratch, buffers.choice_scratch},
      {Roles::kPositionIds, shape.position_ids ? buffers.position_ids : gpu::Buffer()},
      {Roles::kTotalLength, shape.total_length ? buffers.total_length : gpu::Buffer()}};
  choose_.emplace(runner_.device());
  for (const kernels::KernelPlan& plan : PlansOf(*decode.step, choice_.greedy))
    run::RecordPlan(runner_.device(), plan, operands, *choose_, "token choice");
  decode_and_choose_.emplace(runner_.device());
  decode_and_choose_->Append(MakesInputs(*decode.step) ? decode.program->captured()
                                                       : decode.captured);
  decode_and_choose_->Append(*choose_);
  recorded_ = decode.step;
  recorded_greedy_ = choice_.greedy;
}

size_t DecodeLoop::GreedyDispatches(const StepProgram& decode) const {
  return (MakesInputs(*decode.step) ? decode.program->captured() : decode.captured)
             .num_dispatches() +
         PlansOf(*decode.step, /*greedy=*/true).size();
}

void DecodeLoop::Begin(const TokenChoice& choice, std::span<const int32_t> tokens,
                       uint32_t logits_row) {
  choice_ = choice;
  pending_.clear();
  tokens_.clear();
  gpu::Device& device = runner_.device();
  device.Upload(runner_.buffers().sampling, 0, std::as_bytes(std::span(&choice_.options, 1)));
  std::vector<uint32_t> seen(static_cast<size_t>(model_.config().vocab_size + 31) / 32);
  for (const int32_t token : tokens) seen[static_cast<size_t>(token) / 32] |= 1u << (token % 32);
  device.Upload(runner_.buffers().seen, 0, std::as_bytes(std::span(seen)));
  const auto length = static_cast<int64_t>(tokens.size());
  begin_ = length;
  runner_.UploadState(length, length, logits_row, 0, choice_.seed);
}

void DecodeLoop::StepFromLogits(StepProgram& decode) {
  Record(decode);
  runner_.Submit(*choose_, nullptr, 0, 0, 0);
  ReadBack();
}

void DecodeLoop::Step(StepProgram& decode, int64_t past) {
  // A program that replaced another reads its inputs from the same buffers.
  Record(decode);
  const bool inputs_made = MakesInputs(*decode.step);
  if (runner_.options().capture) {
    const size_t first = inputs_made ? 0 : decode.inputs.num_dispatches();
    runner_.Submit(*decode_and_choose_, &decode, first, past, 1);
  } else {
    runner_.Run(decode, past, 1, inputs_made);
    runner_.Submit(*choose_, nullptr, 0, 0, 0);
  }
  ReadBack();
}

void DecodeLoop::ReadBack() {
  const int64_t place = steps() % runner_.cache()->capacity();
  pending_.push_back(
      runner_.device().DownloadAsync(runner_.buffers().ring, static_cast<uint64_t>(place) * 4, 4));
}

int32_t DecodeLoop::Token(int64_t step) {
  SINTER_CHECK(step >= 0 && step < steps(), "token {} of {}", step, steps());
  // Tokens are read up to the first fault, which stays the last.
  const auto check = [&](size_t index) {
    const auto fault = kernels::FaultOf(static_cast<uint32_t>(tokens_[index]));
    if (!fault) return;
    // Runs that went wrong give logits that mean nothing, and errors of their own.
    runner_.CheckRuns();
    throw LogitsError(model_, *fault, begin_ + static_cast<int64_t>(index));
  };
  while (static_cast<int64_t>(tokens_.size()) <= step) {
    if (!tokens_.empty()) check(tokens_.size() - 1);
    const std::vector<std::byte> bytes = pending_[tokens_.size()].Wait();
    int32_t token = 0;
    std::memcpy(&token, bytes.data(), sizeof(token));
    tokens_.push_back(token);
  }
  check(static_cast<size_t>(step));
  return tokens_[static_cast<size_t>(step)];
}

}  // namespace sinter::engine
