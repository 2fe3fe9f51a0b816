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

#include "sample/next_step.wgsl"

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

// Bindings from here on: next_step.wgsl.
const kStepBinding = 2u;

fn workgroup_count() -> u32 {
  return params.workgroups;
}

fn ring_size() -> u32 {
  return params.ring_size;
}

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
  let inside = 4u * v + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.vocab);
  var x = select(none, finite_logits(raw_logits(v)), inside);
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
fn first_load(workgroup: u32, local: u32) -> u32 {
  return (workgroup * kWorkgroupSize + local) * params.loads;
}

fn end_load(workgroup: u32, local: u32) -> u32 {
  return min(first_load(workgroup, local) + params.loads, (params.vocab + 3u) / 4u);
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
