// y = condition ? a : b over the shape to which the three broadcast.
//
// With `vec4` thread t chooses four neighbours, from element 4 t of y on; along the innermost
// folded dimension an operand is read by vectors (condition_vec4, a_vec4, b_vec4) or gives one
// element for all four. Otherwise thread t chooses element t. The prelude gives elem_t (element of
// a, b and y); the condition is u32, true if not 0.

#include "common/indexing.wgsl"

struct Params {
  threads: u32,
  grid_x: u32,
  rank: u32,
  padding: u32,
  // Innermost first. With vec4, sizes[0] counts vectors; strides always count elements.
  sizes: array<vec4<u32>, 2>,
  condition_strides: array<vec4<i32>, 2>,
  a_strides: array<vec4<i32>, 2>,
  b_strides: array<vec4<i32>, 2>,
}

@group(0) @binding(0) var<uniform> params: Params;

#if vec4
alias value_t = vec4<elem_t>;
alias condition_t = vec4<u32>;
#else
alias value_t = elem_t;
alias condition_t = u32;
#endif

#if condition_vec4
@group(0) @binding(1) var<storage, read> condition: array<vec4<u32>>;
fn load_condition(at: i32) -> condition_t { return condition[at / 4]; }
#else
@group(0) @binding(1) var<storage, read> condition: array<u32>;
fn load_condition(at: i32) -> condition_t { return condition_t(condition[at]); }
#endif

#if a_vec4
@group(0) @binding(2) var<storage, read> a: array<vec4<elem_t>>;
fn load_a(at: i32) -> value_t { return a[at / 4]; }
#else
@group(0) @binding(2) var<storage, read> a: array<elem_t>;
fn load_a(at: i32) -> value_t { return value_t(a[at]); }
#endif

#if b_vec4
@group(0) @binding(3) var<storage, read> b: array<vec4<elem_t>>;
fn load_b(at: i32) -> value_t { return b[at / 4]; }
#else
@group(0) @binding(3) var<storage, read> b: array<elem_t>;
fn load_b(at: i32) -> value_t { return value_t(b[at]); }
#endif

@group(0) @binding(4) var<storage, read_write> y: array<value_t>;

@compute @workgroup_size(kThreads)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let id = folded_thread(workgroup, local, params.grid_x);
  if (id >= params.threads) {
    return;
  }
  var rest = id;
  var condition_at = 0;
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
    condition_at += i32(i) * params.condition_strides[d / 4u][d % 4u];
    a_at += i32(i) * params.a_strides[d / 4u][d % 4u];
    b_at += i32(i) * params.b_strides[d / 4u][d % 4u];
  }
  y[id] = select(load_b(b_at), load_a(a_at), load_condition(condition_at) != condition_t(0u));
}
