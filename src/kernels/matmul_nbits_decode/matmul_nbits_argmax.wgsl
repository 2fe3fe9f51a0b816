// matmul_nbits_decode.wgsl for one row of h whose outputs nobody wants but the largest: the greedy
// choice of the next token (argmax.h) in the dispatch of the product that makes the logits, then
// the step to the next run (token_choice.h).
//
//   token = the lowest n with the largest Y[0, n], each rounded to output_t; NaN never wins, and a
//           row of nothing else gives 0
//
// Each thread keeps the best of its own outputs, each workgroup leaves that of its threads in
// `scratch`, and the last one to finish finds the best of the workgroups'.

#include "argmax/best.wgsl"
#include "matmul_nbits_decode/matmul_nbits_decode.wgsl"
#include "sample/next_step.wgsl"

struct Params {
  ring_size: u32,
  workgroups: u32,
  pad0: u32,
  pad1: u32,
}

// Read at the end only; see there why all else is constants.
@group(0) @binding(0) var<uniform> params: Params;

const kStepBinding = 12u;

fn workgroup_count() -> u32 {
  return params.workgroups;
}

fn ring_size() -> u32 {
  return params.ring_size;
}

// What orders logits; kNone for those that must not be chosen.
#if argmax_f16
// By the bits that would be stored, as integers: compilers drop f16 on the way from f32 to f32, and
// with it the rounding that makes ties.
fn rank_of(logit: f16) -> f32 {
  let bits = bitcast<u32>(vec2<f16>(logit, 0.0h)) & 0xffffu;
  let size = i32(bits & 0x7fffu);
  let is_none = size > 0x7c00 || bits == 0xfc00u;
  return select(f32(select(size, -size, bits > 0x7fffu)), kNone, is_none);
}
#else
fn rank_of(logit: f32) -> f32 {
  return finite_logits(vec4<f32>(logit)).x;
}
#endif

var<private> best_output: Best = kNothing;

fn keep_output(at: u32, value: output_t) {
  best_output = better(best_output, Best(rank_of(value), at));
}

// Rank and token of each workgroup's best, in the last words of `scratch`: behind what sampling
// leaves at zero (sample.wgsl).
const kBests = kFirstPartial + 3u * 256u + 2u * 1024u;

fn end_workgroup(index: u32, local: u32, lanes: u32) {
  let best = workgroup_best(best_output, local, lanes);
  if (local == 0u) {
    let logit = atomicExchange(&scratch[kBests + 2u * index], bitcast<u32>(best.logit));
    let token = atomicExchange(&scratch[kBests + 2u * index + 1u], best.token);
    await_atomics((logit | token) & 0x7fffffffu);
  }
  if (!finish_workgroup(local)) {
    return;
  }
  var found = kNothing;
  for (var i = local; i < params.workgroups; i += kWorkgroupSize) {
    found = better(found, Best(bitcast<f32>(atomicLoad(&scratch[kBests + 2u * i])),
                               atomicLoad(&scratch[kBests + 2u * i + 1u])));
  }
  let chosen = workgroup_best(found, local, lanes);
  take_step(select(chosen.token, 0u, chosen.logit == kNone), local);
}
