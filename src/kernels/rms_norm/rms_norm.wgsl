// RMS normalisation of rows (SimplifiedLayerNormalization, SkipSimplifiedLayerNormalization):
//   sum = input [+ skip] [+ bias]
//   output = sum * scale / sqrt(mean(sum^2) + epsilon)
//
// Layout: input, output and sum [rows, cols], skip [skip_rows, cols] repeated over the rows; all
// row-major. One workgroup owns a row; thread i owns its elements (vec4s if cols is a multiple of
// 4) i, i + kWorkgroupSize, ... The row is read twice: once for the sum of squares and, from the
// cache, once for the output.
//
// The host defines in_v, scale_v, out_v and acc_v (elements or vec4s of the types; what one thread
// reads or writes at a time), kVec (elements in each of them) and kWorkgroupSize.

#include "common/workgroup_reduce.wgsl"

struct Params {
  rows: u32,
  cols: u32,
  skip_rows: u32,
  grid_x: u32,
  epsilon: f32,
  pad0: u32,
  pad1: u32,
  pad2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<in_v>;
@group(0) @binding(2) var<storage, read> scale: array<scale_v>;
#if skip
@group(0) @binding(3) var<storage, read> skip: array<in_v>;
#endif
#if bias
@group(0) @binding(4) var<storage, read> bias: array<in_v>;
#endif
@group(0) @binding(5) var<storage, read_write> output: array<out_v>;
#if inv_std
@group(0) @binding(6) var<storage, read_write> inv_std_out: array<f32>;
#endif
#if sum
@group(0) @binding(7) var<storage, read_write> sum_out: array<in_v>;
#endif

// Returns element `col` of the sum of row `row`. `col` and `cols` count kVec elements.
fn load(row: u32, col: u32, cols: u32) -> acc_v {
  var x = acc_v(input[row * cols + col]);
#if skip
  x += acc_v(skip[(row % params.skip_rows) * cols + col]);
#endif
#if bias
  x += acc_v(bias[col]);
#endif
  return x;
}

#if vec4
fn square_sum(x: acc_v) -> f32 { return dot(x, x); }
#else
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

  var squares = 0.0;
  for (var col = local; col < cols; col += kWorkgroupSize) {
    squares += square_sum(load(row, col, cols));
  }
  let mean = workgroup_sum(squares, local, lanes) / f32(params.cols);
  let inv_std = 1.0 / sqrt(mean + params.epsilon);

  for (var col = local; col < cols; col += kWorkgroupSize) {
    let x = load(row, col, cols);
    output[row * cols + col] = out_v(x * inv_std * acc_v(scale[col]));
#if sum
    sum_out[row * cols + col] = in_v(x);
#endif
  }
#if inv_std
  if (local == 0u) {
    inv_std_out[row] = inv_std;
  }
#endif
}
