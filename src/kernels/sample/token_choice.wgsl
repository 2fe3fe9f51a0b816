// What argmax and sample share: operands, the penalised logits of the row, which tokens a thread
// has, the last workgroup to finish, the step afterwards. Definition: token_choice.h.
//
// params.workgroups workgroups of 256 threads share the row: thread i of all has the tokens
// 4 n i .. 4 n (i + 1) - 1, n = params.loads: one load of 4 up to 262,144 tokens, so that a GPU has
// the whole row in flight at once. Loads are vec4s where every row starts at a multiple of 4.
//
// Data goes from one workgroup to another within a dispatch through `scratch` alone, by atomics:
// plain stores may be read stale.
//
// The host defines act_t, `vec4` where row_stride is a multiple of 4, and a name for each input of
// the next run that is there.

#include "common/step_state.wgsl"

const kWorkgroupSize = 256u;
const kMaxWorkgroups = 256u;

struct Params {
  vocab: u32,
  rows: u32,
  row_stride: u32,
  ring_size: u32,
  workgroups: u32,
  loads: u32,
  pad0: u32,
  pad1: u32,
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
@group(0) @binding(7) var<storage, read_write> scratch: array<atomic<u32>>;
#if position_ids
@group(0) @binding(8) var<storage, read_write> position_ids: array<i32>;
#endif
#if total_length
@group(0) @binding(9) var<storage, read_write> total_length: array<i32>;
#endif

// Words of `scratch`: how many workgroups have finished, and from where on each workgroup lays down
// what it has found, three words at most.
const kFinished = 0u;
const kFirstPartial = 16u;

// The logit of what must not be chosen: NaN, -inf, and the places behind the vocabulary.
const kNone = -3.4028234663852886e+38f;

var<workgroup> is_last: bool;
var<workgroup> ends_text: atomic<u32>;

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
// 4v < params.vocab.
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

// Thread `lid` of workgroup `group` has the groups of 4 tokens [first_load, end_load).
fn first_load(group: u32, lid: u32) -> u32 {
  return (group * kWorkgroupSize + lid) * params.loads;
}

fn end_load(group: u32, lid: u32) -> u32 {
  return min(first_load(group, lid) + params.loads, (params.vocab + 3u) / 4u);
}

// Names the operands that only take_step needs, so that all dispatches of one choice can be bound
// alike.
fn bind_all() {
  _ = &tokens;
  _ = &input_ids;
#if position_ids
  _ = &position_ids;
#endif
#if total_length
  _ = &total_length;
#endif
}

const kNever = 0xffffffffu;

// Waits for atomics on scratch by what they returned, `before` being made of that and never
// kNever: a barrier alone lets them be on their way still, and on an H200 the last workgroup then
// missed some of them.
fn await_atomics(before: u32) {
  if (before == kNever) {
    atomicStore(&scratch[kFinished], 0u);
  }
}

// Whether every other workgroup has finished. Every thread calls, from uniform control flow, after
// its workgroup has laid down in `scratch` what the last one needs.
fn finish_workgroup(lid: u32) -> bool {
  storageBarrier();
  if (lid == 0u) {
    is_last = atomicAdd(&scratch[kFinished], 1u) + 1u == params.workgroups;
    if (is_last) {
      atomicStore(&scratch[kFinished], 0u);
    }
  }
  return workgroupUniformLoad(&is_last);
}

// The step from this run to the next, by the last workgroup: every thread calls, from uniform
// control flow, after all have read what they need of state and seen.
fn take_step(token: u32, lid: u32) {
  if (lid == 0u) {
    atomicStore(&ends_text, 0u);
  }
  workgroupBarrier();
  if (lid < min(options.eos_count, kMaxEosTokens) && options.eos_tokens[lid] == token) {
    atomicStore(&ends_text, 1u);
  }
  workgroupBarrier();
  if (lid > 0u) {
    return;
  }
  let before = state;
  tokens[before.position % params.ring_size] = token;
  input_ids[0] = i32(token);
  seen[token / 32u] |= 1u << (token % 32u);
  state.past_length = before.total_length;
  state.total_length = before.total_length + 1u;
  state.last_row = 0u;
  state.position = before.position + 1u;
  state.eos_hit = before.eos_hit | atomicLoad(&ends_text);
  state.token = token;
#if position_ids
  position_ids[0] = i32(before.total_length);
#endif
#if total_length
  total_length[0] = i32(before.total_length + 1u);
#endif
}
