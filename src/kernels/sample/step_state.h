// Values that change between two runs of a program, in one small GPU buffer, and the options of
// token choice in another. The kernels argmax and sample advance the state, so that the next decode
// run needs no write from the CPU.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sinter::kernels {

// Mirrors StepState in common/step_state.wgsl: a storage buffer, read_write for argmax and sample,
// read for step_inputs. The host writes all of it before a prefill chunk:
//   past_length = tokens in the KV cache, total_length = past_length + the chunk's valid rows,
//   last_row = valid rows - 1; position, token and eos_hit = 0 at the start of a sequence; seed as
//   the user says.
// Only after the last chunk of a prompt does argmax or sample run. A batch has an array of states.
struct StepState {
  uint32_t past_length;   // tokens in the KV cache before this run
  uint32_t total_length;  // tokens in the KV cache after this run; padding rows do not count
  uint32_t last_row;      // row of the logits that the next token is chosen from
  uint32_t position;      // index of the next generated token, 0 for the first
  uint32_t seed;
  uint32_t eos_hit;        // 1 once an end token was generated
  uint32_t token;          // token generated last
  uint32_t token_row = 0;  // row of the logits that it was chosen from
};
static_assert(sizeof(StepState) == 32 && offsetof(StepState, token) == 24);

inline constexpr uint32_t kMaxEosTokens = 16;

// Mirrors SamplingOptions in common/step_state.wgsl: a storage buffer that is only read. The host
// may rewrite it between sequences; no pipeline depends on it. A batch has an array of options.
struct SamplingOptions {
  float temperature = 1;         // <= 0 means greedy, as argmax chooses
  float top_p = 1;               // >= 1 means off
  float min_p = 0;               // <= 0 means off
  float repetition_penalty = 1;  // 1 means off
  uint32_t top_k = 0;            // 0 means off
  uint32_t eos_count = 0;
  // 1 if no sequence has this row of a batch: no kernel of token choice then reads or writes
  // anything of the row, and its state stays.
  uint32_t idle = 0;
  uint32_t pad = 0;
  uint32_t eos_tokens[kMaxEosTokens] = {};
};
static_assert(sizeof(SamplingOptions) == 96 && offsetof(SamplingOptions, eos_tokens) == 32);

}  // namespace sinter::kernels
