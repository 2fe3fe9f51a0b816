// Softmax of rows: output = exp(input - max) / sum(exp(input - max)).
//
// Layout: [outer, axis, inner] row-major; a row is `axis` elements, `inner` apart. One workgroup
// owns a row; thread i owns its elements i, i + kWorkgroupSize, ... The row is read three times
// (maximum, sum, output), the last two from the cache.
//
// The host defines act_t and kWorkgroupSize.

#include "common/workgroup_reduce.wgsl"

struct Params {
  rows: u32,
  axis: u32,
  inner: u32,
  grid_x: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<act_t>;
@group(0) @binding(2) var<storage, read_write> output: array<act_t>;

@compute @workgroup_size(kWorkgroupSize)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>,
#if subgroups
        @builtin(subgroup_size) lanes: u32,
#endif
        @builtin(local_invocation_index) local: u32) {
#if !subgroups
  let lanes = 1u;
#endif
  let row = workgroup.y * params.grid_x + workgroup.x;
  if (row >= params.rows) {
    return;
  }
  let begin = row / params.inner * params.axis * params.inner + row % params.inner;

  var largest = kLowest;
  for (var a = local; a < params.axis; a += kWorkgroupSize) {
    largest = max(largest, f32(input[begin + a * params.inner]));
  }
  largest = workgroup_max(largest, local, lanes);

  var sum = 0.0;
  for (var a = local; a < params.axis; a += kWorkgroupSize) {
    sum += exp(f32(input[begin + a * params.inner]) - largest);
  }
  let inv_sum = 1.0 / workgroup_sum(sum, local, lanes);

  for (var a = local; a < params.axis; a += kWorkgroupSize) {
    let i = begin + a * params.inner;
    output[i] = act_t(exp(f32(input[i]) - largest) * inv_sum);
  }
}
