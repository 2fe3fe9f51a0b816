// Greedy choice: the lowest index of the largest logit, then the step to the next run.
//
// Each thread finds the first largest of its own logits, each workgroup of its threads', and the
// last workgroup to finish of the workgroups'.
//
// The host defines what token_choice.wgsl says.

#include "sample/token_choice.wgsl"

// Words of `scratch`: the largest logit of each workgroup, then its token.
const kLargest = kFirstPartial;
const kToken = kLargest + kMaxWorkgroups;

struct Best {
  logit: f32,
  token: u32,  // The largest u32 where no logit is finite.
}

const kNothing = Best(kNone, 0xffffffffu);

fn better(a: Best, b: Best) -> Best {
  let second = b.logit > a.logit || (b.logit == a.logit && b.token < a.token);
  return Best(select(a.logit, b.logit, second), select(a.token, b.token, second));
}

var<workgroup> best_of: array<Best, kWorkgroupSize>;

// The best of all threads.
#if subgroups
fn workgroup_best(own: Best, lid: u32, lanes: u32) -> Best {
  let logit = subgroupMax(own.logit);
  let token = subgroupMin(select(kNothing.token, own.token, own.logit == logit));
  workgroupBarrier();  // The scratch may still be read from the last call.
  if (lid % lanes == 0u) {
    best_of[lid / lanes] = Best(logit, token);
  }
  workgroupBarrier();
  var best = best_of[0];
  for (var i = 1u; i * lanes < kWorkgroupSize; i++) {
    best = better(best, best_of[i]);
  }
  return best;
}
#else
fn workgroup_best(own: Best, lid: u32, lanes: u32) -> Best {
  workgroupBarrier();
  best_of[lid] = own;
  workgroupBarrier();
  for (var stride = kWorkgroupSize / 2u; stride > 0u; stride /= 2u) {
    if (lid < stride) {
      best_of[lid] = better(best_of[lid], best_of[lid + stride]);
    }
    workgroupBarrier();
  }
  return best_of[0];
}
#endif

@compute @workgroup_size(kWorkgroupSize)
fn main(
#if subgroups
    @builtin(subgroup_size) lanes: u32,
#endif
    @builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
#if !subgroups
  let lanes = 1u;
#endif
  var own = kNothing;
  for (var v = first_load(group.x, lid); v < end_load(group.x, lid); v++) {
    let x = load_logits(v);
    let pair = better(Best(x.x, 4u * v), Best(x.y, 4u * v + 1u));
    let other = better(Best(x.z, 4u * v + 2u), Best(x.w, 4u * v + 3u));
    own = better(own, better(pair, other));
  }
  let best = workgroup_best(own, lid, lanes);
  if (lid == 0u) {
    atomicStore(&scratch[kLargest + group.x], bitcast<u32>(best.logit));
    atomicStore(&scratch[kToken + group.x], best.token);
  }
  if (!finish_workgroup(lid)) {
    return;
  }
  var found = kNothing;
  if (lid < params.workgroups) {
    found = Best(bitcast<f32>(atomicLoad(&scratch[kLargest + lid])),
                 atomicLoad(&scratch[kToken + lid]));
  }
  let chosen = workgroup_best(found, lid, lanes);
  take_step(select(chosen.token, 0u, chosen.logit == kNone), lid);
}
