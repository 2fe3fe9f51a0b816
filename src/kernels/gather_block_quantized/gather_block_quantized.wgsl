// GatherBlockQuantized along axis 0:
//   out[i, s, c] = (code[r, s, c] - zero[r, s, c / kBlockSize]) * scale[r, s, c / kBlockSize]
// with r = indices[i], counted from the end if negative, and clamped to the table.
//
// Codes are packed without gaps, element e at bit e * kBits (a row of kU8 data is whole bytes). A
// thread owns kElements neighbouring columns of one output row: 4, whose codes lie in one word, or
// 1. Only rows in [row_begin, row_begin + row_count) are bound and written.

#include "common/dequantize.wgsl"

struct Params {
  rows: u32,
  slice_rows: u32,
  cols: u32,
  indices: u32,
  row_begin: u32,
  row_count: u32,
  blocks: u32,
  zero_points_stride: u32,
  threads: u32,
  grid_x: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> data: array<u32>;
@group(0) @binding(2) var<storage, read> indices: array<i32>;
@group(0) @binding(3) var<storage, read> scales: array<act_t>;
#if zero_points
@group(0) @binding(4) var<storage, read> zero_points: array<u32>;
#endif
#if vec4
@group(0) @binding(5) var<storage, read_write> out: array<vec4<act_t>>;
#else
@group(0) @binding(5) var<storage, read_write> out: array<act_t>;
#endif

// Signed codes are in two's complement. Flipping the top bit makes them unsigned, 2^(bits - 1)
// more.
const kFlip = select(0u, kHalfRange, kSigned);

#if zero_points
fn zero_point(row: u32, block: u32) -> f32 {
  let element = row * params.zero_points_stride + block;
  let word = zero_points[element / kCodesPerWord];
  return f32(((word >> (element % kCodesPerWord * kBits)) & kCodeMask) ^ kFlip);
}
#else
fn zero_point(row: u32, block: u32) -> f32 {
  return f32(kDefaultZero ^ kFlip);
}
#endif

const kWorkgroup = 64u;

@compute @workgroup_size(kWorkgroup)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let thread = (workgroup.y * params.grid_x + workgroup.x) * kWorkgroup + local;
  if (thread >= params.threads) {
    return;
  }
  let row_threads = params.cols / kElements;
  let out_row = thread / row_threads;
  let col = thread % row_threads * kElements;

  var index = indices[out_row / params.slice_rows];
  if (index < 0) {
    index += i32(params.rows);
  }
  let table_row = u32(clamp(index, 0, i32(params.rows) - 1));
  if (table_row < params.row_begin || table_row - params.row_begin >= params.row_count) {
    return;
  }
  let row = (table_row - params.row_begin) * params.slice_rows + out_row % params.slice_rows;
  let block = col / kBlockSize;
  let scale = f32(scales[row * params.blocks + block]);
  let zero = zero_point(row, block);
  // Flips the top bit of all codes of the word.
  const kFlipWord = kFlip * (0xffffffffu / kCodeMask);
  let element = row * params.cols + col;
  let word = data[element / kCodesPerWord] ^ kFlipWord;
#if vec4
  let quad = quad_less_whole(word, element % kCodesPerWord / 4u, zero);
  out[thread] = vec4<act_t>(quad * scale);
#else
  let code = (word >> (element % kCodesPerWord * kBits)) & kCodeMask;
  out[thread] = act_t((f32(code) - zero) * scale);
#endif
}
