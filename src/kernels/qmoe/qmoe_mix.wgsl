// QMoE mixing: y[t, h] = sum over slots s of weights[t, s] * d[t, s, h]. A thread owns one output.

struct Params {
  hidden: u32,
  top_k: u32,
  threads: u32,
  grid_x: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<act_t>;

const kWorkgroup = 64u;

@compute @workgroup_size(kWorkgroup)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let thread = (workgroup.y * params.grid_x + workgroup.x) * kWorkgroup + local;
  if (thread >= params.threads) {
    return;
  }
  let token = thread / params.hidden;
  let h = thread % params.hidden;
  var sum = 0.0;
  for (var s = 0u; s < params.top_k; s++) {
    let slot = token * params.top_k + s;
    sum += weights[slot] * d[slot * params.hidden + h];
  }
  y[thread] = act_t(sum);
}
