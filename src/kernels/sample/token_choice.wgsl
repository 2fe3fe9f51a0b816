// What argmax and sample share: operands, the penalised logits of the row, the step afterwards.
// Definition: token_choice.h.
//
// One workgroup of 256 threads; thread i reads the groups of 4 tokens i, i + 256, ... of the row,
// as vec4s where every row starts at a multiple of 4.
//
// The host defines act_t, and `vec4` where row_stride is a multiple of 4.

#include "common/step_state.wgsl"

const kWorkgroupSize = 256u;

struct Params {
  vocab: u32,
  rows: u32,
  row_stride: u32,
  ring_size: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
#if vec4
@group(0) @binding(1) var<storage, read> logits: array<vec4<act_t>>;
#else
@group(0) @binding(1) var<storage, read> logits: array<act_t>;
#endif
@group(0) @binding(2) var<storage, read_write> state: StepState;
@group(0) @binding(3) var<storage, read> options: SamplingOptions;
@group(0) @binding(4) var<storage, read_write> seen: array<u32>;
@group(0) @binding(5) var<storage, read_write> tokens: array<u32>;
@group(0) @binding(6) var<storage, read_write> input_ids: array<i32>;

// The logit of what must not be chosen: NaN, -inf, and the places behind the vocabulary.
const kNone = -3.4028234663852886e+38f;

#if vec4
fn raw_logits(v: u32) -> vec4<f32> {
  let row = min(state.last_row, params.rows - 1u);
  return vec4<f32>(logits[row * (params.row_stride / 4u) + v]);
}
#else
fn raw_logits(v: u32) -> vec4<f32> {
  let row = min(state.last_row, params.rows - 1u) * params.row_stride;
  let last = params.vocab - 1u;
  return vec4<f32>(f32(logits[row + min(4u * v, last)]), f32(logits[row + min(4u * v + 1u, last)]),
                   f32(logits[row + min(4u * v + 2u, last)]),
                   f32(logits[row + min(4u * v + 3u, last)]));
}
#endif

// Logits of the tokens 4v .. 4v + 3 with the repetition penalty; kNone where there is none.
fn load_logits(v: u32) -> vec4<f32> {
  let none = vec4<f32>(kNone);
  let raw = raw_logits(v);
  // By its bits: a compiler may take it that there is no NaN.
  let is_nan = (bitcast<vec4<u32>>(raw) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
  let inside = 4u * v + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.vocab);
  var x = select(none, clamp(raw, none, -none), inside & !is_nan);
  if (options.repetition_penalty != 1.0) {
    let bits = seen[v / 8u] >> (4u * (v % 8u));
    let is_seen = (vec4<u32>(bits) & vec4<u32>(1u, 2u, 4u, 8u)) != vec4<u32>(0u);
    let penalised = select(x * options.repetition_penalty, x / options.repetition_penalty,
                           x > vec4<f32>(0.0));
    x = select(x, clamp(penalised, none, -none), is_seen & (x > none));
  }
  return x;
}

// The step from this run to the next. One thread calls, after every thread has read what it needs
// of state and seen.
fn take_step(token: u32) {
  tokens[state.position % params.ring_size] = token;
  input_ids[0] = i32(token);
  seen[token / 32u] |= 1u << (token % 32u);
  for (var i = 0u; i < min(options.eos_count, kMaxEosTokens); i++) {
    if (options.eos_tokens[i] == token) {
      state.eos_hit = 1u;
    }
  }
  state.token = token;
  state.past_length = state.total_length;
  state.total_length += 1u;
  state.last_row = 0u;
  state.position += 1u;
}
