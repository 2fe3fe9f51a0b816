// Changes logits by the options of each sequence's request before a token is chosen: allowed
// tokens, a least number of tokens, biases, penalties of tokens that were generated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/kernel_plan.h"
#include "kernels/operand.h"
#include "kernels/sample/token_choice.h"

namespace sinter::kernels {

inline constexpr uint32_t kMaxLogitBiases = 512;

// Mirrors LogitBias in adjust_logits.wgsl.
struct LogitBias {
  uint32_t token = 0;
  float bias = 0;
};

// Options of one sequence. Mirrors LogitAdjustments in adjust_logits.wgsl: a storage buffer that is
// only read. The host may write the members up to the last bias that is used. With the defaults the
// logits stay as they are.
struct LogitAdjustments {
  float presence_penalty = 0;
  float frequency_penalty = 0;
  uint32_t min_tokens = 0;
  uint32_t has_allowed = 0;  // 1 if the sequence's row of `allowed` counts
  uint32_t bias_count = 0;   // up to kMaxLogitBiases
  uint32_t pad[3] = {};
  LogitBias biases[kMaxLogitBiases] = {};
};
static_assert(sizeof(LogitAdjustments) == 4128 && offsetof(LogitAdjustments, biases) == 32);

// Throws Error unless there are at most kMaxLogitBiases biases, of distinct tokens below `vocab`,
// and all numbers are finite.
void CheckLogitAdjustments(const LogitAdjustments& adjustments, uint32_t vocab);

struct AdjustLogitsRoles {
  static constexpr Role kLogits{1}, kState{2}, kOptions{3}, kAdjustments{4}, kAllowed{5},
      kCounts{6, Access::kReadWrite}, kAdjusted{7, Access::kWrite};
};

// In the order of vLLM:
//   allowed tokens: a token that is not allowed gets -inf
//   min_tokens: while position < min_tokens, the end tokens of SamplingOptions get -inf
//   bias: l + bias
//   frequency penalty: l - frequency_penalty * count
//   presence penalty: l - presence_penalty if count > 0
// where `count` says how often the token was generated. argmax and sample do the rest: the
// repetition penalty, which vLLM applies between bias and frequency penalty, then the filters.
// -inf, NaN and +inf stay, even for tokens that are not allowed, so that the choice finds the
// fault; if no token is left, it gives TokenFault::kNothingFinite. Other results are clamped to
// finite numbers.
//
// Operands, for a batch of B sequences, whose rows are those of TokenChoiceShape:
//   logits       [rows, row_stride], not changed
//   state        StepState [B], as it is before the choice
//   options      SamplingOptions [B]
//   adjustments  LogitAdjustments [B]
//   allowed      (optional) u32 [B, ceil(vocab / 32)]: bit t % 32 of word t / 32 is set if the
//                sequence may choose token t
//   counts       (optional) u32 [B, vocab]: how often each token was generated
//   adjusted     f32 [B, row_stride]; elements past the vocabulary mean nothing
// Without `allowed`, has_allowed is ignored; without `counts`, the penalties are.
//
// The host sets a sequence's counts to 0 when its generation begins. If the sequence has a penalty
// of the two, the dispatch adds state.token, which was chosen last, before it applies them (unless
// position is 0 or the token is a TokenFault). So there must be one dispatch for each choice. Where
// a sequence goes on from tokens that were generated before, the host counts all but the last of
// them. Rows with SamplingOptions::idle are skipped.
//
// Estimate for 64 sequences and 151,936 tokens in f16 on an H200: 19 MB read, 39 MB written and 39
// MB of counts, 23 us at 4.2 TB/s.
struct AdjustLogitsShape {
  uint32_t vocab = 1;       // up to kMaxVocab
  uint32_t batch = 1;       // sequences
  uint32_t rows = 1;        // rows of logits; a batch above 1 has one for each sequence instead
  uint32_t row_stride = 0;  // in elements; 0 means vocab
  DType dtype = DType::kF32;
  bool has_allowed = false, has_counts = false;
};

// Mirrors Params in adjust_logits.wgsl.
struct AdjustLogitsParams {
  uint32_t vocab;
  uint32_t rows;
  uint32_t row_stride;
  uint32_t batch;
};
static_assert(sizeof(AdjustLogitsParams) == 16);

// Plans one dispatch, to be run before argmax or sample, which then choose from `adjusted`: f32,
// and one row for each sequence. The only variant is `wg256`. Throws Error for another, for a type
// other than f16 and f32, and for a vocabulary of 0 or more than kMaxVocab tokens.
KernelPlan PlanAdjustLogits(const Caps& caps, const AdjustLogitsShape& shape,
                            std::string_view variant = "");

// Returns the adjusted logits of one row by the definition above. `allowed` and `counts` may be
// empty; `counts` includes the token that was chosen last.
std::vector<double> AdjustLogitsReference(std::span<const double> logits,
                                          const SamplingOptions& options,
                                          const LogitAdjustments& adjustments, uint32_t position,
                                          std::span<const uint32_t> allowed,
                                          std::span<const uint32_t> counts);

}  // namespace sinter::kernels
