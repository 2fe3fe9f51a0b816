// y[o] = finish(combine over r of prepare(x[kept(o) + reduced(r)])): the kept dimensions give the
// output element, the reduced ones the elements that it is computed from.
//
// With `tree` a workgroup owns an output element: thread t takes elements t, t + 256, ... of the
// reduction, and a tree in workgroup memory combines the partial results. Otherwise a thread owns
// an output element. The prelude gives act_t (element of x and y), compute_t (f32 for floats) and
//   fn prepare(x: compute_t) -> compute_t
//   fn combine(a: compute_t, b: compute_t) -> compute_t
//   fn finish(x: compute_t) -> compute_t

#include "common/indexing.wgsl"
#include "common/nan.wgsl"

struct Params {
  outputs: u32,
  reduced: u32,
  grid_x: u32,
  kept_rank: u32,
  reduced_rank: u32,
  identity: u32,  // bits of the result of no elements
  fault_word: u32,
  padding: u32,
  // Innermost first; strides of x in elements.
  kept_sizes: array<vec4<u32>, 2>,
  kept_strides: array<vec4<i32>, 2>,
  reduced_sizes: array<vec4<u32>, 2>,
  reduced_strides: array<vec4<i32>, 2>,
}

@group(0) @binding(0) var<uniform> params: Params;

#if faults
const kFaultBinding = 3u;
#include "common/int64_fault.wgsl"
#endif

@group(0) @binding(1) var<storage, read> x: array<act_t>;
@group(0) @binding(2) var<storage, read_write> y: array<act_t>;

// Returns where in x the reduction of output element `output` starts.
fn kept_offset(output: u32) -> i32 {
  var rest = output;
  var at = 0;
  for (var d = 0u; d < params.kept_rank; d++) {
    let size = params.kept_sizes[d / 4u][d % 4u];
    let next = rest / size;
    at += i32(rest - next * size) * params.kept_strides[d / 4u][d % 4u];
    rest = next;
  }
  return at;
}

// Returns element `r` of the reduction that starts at `base`.
fn load(base: i32, r: u32) -> compute_t {
  var rest = r;
  var at = base;
  for (var d = 0u; d < params.reduced_rank; d++) {
    var i = rest;
    // The outermost dimension takes the rest without a division.
    if (d + 1u < params.reduced_rank) {
      let size = params.reduced_sizes[d / 4u][d % 4u];
      rest = i / size;
      i -= rest * size;
    }
    at += i32(i) * params.reduced_strides[d / 4u][d % 4u];
  }
  return prepare(compute_t(x[at]));
}

// Returns the result over elements first, first + step, ...
fn reduce_every(base: i32, first: u32, step: u32) -> compute_t {
  var result = bitcast<compute_t>(params.identity);
  for (var r = first; r < params.reduced; r += step) {
    result = combine(result, load(base, r));
  }
  return result;
}

#if tree
var<workgroup> partial: array<compute_t, kThreads>;

@compute @workgroup_size(kThreads)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let output = folded_group(workgroup, params.grid_x);
  if (output >= params.outputs) {
    return;
  }
  partial[local] = reduce_every(kept_offset(output), local, kThreads);
  for (var half = kThreads / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (local < half) {
      partial[local] = combine(partial[local], partial[local + half]);
    }
  }
  if (local == 0u) {
    y[output] = act_t(finish(partial[0]));
  }
}
#else
@compute @workgroup_size(kThreads)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let output = folded_thread(workgroup, local, params.grid_x);
  if (output >= params.outputs) {
    return;
  }
  y[output] = act_t(finish(reduce_every(kept_offset(output), 0u, 1u)));
}
#endif
