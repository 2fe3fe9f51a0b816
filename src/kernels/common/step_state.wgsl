// Mirrors src/kernels/sample/step_state.h, where every field is described.

struct StepState {
  past_length: u32,
  total_length: u32,
  last_row: u32,
  position: u32,
  seed: u32,
  eos_hit: u32,
  token: u32,
  token_row: u32,
}

const kMaxEosTokens = 16u;

struct SamplingOptions {
  temperature: f32,
  top_p: f32,
  min_p: f32,
  repetition_penalty: f32,
  top_k: u32,
  eos_count: u32,
  idle: u32,
  pad: u32,
  eos_tokens: array<u32, kMaxEosTokens>,
}
