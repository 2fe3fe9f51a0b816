// Log probabilities of the token that was chosen and of the likeliest ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/kernel_plan.h"
#include "kernels/operand.h"
#include "kernels/sample/token_choice.h"

namespace sinter::kernels {

inline constexpr uint32_t kMaxTopLogProbs = 20;

// One result, as it is in the buffer. The token is a float, which holds every token exactly; -1
// stands for no token.
struct TokenLogProb {
  float token = -1;
  float log_prob = 0;
};
static_assert(sizeof(TokenLogProb) == 8);

struct LogProbsRoles {
  static constexpr Role kLogits{1}, kState{2}, kOptions{3}, kScratch{4, Access::kReadWrite},
      kResults{5, Access::kWrite};
};

// For each sequence, the log probability of a token with logit l is l - log(sum(exp(logits))), in
// f32, relative to the largest logit. The logits are those of the model, before penalties and
// filters.
//
// Operands, for a batch of B sequences:
//   logits   [rows, row_stride]
//   state    StepState [B], as it is after the choice: StepState::token_row says which row the
//   token
//            was chosen from. A batch above 1 has one row for each sequence.
//   options  SamplingOptions [B]
//   scratch  LogProbsScratchBytes
//   results  TokenLogProb [B, 1 + top]: the token that was chosen, then the `top` likeliest tokens,
//            the likeliest first, of equal ones the lower token first
// Tokens whose logit is -inf are not among the likeliest; where there are too few others, the rest
// is
// {-1, -inf}. So is the first result where the choice gave a TokenFault, and every likeliest token
// where a logit is NaN or +inf or all are -inf. Rows with SamplingOptions::idle are skipped.
//
// Estimate for 64 sequences, 151,936 tokens in f16 and 20 likeliest on an H200: the first dispatch
// reads 19 MB, 5 us at 4.2 TB/s. The second takes 20 rounds of two searches over a workgroup and
// one load from the cache, some 1.5 us each, in all sequences at once: 30 us.
struct LogProbsShape {
  uint32_t vocab = 1;       // up to kMaxVocab
  uint32_t batch = 1;       // sequences
  uint32_t rows = 1;        // rows of logits; a batch above 1 has one for each sequence instead
  uint32_t row_stride = 0;  // in elements; 0 means vocab
  uint32_t top = 0;         // up to kMaxTopLogProbs
  DType dtype = DType::kF32;
};

// Mirrors Params in log_probs.wgsl.
struct LogProbsParams {
  uint32_t vocab;
  uint32_t rows;
  uint32_t row_stride;
  uint32_t batch;
  uint32_t segments;
  uint32_t top;
  uint32_t pad[2];
};
static_assert(sizeof(LogProbsParams) == 32);

// Returns the bytes of the scratch, which need not be cleared.
uint64_t LogProbsScratchBytes(uint32_t vocab, uint32_t batch);

// Variants: `wg256` and, with subgroups, `wg256.sg`.
std::vector<std::string> LogProbsVariants(const Caps& caps);

// Plans two dispatches, to be run in order after the choice. Throws Error for an unknown variant,
// for a type other than f16 and f32, for a vocabulary of 0 or more than kMaxVocab tokens, and for
// more than kMaxTopLogProbs likeliest tokens.
std::vector<KernelPlan> PlanLogProbs(const Caps& caps, const LogProbsShape& shape,
                                     std::string_view variant = "");

// Computes the 1 + top results of one row in double, as pairs of a token and its log probability.
// `token` may be a TokenFault.
std::vector<double> LogProbsReference(std::span<const double> logits, uint32_t token, uint32_t top);

}  // namespace sinter::kernels
