// y[i] = start + i * delta; a delta of 0 fills y with start (which may be infinite or NaN).
//
// Thread t writes element t. The prelude gives elem_t (element of y) and compute_t (f32 for floats).

#include "common/indexing.wgsl"

struct Params {
  elems: u32,
  grid_x: u32,
  // Bits of a compute_t.
  start: u32,
  delta: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<elem_t>;

@compute @workgroup_size(kThreads)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let id = folded_thread(group, local, params.grid_x);
  if (id >= params.elems) {
    return;
  }
  let start = bitcast<compute_t>(params.start);
  let delta = bitcast<compute_t>(params.delta);
  y[id] = elem_t(select(start + compute_t(id) * delta, start, params.delta == 0u));
}
