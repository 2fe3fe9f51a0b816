// Operands that argmax and sample share: either can choose from the same logits.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/common/plan_util.h"
#include "kernels/kernel_plan.h"
#include "kernels/operand.h"
#include "kernels/sample/step_state.h"

namespace sinter::kernels {

inline constexpr uint32_t kMaxVocab = 1u << 20;

// What a choice gives instead of a token when the logits of the row allow none.
enum class TokenFault : uint32_t {
  kNothingFinite = 0xfffffffe,  // Every logit is -inf.
  kNotFinite = 0xffffffff,      // A logit is NaN or +inf.
};

// Returns the fault of a row of logits, or none if a token can be chosen from it: no logit is NaN
// or +inf, and one at least is finite.
std::optional<TokenFault> FaultOf(std::span<const float> logits);
// Returns the fault that a choice gave, or none if it gave a token.
std::optional<TokenFault> FaultOf(uint32_t choice);

struct TokenChoiceRoles {
  static constexpr Role kLogits{1}, kState{2, Access::kReadWrite}, kOptions{3},
      kSeen{4, Access::kReadWrite}, kTokens{5, Access::kWrite}, kInputIds{6, Access::kWrite},
      kScratch{7, Access::kReadWrite}, kPositionIds{8, Access::kWrite},
      kTotalLength{9, Access::kWrite};
};

// Operands, for a batch of B sequences:
//   logits        [rows, row_stride]
//   state         StepState [B]
//   options       SamplingOptions [B]
//   seen          u32 [B, ceil(vocab / 32)]: bit t % 32 of word t / 32 is set if token t is in the
//                 sequence's prompt or was generated
//   tokens        u32 [ring_size, B], written at row position % ring_size
//   input_ids     i32 [B]
//   scratch       u32 [TokenChoiceScratchBytes / 4]
//   position_ids, total_length  (optional) i32 [B]
//
// One sequence chooses from row min(last_row, rows - 1) of the logits. Of more, sequence b chooses
// from row b. Its token does not depend on the other sequences: it is the one that it would get
// alone. Rows with SamplingOptions::idle are skipped.
//
// Advancing the state: the token goes to tokens, input_ids, seen and state.token; past_length =
// total_length, total_length += 1, last_row = 0, position += 1, eos_hit = 1 if the token is among
// eos_tokens, token_row = the row that it was chosen from. A TokenFault goes to tokens and
// state.token only; input_ids becomes 0, so that the next run, which may be queued already, reads
// inside its tables. position_ids and total_length become what step_inputs (step_inputs.h) would
// compute for a run of that one token.
//
// The scratch must be cleared before its first use, and after a choice that was not finished. Its
// counters are 0 again after each choice. argmax and sample may share it.
struct TokenChoiceShape {
  uint32_t vocab = 1;       // up to kMaxVocab
  uint32_t batch = 1;       // sequences
  uint32_t rows = 1;        // rows of logits; a batch above 1 has one for each sequence instead
  uint32_t row_stride = 0;  // in elements; 0 means vocab
  uint32_t ring_size = 1;
  DType dtype = DType::kF32;  // type of the logits
  // Tell whether these inputs of the next run are bound.
  bool position_ids = false, total_length = false;
};

// Mirrors Params in token_choice.wgsl.
struct TokenChoiceParams {
  uint32_t vocab;
  uint32_t rows;
  uint32_t row_stride;
  uint32_t ring_size;
  uint32_t workgroups;
  uint32_t loads;  // groups of 4 tokens per thread
  uint32_t batch;
  uint32_t scratch_words;  // for each sequence
};
static_assert(sizeof(TokenChoiceParams) == 32);

// Rows of logits from which sequences choose.
struct LogitsRows {
  uint32_t vocab = 1;       // up to kMaxVocab
  uint32_t batch = 1;       // sequences
  uint32_t rows = 1;        // rows of logits; a batch above 1 has one for each sequence instead
  uint32_t row_stride = 0;  // in elements; 0 means vocab
  DType dtype = DType::kF32;
};

// Sets in a plan what logits.wgsl needs from the host, and the beginning of the variant's name,
// such as `argmax.f16.vec4`. Returns the row stride in elements. Throws Error for a type other than
// f16 and f32, and for a vocabulary of 0 or more than kMaxVocab tokens.
uint32_t SetLogits(const Caps& caps, std::string_view kernel, const LogitsRows& logits,
                   KernelPlan& plan);

// Returns the bytes of the scratch, for both kernels.
uint64_t TokenChoiceScratchBytes(uint32_t vocab, uint32_t batch = 1);
// Returns the most sequences that one choice can have: their scratch is one binding.
uint32_t MaxChoiceBatch(const Caps& caps, uint32_t vocab);

// Plans one dispatch of argmax or sample. Throws Error for a type other than f16 and f32, for a
// vocabulary of 0 or more than kMaxVocab tokens, and for a batch above MaxChoiceBatch.
KernelPlan PlanTokenChoice(const Caps& caps, const TokenChoiceShape& shape, std::string_view kernel,
                           std::string_view wgsl, const WorkgroupVariant& variant);

// Returns the logits of one row after the repetition penalty; +inf for NaN. `seen` has a bit for
// every token, as on the GPU.
std::vector<double> PenalisedLogits(std::span<const double> logits, std::span<const uint32_t> seen,
                                    double repetition_penalty);

}  // namespace sinter::kernels
