// y[i] = op(x[i]).
//
// Thread t computes elements [4 t, 4 t + 4). The buffers are padded to 16 bytes, so that the last
// vector may be partial. The prelude gives act_t (element of x and y), compute_t (f32 for floats)
// and
//   fn op(x: compute_t) -> compute_t

#include "common/indexing.wgsl"
#include "common/activations.wgsl"
#include "elementwise/elementwise_math.wgsl"

fn note_power(x: f32) {}

struct Params {
  elems: u32,
  grid_x: u32,
  alpha: f32,
  padding: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<act_t>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<act_t>>;

@compute @workgroup_size(kThreads)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let id = folded_thread(workgroup, local, params.grid_x);
  if (id >= (params.elems + 3u) / 4u) {
    return;
  }
  let v = vec4<compute_t>(x[id]);
  y[id] = vec4<act_t>(act_t(op(v.x)), act_t(op(v.y)), act_t(op(v.z)), act_t(op(v.w)));
}
