// The end of a token's choice: finding the last workgroup to finish, and the step to the next run.
// token_choice.h has the definition.
//
// Workgroups of one dispatch pass data only through `scratch`, by atomics: plain loads may return
// stale data.
//
// The including shader defines kStepBinding, the binding of the first operand, workgroup_count()
// and ring_size(). The host defines a name for each input of the next run that exists.

#include "common/step_state.wgsl"

@group(0) @binding(kStepBinding) var<storage, read_write> state: StepState;
@group(0) @binding(kStepBinding + 1u) var<storage, read> options: SamplingOptions;
@group(0) @binding(kStepBinding + 2u) var<storage, read_write> seen: array<u32>;
@group(0) @binding(kStepBinding + 3u) var<storage, read_write> tokens: array<u32>;
@group(0) @binding(kStepBinding + 4u) var<storage, read_write> input_ids: array<i32>;
@group(0) @binding(kStepBinding + 5u) var<storage, read_write> scratch: array<atomic<u32>>;
#if position_ids
@group(0) @binding(kStepBinding + 6u) var<storage, read_write> position_ids: array<i32>;
#endif
#if total_length
@group(0) @binding(kStepBinding + 7u) var<storage, read_write> total_length: array<i32>;
#endif

// Words of `scratch`: the number of workgroups that have finished, and where the results of each
// workgroup begin.
const kFinished = 0u;
const kFirstPartial = 16u;

// The logit of what must not be chosen: -inf, and indices past the vocabulary.
const kNone = -3.4028234663852886e+38f;
// The largest finite logit, and what stands for NaN and +inf: larger than every finite logit, so
// that the search for the largest one finds it.
const kLargest = 3.4028232635611926e+38f;
const kBad = 3.4028234663852886e+38f;

// What a choice gives instead of a token. They mirror TokenFault in token_choice.h.
const kNothingFinite = 0xfffffffeu;
const kNotFinite = 0xffffffffu;

// Replaces NaN and +inf by kBad, and clamps the others to finite numbers below it.
fn finite_logits(raw: vec4<f32>) -> vec4<f32> {
  // Checked by its bits: a compiler may assume that there is neither NaN nor infinity.
  let bits = bitcast<vec4<u32>>(raw);
  let bad = ((bits & vec4<u32>(0x7fffffffu)) >= vec4<u32>(0x7f800000u)) &
            (bits != vec4<u32>(0xff800000u));
  return select(clamp(raw, vec4<f32>(kNone), vec4<f32>(kLargest)), vec4<f32>(kBad), bad);
}

// Returns the token, or why there is none, if the largest logit of all says so.
fn token_or_fault(token: u32, largest: f32) -> u32 {
  return select(select(token, kNothingFinite, largest == kNone), kNotFinite, largest == kBad);
}

var<workgroup> is_last: bool;
var<workgroup> ends_text: atomic<u32>;

const kNever = 0xffffffffu;

// Waits for atomics on scratch whose results made `before`, which is never kNever. A barrier alone
// does not wait for them: on an H200 the last workgroup missed some of them.
fn await_atomics(before: u32) {
  if (before == kNever) {
    atomicStore(&scratch[kFinished], 0u);
  }
}

// Returns whether every other workgroup has finished. Every thread must call, from uniform control
// flow, after its workgroup has written to `scratch` what the last one needs.
fn finish_workgroup(local: u32) -> bool {
  storageBarrier();
  if (local == 0u) {
    is_last = atomicAdd(&scratch[kFinished], 1u) + 1u == workgroup_count();
    if (is_last) {
      atomicStore(&scratch[kFinished], 0u);
    }
  }
  return workgroupUniformLoad(&is_last);
}

// Takes the step from this run to the next, in the last workgroup. `choice` is a token or a fault,
// which goes only to the ring and the state: the next run reads token 0. Every thread must call,
// from uniform control flow, after all have read what they need of state and seen.
fn take_step(choice: u32, local: u32) {
  let is_token = choice < kNothingFinite;
  let token = select(0u, choice, is_token);
  if (local == 0u) {
    atomicStore(&ends_text, 0u);
  }
  workgroupBarrier();
  if (local < min(options.eos_count, kMaxEosTokens) && options.eos_tokens[local] == choice) {
    atomicStore(&ends_text, 1u);
  }
  workgroupBarrier();
  if (local > 0u) {
    return;
  }
  let before = state;
  tokens[before.position % ring_size()] = choice;
  input_ids[0] = i32(token);
  seen[token / 32u] |= select(0u, 1u << (token % 32u), is_token);
  state.past_length = before.total_length;
  state.total_length = before.total_length + 1u;
  state.last_row = 0u;
  state.position = before.position + 1u;
  state.eos_hit = before.eos_hit | atomicLoad(&ends_text);
  state.token = choice;
#if position_ids
  position_ids[0] = i32(before.total_length);
#endif
#if total_length
  total_length[0] = i32(before.total_length + 1u);
#endif
}
