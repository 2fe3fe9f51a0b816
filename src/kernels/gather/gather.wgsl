// Gather: out[o, i, u] = data[o, row, u]. row = indices[i], counted from the end if negative, and
// clamped to the axis.
//
// Data are bits: the prelude gives unit_t, the widest unit (u32 or f16, or a vector of u32) that an
// inner row is a multiple of. A thread owns one unit of the output. Only rows in [row_begin,
// row_begin + row_count) are bound and written.

struct Params {
  axis: u32,
  inner_units: u32,
  indices: u32,
  row_begin: u32,
  row_count: u32,
  threads: u32,
  grid_x: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> data: array<unit_t>;
@group(0) @binding(2) var<storage, read> indices: array<i32>;
@group(0) @binding(3) var<storage, read_write> out: array<unit_t>;

const kWorkgroup = 64u;

@compute @workgroup_size(kWorkgroup)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let thread = (workgroup.y * params.grid_x + workgroup.x) * kWorkgroup + local;
  if (thread >= params.threads) {
    return;
  }
  let unit = thread % params.inner_units;
  let slice = thread / params.inner_units;
  var index = indices[slice % params.indices];
  if (index < 0) {
    index += i32(params.axis);
  }
  let axis_row = u32(clamp(index, 0, i32(params.axis) - 1));
  if (axis_row < params.row_begin || axis_row - params.row_begin >= params.row_count) {
    return;
  }
  let row = slice / params.indices * params.axis + axis_row - params.row_begin;
  out[thread] = data[row * params.inner_units + unit];
}
