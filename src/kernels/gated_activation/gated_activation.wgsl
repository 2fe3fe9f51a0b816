// y[r, i] = activation(x[r, i]) * x[r, cols + i].
//
// Layout: row-major, x [rows, 2 * cols], y [rows, cols]. Thread t computes element t of y (a vec4
// if cols is a multiple of four). The prelude gives act_v (an element, or a vec4) and
//   fn activation(x: f32) -> f32

#include "common/indexing.wgsl"
#include "common/activations.wgsl"

struct Params {
  threads: u32,
  cols: u32,
  grid_x: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<act_v>;
@group(0) @binding(2) var<storage, read_write> y: array<act_v>;

@compute @workgroup_size(kThreads)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let id = folded_thread(workgroup, local, params.grid_x);
  if (id >= params.threads) {
    return;
  }
  let row = id / params.cols;
  let at = id + row * params.cols;
#if vec4
  let gate = vec4<f32>(x[at]);
  let up = vec4<f32>(x[at + params.cols]);
  let a = vec4<f32>(activation(gate.x), activation(gate.y), activation(gate.z), activation(gate.w));
  y[id] = act_v(a * up);
#else
  y[id] = act_v(activation(f32(x[at])) * f32(x[at + params.cols]));
#endif
}
