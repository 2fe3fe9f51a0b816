// Code that argmax and sample share: operands, the penalised logits of the row, the tokens of a
// thread, the last workgroup to finish, and the step afterwards. token_choice.h has the definition.
//
// Workgroups (x, seq) choose for sequence `seq`, in the same way whatever the batch:
// params.workgroups of 256 threads share its row. Thread i of these has the tokens 4 n i
// to 4 n (i + 1) - 1, n = params.loads: one load of 4 tokens for up to 262,144 tokens, so that a
// GPU has the whole row in flight at once. Loads are vec4s if every row starts at a multiple of 4.
//
// Workgroups of one dispatch pass data only through `scratch`, by atomics: plain loads may return
// stale data.
//
// The host defines what logits.wgsl says, and a name for each input of the next run that exists.

#include "sample/logits.wgsl"
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
  batch: u32,
  scratch_words: u32,  // for each sequence
}

@group(0) @binding(0) var<uniform> params: Params;
// next_step.wgsl has the bindings from here on.
const kStepBinding = 2u;

fn workgroup_count() -> u32 {
  return params.workgroups;
}

fn batch_size() -> u32 {
  return params.batch;
}

fn ring_size() -> u32 {
  return params.ring_size;
}

fn seen_at(seq: u32) -> u32 {
  return seq * ((params.vocab + 31u) / 32u);
}

fn scratch_at(seq: u32, word: u32) -> u32 {
  return seq * params.scratch_words + word;
}

fn logits_row(seq: u32) -> u32 {
  return select(min(state[seq].last_row, params.rows - 1u), seq, params.batch > 1u);
}

// Returns the logits of tokens 4v to 4v + 3 with the repetition penalty, kNone past the vocabulary.
// 4v < params.vocab.
fn load_logits(seq: u32, v: u32) -> vec4<f32> {
  let none = vec4<f32>(kNone);
  var x = row_logits(logits_row(seq), v);
  let penalty = options[seq].repetition_penalty;
  if (penalty != 1.0) {
    let bits = seen[seen_at(seq) + v / 8u] >> (4u * (v % 8u));
    let is_seen = (vec4<u32>(bits) & vec4<u32>(1u, 2u, 4u, 8u)) != vec4<u32>(0u);
    let penalised = select(x * penalty, x / penalty, x > vec4<f32>(0.0));
    let finite = (x > none) & (x < vec4<f32>(kBad));
    x = select(x, clamp(penalised, none, vec4<f32>(kLargest)), is_seen & finite);
  }
  return x;
}

// Thread `local` of a workgroup has the quads of tokens [first_load, end_load).
fn first_load(workgroup: u32, local: u32) -> u32 {
  return (workgroup * kWorkgroupSize + local) * params.loads;
}

fn end_load(workgroup: u32, local: u32) -> u32 {
  return min(first_load(workgroup, local) + params.loads, (params.vocab + 3u) / 4u);
}

// Refers to the operands that only take_step needs, so that all dispatches of one choice have the
// same bindings.
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
