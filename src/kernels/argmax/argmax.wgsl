// Greedy choice: the lowest index of the largest logit, then the step to the next run.
//
// Each thread finds the first largest of its own logits, each workgroup that of its threads, and
// the last workgroup to finish that of the workgroups.
//
// The host defines what token_choice.wgsl says.

#include "argmax/best.wgsl"
#include "sample/token_choice.wgsl"

// Words of `scratch`: the largest logit of each workgroup, then its token.
const kLargestOf = kFirstPartial;
const kTokenOf = kLargestOf + kMaxWorkgroups;

@compute @workgroup_size(kWorkgroupSize)
fn main(
#if subgroups
    @builtin(subgroup_size) lanes: u32,
#endif
    @builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
#if !subgroups
  let lanes = 1u;
#endif
  let seq = workgroup.y;
  if (options[seq].idle != 0u) {
    return;
  }
  var own = kNothing;
  for (var v = first_load(workgroup.x, local); v < end_load(workgroup.x, local); v++) {
    let x = load_logits(seq, v);
    let pair = better(Best(x.x, 4u * v), Best(x.y, 4u * v + 1u));
    let other = better(Best(x.z, 4u * v + 2u), Best(x.w, 4u * v + 3u));
    own = better(own, better(pair, other));
  }
  let best = workgroup_best(own, local, lanes);
  if (local == 0u) {
    atomicStore(&scratch[scratch_at(seq, kLargestOf + workgroup.x)], bitcast<u32>(best.logit));
    atomicStore(&scratch[scratch_at(seq, kTokenOf + workgroup.x)], best.token);
  }
  if (!finish_workgroup(seq, local)) {
    return;
  }
  var found = kNothing;
  if (local < params.workgroups) {
    found = Best(bitcast<f32>(atomicLoad(&scratch[scratch_at(seq, kLargestOf + local)])),
                 atomicLoad(&scratch[scratch_at(seq, kTokenOf + local)]));
  }
  let chosen = workgroup_best(found, local, lanes);
  take_step(token_or_fault(chosen.token, chosen.logit), seq, local);
}
