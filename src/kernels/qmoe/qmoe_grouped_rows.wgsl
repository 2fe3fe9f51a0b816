// Operations before and after the products of QMoE's grouped rows (qmoe_group.wgsl). A thread owns
// one element of the result:
//   gather    out[row, i] = x[tokens[row], i], zero if the row has no token
//   activate  out[row, i] = activation(x[row, i]), or the SwiGLU of qmoe.h of two elements of x
//   mix       out[token, i] = sum over the token's slots of weights[slot] * x[rows[slot], i]
// gather and activate do not write rows of tiles without an expert.

struct Params {
  elems: u32,  // Threads.
  width: u32,  // Elements of a row of out.
  top_k: u32,
  grid_x: u32,
  alpha: f32,
  beta: f32,
  limit: f32,
  pad: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<act_t>;
#if mix
@group(0) @binding(2) var<storage, read> rows: array<u32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
#else
@group(0) @binding(2) var<storage, read> tile_experts: array<u32>;
#endif
#if gather
@group(0) @binding(3) var<storage, read> tokens: array<u32>;
#endif
@group(0) @binding(4) var<storage, read_write> out: array<act_t>;

const kThreads = 256u;
const kTileRows = 64u;
const kNone = 0xffffffffu;

#if activate
#include "qmoe/qmoe_activation.wgsl"

fn compute_result(row: u32, i: u32) -> f32 {
  if (kGate == kInterleaved) {
    let at = 2u * (row * params.width + i);
    return swiglu(f32(x[at]), f32(x[at + 1u]));
  }
  if (kGate == kHalves) {
    let at = 2u * row * params.width + i;
    return swiglu(f32(x[at]), f32(x[at + params.width]));
  }
  return activate(f32(x[row * params.width + i]));
}
#endif
#if gather
fn compute_result(row: u32, i: u32) -> f32 {
  let token = tokens[row];
  if (token == kNone) {
    return 0.0;
  }
  return f32(x[token * params.width + i]);
}
#endif
#if mix
fn has_result(row: u32) -> bool {
  return true;
}

fn compute_result(token: u32, i: u32) -> f32 {
  var sum = 0.0;
  for (var slot = token * params.top_k; slot < (token + 1u) * params.top_k; slot++) {
    sum += weights[slot] * f32(x[rows[slot] * params.width + i]);
  }
  return sum;
}
#else
fn has_result(row: u32) -> bool {
  return tile_experts[row / kTileRows] != kNone;
}
#endif

@compute @workgroup_size(kThreads)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let at = (workgroup.y * params.grid_x + workgroup.x) * kThreads + local;
  if (at >= params.elems) {
    return;
  }
  let row = at / params.width;
  if (has_result(row)) {
    out[at] = act_t(compute_result(row, at % params.width));
  }
}
