// Greedy choice: the lowest index of the largest logit, then the step to the next run.
//
// One workgroup. Each thread finds the first largest of its own logits; then the workgroup finds
// the largest value, and the lowest index among the threads that have it.
//
// The host defines what token_choice.wgsl says.

#include "sample/token_choice.wgsl"
#include "common/workgroup_reduce.wgsl"

var<workgroup> best_token: atomic<u32>;

@compute @workgroup_size(kWorkgroupSize)
fn main(
#if subgroups
    @builtin(subgroup_size) lanes: u32,
#endif
    @builtin(local_invocation_index) lid: u32) {
#if !subgroups
  let lanes = 1u;
#endif
  var best = kNone;
  var token = 0xffffffffu;
  for (var v = lid; 4u * v < params.vocab; v += kWorkgroupSize) {
    let x = load_logits(v);
    for (var j = 0u; j < 4u; j++) {
      if (x[j] > best) {
        best = x[j];
        token = 4u * v + j;
      }
    }
  }
  if (lid == 0u) {
    atomicStore(&best_token, 0xffffffffu);
  }
  let largest = workgroup_max(best, lid, lanes);  // Its barriers order the store above, too.
  if (best == largest) {
    atomicMin(&best_token, token);
  }
  workgroupBarrier();
  if (lid == 0u) {
    let chosen = atomicLoad(&best_token);
    take_step(select(chosen, 0u, chosen == 0xffffffffu));
  }
}
