// y = op(a, b) over the shape to which a and b broadcast.
//
// With `vec4` thread t computes four neighbours, from element 4 t of y on; along the innermost
// folded dimension an operand is read by vectors (a_vec4, b_vec4) or gives one element for all
// four. Otherwise thread t computes element t. The prelude gives a_t and b_t (elements of a and
// b), out_t (of y), compute_t and b_compute_t (of computations: f32 for floats) and
//   fn op(a: compute_t, b: b_compute_t) -> compute_t      or -> bool, which becomes u32 0 or 1

#include "common/indexing.wgsl"
#include "common/activations.wgsl"
#include "elementwise/elementwise_math.wgsl"

struct Params {
  threads: u32,
  grid_x: u32,
  rank: u32,
  fault_word: u32,
  // Innermost first. With vec4, sizes[0] counts vectors; strides always count elements.
  sizes: array<vec4<u32>, 2>,
  a_strides: array<vec4<i32>, 2>,
  b_strides: array<vec4<i32>, 2>,
}

@group(0) @binding(0) var<uniform> params: Params;

#if faults
const kFaultBinding = 4u;
#include "common/int64_fault.wgsl"

fn pow_i32_noted(a: i32, b: i32) -> i32 {
  if (b < 0) { return pow_i32(a, b); }
  return pow_noted(a, b);
}

fn note_power(x: f32) {
  note_beyond(!(abs(x) < 2147483648.0));
}
#else
fn note_power(x: f32) {}
#endif

#if a_vec4
@group(0) @binding(1) var<storage, read> a: array<vec4<a_t>>;
fn load_a(at: i32) -> value_t { return value_t(a[at / 4]); }
#else
@group(0) @binding(1) var<storage, read> a: array<a_t>;
fn load_a(at: i32) -> value_t { return value_t(compute_t(a[at])); }
#endif

#if b_vec4
@group(0) @binding(2) var<storage, read> b: array<vec4<b_t>>;
fn load_b(at: i32) -> b_value_t { return b_value_t(b[at / 4]); }
#else
@group(0) @binding(2) var<storage, read> b: array<b_t>;
fn load_b(at: i32) -> b_value_t { return b_value_t(b_compute_t(b[at])); }
#endif

#if vec4
alias value_t = vec4<compute_t>;
alias b_value_t = vec4<b_compute_t>;
alias result_t = vec4<out_t>;
fn apply(u: value_t, v: b_value_t) -> result_t {
  return result_t(out_t(op(u.x, v.x)), out_t(op(u.y, v.y)), out_t(op(u.z, v.z)),
                  out_t(op(u.w, v.w)));
}
#else
alias value_t = compute_t;
alias b_value_t = b_compute_t;
alias result_t = out_t;
fn apply(u: value_t, v: b_value_t) -> result_t {
  return out_t(op(u, v));
}
#endif

@group(0) @binding(3) var<storage, read_write> y: array<result_t>;

@compute @workgroup_size(kThreads)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let id = folded_thread(workgroup, local, params.grid_x);
  if (id >= params.threads) {
    return;
  }
  var rest = id;
  var a_at = 0;
  var b_at = 0;
  for (var d = 0u; d < params.rank; d++) {
    var i = rest;
    // The outermost dimension takes the rest without a division.
    if (d + 1u < params.rank) {
      let size = params.sizes[d / 4u][d % 4u];
      rest = i / size;
      i -= rest * size;
    }
    a_at += i32(i) * params.a_strides[d / 4u][d % 4u];
    b_at += i32(i) * params.b_strides[d / 4u][d % 4u];
  }
  y[id] = apply(load_a(a_at), load_b(b_at));
}
