// The second dispatch of log_probs: the logarithm of the sum over all segments, the likeliest
// tokens, and the results. Workgroup (seq) works for sequence `seq`.
//
// The likeliest tokens come from a merge: each segment has a head, its likeliest token that is not
// among the results yet. The likeliest head is the next result, and the workgroup looks through its
// segment for the next head.
//
// The host defines what log_probs.wgsl says.

#include "log_probs/log_probs.wgsl"

const kMinusInfinity = 0xff800000u;

var<workgroup> heads: array<Best, kMaxSegments>;

// Returns the candidate if it follows `last` in the order of the results and is better than the one
// found so far, else the latter.
fn next_after(last: Best, so_far: Best, candidate: Best) -> Best {
  let follows = candidate.logit < last.logit ||
                (candidate.logit == last.logit && candidate.token > last.token);
  let found = better(so_far, candidate);
  return Best(select(so_far.logit, found.logit, follows),
              select(so_far.token, found.token, follows));
}

@compute @workgroup_size(kWorkgroupSize)
fn main(
#if subgroups
    @builtin(subgroup_size) lanes: u32,
#endif
    @builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
#if !subgroups
  let lanes = 1u;
#endif
  let seq = workgroup.x;
  if (options[seq].idle != 0u) {
    return;
  }
  let first = seq * params.segments;
  var own = kNothing;
  for (var i = local; i < params.segments; i += kWorkgroupSize) {
    heads[i] = scratch[first + i].best;
    own = better(own, heads[i]);
  }
  var winner = workgroup_best(own, local, lanes);
  let largest = winner.logit;
  var share = 0.0;
  for (var i = local; i < params.segments; i += kWorkgroupSize) {
    let there = heads[i].logit > kNone;
    share += select(0.0, scratch[first + i].sum * exp(heads[i].logit - largest), there);
  }
  let log_sum = log(workgroup_sum(share, local, lanes));
  let is_row_fine = largest > kNone && largest < kBad;

  var at = 2u * seq * (1u + params.top);
  if (local == 0u) {
    let token = state[seq].token;
    let is_token = token < params.vocab;
    let x = load_logits(seq, token / 4u)[token % 4u];
    let log_prob = bitcast<u32>(x - largest - log_sum);
    results[at] = bitcast<u32>(select(-1.0, f32(token), is_token));
    results[at + 1u] =
        select(kMinusInfinity, log_prob, is_row_fine && is_token && x > kNone);
  }
  for (var i = 0u; i < params.top; i++) {
    at += 2u;
    if (local == 0u) {
      let is_token = is_row_fine && winner.logit > kNone;
      let log_prob = bitcast<u32>(winner.logit - largest - log_sum);
      results[at] = bitcast<u32>(select(-1.0, f32(winner.token), is_token));
      results[at + 1u] = select(kMinusInfinity, log_prob, is_token);
    }
    if (i + 1u == params.top) {
      break;
    }
    let segment = min(winner.token / kSegment, params.segments - 1u);
    let v = segment * kWorkgroupSize + local;
    let x = load_logits(seq, v);
    var next = kNothing;
    next = next_after(winner, next, Best(x.x, 4u * v));
    next = next_after(winner, next, Best(x.y, 4u * v + 1u));
    next = next_after(winner, next, Best(x.z, 4u * v + 2u));
    next = next_after(winner, next, Best(x.w, 4u * v + 3u));
    next = workgroup_best(next, local, lanes);
    if (local == 0u) {
      heads[segment] = next;
    }
    workgroupBarrier();
    own = kNothing;
    for (var j = local; j < params.segments; j += kWorkgroupSize) {
      own = better(own, heads[j]);
    }
    winner = workgroup_best(own, local, lanes);
  }
}
