// The first dispatch of sample: the largest and the smallest logit, and z, the sum of exp((logit -
// largest) / temperature) over all tokens. Each workgroup finds them for its tokens, the last one
// to finish for all. sample.h has the definition.
//
// The host defines what token_choice.wgsl says.

#include "sample/sample.wgsl"
#include "common/workgroup_reduce.wgsl"

// exp(-22.2) is 2^-32: below that every probability rounds to 0.
const kLowestExponent = 22.2;

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
  bind_all();
  if (options[seq].idle != 0u) {
    return;
  }
  let inv_t = inv_temperature(seq);
  var largest = kNone;
  var smallest = -kNone;
  var z = 0.0;
  for (var v = first_load(workgroup.x, local); v < end_load(workgroup.x, local); v++) {
    let x = load_logits(seq, v);
    let there = x > vec4<f32>(kNone);
    let low = select(vec4<f32>(-kNone), x, there);
    smallest = min(smallest, min(min(low.x, low.y), min(low.z, low.w)));
    let before = largest;
    largest = max(largest, max(max(x.x, x.y), max(x.z, x.w)));
    let terms = select(vec4<f32>(0.0), exp((x - largest) * inv_t), there);
    z = select(0.0, z * exp((before - largest) * inv_t), z > 0.0) +
        (terms.x + terms.y + terms.z + terms.w);
  }
  let group_largest = workgroup_max(largest, local, lanes);
  let group_smallest = -workgroup_max(-smallest, local, lanes);
  let share = select(0.0, z * exp((largest - group_largest) * inv_t), z > 0.0);
  let group_z = workgroup_sum(share, local, lanes);
  if (local == 0u) {
    let at = scratch_at(seq, kFirstPartial + 3u * workgroup.x);
    atomicStore(&scratch[at], bitcast<u32>(group_largest));
    atomicStore(&scratch[at + 1u], bitcast<u32>(group_smallest));
    atomicStore(&scratch[at + 2u], bitcast<u32>(group_z));
  }
  if (!finish_workgroup(seq, local)) {
    return;
  }
  largest = kNone;
  smallest = -kNone;
  z = 0.0;
  if (local < params.workgroups) {
    let at = scratch_at(seq, kFirstPartial + 3u * local);
    largest = bitcast<f32>(atomicLoad(&scratch[at]));
    smallest = bitcast<f32>(atomicLoad(&scratch[at + 1u]));
    z = bitcast<f32>(atomicLoad(&scratch[at + 2u]));
  }
  let row_largest = workgroup_max(largest, local, lanes);
  let row_smallest = -workgroup_max(-smallest, local, lanes);
  let row_share = select(0.0, z * exp((largest - row_largest) * inv_t), z > 0.0);
  let row_z = workgroup_sum(row_share, local, lanes);
  if (local == 0u) {
    // In units of the exponent, and above 0 for rows of one value.
    let range = clamp((row_largest - row_smallest) * inv_t, 1e-6, kLowestExponent);
    let at = scratch_at(seq, kSpread);
    atomicStore(&scratch[at], bitcast<u32>(row_largest));
    atomicStore(&scratch[at + 1u], bitcast<u32>(1.0 / max(row_z, 1.0)));
    atomicStore(&scratch[at + 2u], bitcast<u32>(f32(kBins) / range * inv_t));
  }
}
