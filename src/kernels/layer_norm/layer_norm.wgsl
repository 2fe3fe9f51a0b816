// Layer normalisation of rows:
//   output = (input - mean) * inv_std * scale [+ bias], with inv_std = 1 / sqrt(variance + epsilon)
//
// Layout: input and output [rows, cols], scale and bias [cols], mean and inv_std [rows]; all
// row-major. One workgroup owns a row; thread i owns its elements (vec4s if cols is a multiple of
// 4) i, i + kWorkgroupSize, ... The row is read three times, from the cache after the first: for
// the mean, for the mean of the squared distances from it, and for the output. Computing both means
// in one pass would cancel where the mean is large.
//
// The host defines in_v, scale_v, out_v and acc_v (elements or vec4s of the types; what one thread
// reads or writes at a time), kVec (elements in each of them) and kWorkgroupSize.

#include "common/workgroup_reduce.wgsl"

struct Params {
  rows: u32,
  cols: u32,
  grid_x: u32,
  epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<in_v>;
@group(0) @binding(2) var<storage, read> scale: array<scale_v>;
#if bias
@group(0) @binding(3) var<storage, read> bias: array<scale_v>;
#endif
@group(0) @binding(4) var<storage, read_write> output: array<out_v>;
#if mean
@group(0) @binding(5) var<storage, read_write> mean_out: array<f32>;
#endif
#if inv_std
@group(0) @binding(6) var<storage, read_write> inv_std_out: array<f32>;
#endif

#if vec4
fn total(x: acc_v) -> f32 { return dot(x, acc_v(1.0)); }
fn square_sum(x: acc_v) -> f32 { return dot(x, x); }
#else
fn total(x: acc_v) -> f32 { return x; }
fn square_sum(x: acc_v) -> f32 { return x * x; }
#endif

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
  let cols = params.cols / kVec;
  let first = row * cols;

  var sum = 0.0;
  for (var col = local; col < cols; col += kWorkgroupSize) {
    sum += total(acc_v(input[first + col]));
  }
  let mean = workgroup_sum(sum, local, lanes) / f32(params.cols);

  var squares = 0.0;
  for (var col = local; col < cols; col += kWorkgroupSize) {
    squares += square_sum(acc_v(input[first + col]) - mean);
  }
  let variance = workgroup_sum(squares, local, lanes) / f32(params.cols);
  let inv_std = 1.0 / sqrt(variance + params.epsilon);

  for (var col = local; col < cols; col += kWorkgroupSize) {
    var y = (acc_v(input[first + col]) - mean) * inv_std * acc_v(scale[col]);
#if bias
    y += acc_v(bias[col]);
#endif
    output[first + col] = out_v(y);
  }
  if (local == 0u) {
#if mean
    mean_out[row] = mean;
#endif
#if inv_std
    inv_std_out[row] = inv_std;
#endif
  }
}
