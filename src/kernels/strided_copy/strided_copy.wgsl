// y[y_offset + i . y_strides] = x[x_offset + i . x_strides] for every index i below the sizes.
//
// With `vec4` thread t copies four neighbours of the innermost folded dimension; x is read by
// vectors (x_vec4) or gives one element for all four. Otherwise thread t copies one element. The
// prelude gives elem_t.

#include "common/indexing.wgsl"

struct Params {
  threads: u32,
  grid_x: u32,
  rank: u32,
  x_offset: i32,
  y_offset: i32,
  padding_0: u32,
  padding_1: u32,
  padding_2: u32,
  // Innermost first. With vec4, sizes[0] counts vectors; offsets and strides always count elements.
  sizes: array<vec4<u32>, 2>,
  x_strides: array<vec4<i32>, 2>,
  y_strides: array<vec4<i32>, 2>,
}

@group(0) @binding(0) var<uniform> params: Params;

#if vec4
alias value_t = vec4<elem_t>;
const kWidth = 4;
#else
alias value_t = elem_t;
const kWidth = 1;
#endif

#if x_vec4
@group(0) @binding(1) var<storage, read> x: array<vec4<elem_t>>;
fn load(at: i32) -> value_t { return x[at / 4]; }
#else
@group(0) @binding(1) var<storage, read> x: array<elem_t>;
fn load(at: i32) -> value_t { return value_t(x[at]); }
#endif

@group(0) @binding(2) var<storage, read_write> y: array<value_t>;

@compute @workgroup_size(kThreads)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let id = folded_thread(workgroup, local, params.grid_x);
  if (id >= params.threads) {
    return;
  }
  var rest = id;
  var x_at = params.x_offset;
  var y_at = params.y_offset;
  for (var d = 0u; d < params.rank; d++) {
    var i = rest;
    // The outermost dimension takes the rest without a division.
    if (d + 1u < params.rank) {
      let size = params.sizes[d / 4u][d % 4u];
      rest = i / size;
      i -= rest * size;
    }
    x_at += i32(i) * params.x_strides[d / 4u][d % 4u];
    y_at += i32(i) * params.y_strides[d / 4u][d % 4u];
  }
  y[y_at / kWidth] = load(x_at);
}
