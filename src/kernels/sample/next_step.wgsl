// The end of a token's choice: finding the last workgroup to finish, and the step to the next run.
// token_choice.h has the definition.
//
// Workgroups of one dispatch pass data only through `scratch`, by atomics: plain loads may return
// stale data.
//
// The including shader defines kStepBinding, the binding of the first operand, and the functions
// below. `seq` is the sequence's index in the batch. The host defines a name for each input of the
// next run that exists.
//
//   workgroup_count()       workgroups of one sequence
//   batch_size(), ring_size()
//   seen_at(seq)            word of `seen` at which a sequence begins
//   scratch_at(seq, word)   word of `scratch`, counted from where a sequence begins
//   logits_row(seq)         row of the logits that a sequence chooses from

#include "common/step_state.wgsl"

@group(0) @binding(kStepBinding) var<storage, read_write> state: array<StepState>;
@group(0) @binding(kStepBinding + 1u) var<storage, read> options: array<SamplingOptions>;
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

// Words of `scratch`, for each sequence: the number of workgroups that have finished, and where the
// results of each workgroup begin.
const kFinished = 0u;
const kFirstPartial = 16u;

// What a choice gives instead of a token. They mirror TokenFault in token_choice.h.
const kNothingFinite = 0xfffffffeu;
const kNotFinite = 0xffffffffu;

// Returns the token, or why there is none, if the largest logit of all says so.
fn token_or_fault(token: u32, largest: f32) -> u32 {
  return select(select(token, kNothingFinite, largest == kNone), kNotFinite, largest == kBad);
}

var<workgroup> is_last: bool;
var<workgroup> ends_text: atomic<u32>;

const kNever = 0xffffffffu;

// Waits for atomics on scratch whose results made `before`, which is never kNever. A barrier alone
// does not wait for them: on an H200 the last workgroup missed some of them.
fn await_atomics(seq: u32, before: u32) {
  if (before == kNever) {
    atomicStore(&scratch[scratch_at(seq, kFinished)], 0u);
  }
}

// Returns whether every other workgroup of the sequence has finished. Every thread must call, from
// uniform control flow, after its workgroup has written to `scratch` what the last one needs.
fn finish_workgroup(seq: u32, local: u32) -> bool {
  storageBarrier();
  if (local == 0u) {
    let finished = scratch_at(seq, kFinished);
    is_last = atomicAdd(&scratch[finished], 1u) + 1u == workgroup_count();
    if (is_last) {
      atomicStore(&scratch[finished], 0u);
    }
  }
  return workgroupUniformLoad(&is_last);
}

// Takes the step from this run to the next, in the last workgroup. `choice` is a token or a fault,
// which goes only to the ring and the state: the next run reads token 0. Every thread must call,
// from uniform control flow, after all have read what they need of state and seen.
fn take_step(choice: u32, seq: u32, local: u32) {
  let is_token = choice < kNothingFinite;
  let token = select(0u, choice, is_token);
  if (local == 0u) {
    atomicStore(&ends_text, 0u);
  }
  workgroupBarrier();
  if (local < min(options[seq].eos_count, kMaxEosTokens) &&
      options[seq].eos_tokens[local] == choice) {
    atomicStore(&ends_text, 1u);
  }
  workgroupBarrier();
  if (local > 0u) {
    return;
  }
  let before = state[seq];
  tokens[(before.position % ring_size()) * batch_size() + seq] = choice;
  input_ids[seq] = i32(token);
  seen[seen_at(seq) + token / 32u] |= select(0u, 1u << (token % 32u), is_token);
  state[seq] = StepState(before.total_length, before.total_length + 1u, 0u, before.position + 1u,
                         before.seed, before.eos_hit | atomicLoad(&ends_text), choice,
                         logits_row(seq));
#if position_ids
  position_ids[seq] = i32(before.total_length);
#endif
#if total_length
  total_length[seq] = i32(before.total_length + 1u);
#endif
}
