// The first dispatch of log_probs: the likeliest token and the sum of exp of each segment.
// Workgroup (i, seq) has segment i of sequence `seq`, each of its threads four tokens.
//
// The host defines what log_probs.wgsl says.

#include "log_probs/log_probs.wgsl"

@compute @workgroup_size(kWorkgroupSize)
fn main(
#if subgroups
    @builtin(subgroup_size) lanes: u32,
#endif
    @builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
#if !subgroups
  let lanes = 1u;
#endif
  _ = &results;  // Both dispatches have the same bindings.
  let seq = workgroup.y;
  if (options[seq].idle != 0u) {
    return;
  }
  let v = workgroup.x * kWorkgroupSize + local;
  let x = load_logits(seq, v);
  let pair = better(Best(x.x, 4u * v), Best(x.y, 4u * v + 1u));
  let other = better(Best(x.z, 4u * v + 2u), Best(x.w, 4u * v + 3u));
  let best = workgroup_best(better(pair, other), local, lanes);
  let terms = select(vec4<f32>(0.0), exp(x - best.logit), x > vec4<f32>(kNone));
  let sum = workgroup_sum(terms.x + terms.y + terms.z + terms.w, local, lanes);
  if (local == 0u) {
    scratch[seq * params.segments + workgroup.x] = Segment(best, sum);
  }
}
