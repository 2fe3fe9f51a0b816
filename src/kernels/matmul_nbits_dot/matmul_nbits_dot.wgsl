// MatMulNBits for many rows of A by packed dot products, fused with what follows it in a
// transformer layer:
//
//   Y[m, n] = sum over k of A[m, k] * (code[n, k] - zero) * scale (+ bias[n]) (+ residual[m, n])
//                                                or activation(gate row n) * (up row n)
//
// A workgroup owns a tile of kTileM rows of A by kTileN rows of B and walks along K in steps of
// kStep. Its threads load a step into workgroup memory. A comes in chunks of up to 32 elements
// inside one block, as 16-bit integers, two signed bytes each, in units of the chunk's largest
// element / 32639 (below the rounding of f16 for the elements that matter). B's codes are signed
// bytes, less half their range. Thread (column, line) then adds the products of rows line + kLines
// i of A with rows column + kColumns j of B to its own outputs. Sums inside a chunk are exact
// integers, sums of chunks are f32. Workgroup x owns the tile's rows of A, y those of B, so that
// neighbours share B.
//
// With `glu` B has a gate and an up projection, 2 * n rows: the first half of the tile's rows are
// the gate's, the second half are the same rows of up. With several weights (#if experts) all rows
// of A in a tile belong to one of them; see matmul_nbits.h.
//
// Arrays are indexed by constants only: NVIDIA's compiler keeps other arrays in memory.

#include "common/activations.wgsl"
#include "matmul_nbits/matmul_nbits_inputs.wgsl"
#include "matmul_nbits/matmul_nbits_integers.wgsl"

#if residual
@group(0) @binding(7) var<storage, read> residual: array<act_t>;
#endif

const kColumns = kTileN / 4u;
const kLines = kTileM / kRows;
const kThreads = kColumns * kLines;
const kChunks = kStep / kChunk;  // Chunks of a row in a step.
const kUnits = kStep / 16u;      // Loads of a row of B in a step, 16 codes each.
// Stride of an octet of all rows of A. With two entries of padding, threads that store neighbouring
// octets of two rows use eight different groups of banks.
const kOctetStride = kTileM + 2u;

// Eight elements of A: two words of upper bytes, two of lower ones.
var<workgroup> a_tile: array<vec4<u32>, kStep / 8u * kOctetStride>;
// The unit of a chunk's integers.
var<workgroup> a_units: array<f32, kChunks * kTileM>;
// 16 codes of a row of B.
var<workgroup> b_tile: array<vec4<u32>, kUnits * kTileN>;
// Scales of the chunks' blocks, times kCodeUnit: a signed byte times kCodeUnit is a code less half
// the codes' range.
var<workgroup> b_scales: array<f32, kChunks * kTileN>;
#if !zero_points_default
// Sums of the chunks' integers, and the offsets to add to the signed bytes of a row of B.
var<workgroup> a_sums: array<f32, kChunks * kTileM>;
var<workgroup> b_offsets: array<f32, kChunks * kTileN>;
#endif

// 16 neighbouring elements of a row of A.
struct Half {
#repeat i 0..4
  x_$i: vec4<f32>,
#endrepeat
}

fn load_half(m: u32, k: u32) -> Half {
  return Half(load_a(m, k), load_a(m, k + 4u), load_a(m, k + 8u), load_a(m, k + 12u));
}

fn largest_of(half: Half) -> u32 {
  let sizes = max(max(size_bits(half.x_0), size_bits(half.x_1)),
                  max(size_bits(half.x_2), size_bits(half.x_3)));
  return max(max(sizes.x, sizes.y), max(sizes.z, sizes.w));
}

fn store_octet(row: u32, octet: u32, low: vec4<i32>, high: vec4<i32>) {
  let carry = vec4<i32>(128);
  a_tile[octet * kOctetStride + row] = vec4<u32>(
      pack_octet((low + carry) >> vec4<u32>(8u), (high + carry) >> vec4<u32>(8u)),
      pack_octet(low, high));
}

// Stores two octets from `octet` on. Returns the sums of their integers, place by place.
fn store_half(row: u32, octet: u32, half: Half, factor: f32) -> vec4<i32> {
#repeat i 0..4
  let v_$i = vec4<i32>(round(half.x_$i * factor));
#endrepeat
  store_octet(row, octet, v_0, v_1);
  store_octet(row, octet + 1u, v_2, v_3);
  return v_0 + v_1 + v_2 + v_3;
}

#if zero_points_default
fn store_sum(at: u32, sums: vec4<i32>) {}
fn store_offset(at: u32, zero: f32) {}
fn offsets_of(first: u32) -> vec4<f32> {
  return vec4<f32>();
}
fn sum_of(at: u32) -> f32 {
  return 0.0;
}
#else
fn store_sum(at: u32, sums: vec4<i32>) {
  a_sums[at] = f32(sums.x + sums.y + sums.z + sums.w);
}
fn store_offset(at: u32, zero: f32) {
  b_offsets[at] = (f32(kHalfRange) - zero) / kCodeUnit;
}
fn offsets_of(first: u32) -> vec4<f32> {
  return vec4<f32>(b_offsets[first], b_offsets[first + kColumns], b_offsets[first + 2u * kColumns],
                   b_offsets[first + 3u * kColumns]);
}
fn sum_of(at: u32) -> f32 {
  return a_sums[at];
}
#endif

// Loads chunk `index` of A's part of the step at first_k.
fn stage_a(index: u32, first_m: u32, first_k: u32) {
  let row = index / kChunks;
  let chunk = index % kChunks;
  let m = first_m + row;
  let k = first_k + chunk * kChunk;
  let first = load_half(m, k);
  var second = Half();
  if (kChunk > 16u) {
    second = load_half(m, k + 16u);
  }
  // The upper byte of the largest element must not exceed 127 after rounding.
  let unit = bitcast<f32>(max(largest_of(first), largest_of(second))) / 32639.0;
  let factor = select(1.0 / unit, 0.0, unit < 1e-35);
  var sums = store_half(row, chunk * kChunk / 8u, first, factor);
  if (kChunk > 16u) {
    sums += store_half(row, chunk * kChunk / 8u + 2u, second, factor);
  }
  a_units[chunk * kTileM + row] = unit;
  store_sum(chunk * kTileM + row, sums);
}

// Returns the row of the bound part of B that row `row` of the tile of B holds. Rows past the end
// repeat the last.
#if glu
fn row_b(first_b: u32, first_n: u32, row: u32) -> u32 {
  const half = kTileN / 2u;
  return min(first_n + row % half, params.n - 1u) + row / half * params.n;
}
#else
fn row_b(first_b: u32, first_n: u32, row: u32) -> u32 {
  return first_b + min(first_n + row, params.n_count - 1u);
}
#endif

#if integers_bits4
fn signed_unit(unit: vec2<u32>) -> vec4<u32> {
  return vec4<u32>(signed_codes(unit.x), signed_codes(unit.y));
}
#endif
#if integers_bits8
fn signed_unit(unit: vec4<u32>) -> vec4<u32> {
  return vec4<u32>(signed_codes(unit.x), signed_codes(unit.y), signed_codes(unit.z),
                   signed_codes(unit.w));
}
#endif

// Loads unit `index` of B's part of the step at first_k, zeros past the last block.
fn stage_b(index: u32, first_b: u32, first_n: u32, first_k: u32) {
  let row = index / kUnits;
  let unit = index % kUnits;
  let n = row_b(first_b, first_n, row);
  let at = first_k / 16u + unit;
  let inside = at < params.row_units;
  var codes = vec4<u32>();
  if (inside) {
    codes = signed_unit(b[place_of_unit(n, at)]);
  }
  b_tile[unit * kTileN + row] = codes;
  if (unit * 16u % kChunk == 0u) {
    var scale = 0.0;
    var zero = 0.0;
    if (inside) {
      let block = at * 16u / kBlockSize;
      scale = load_scale(n, block);
      zero = zero_point(n, block);
    }
    let place = unit * 16u / kChunk * kTileN + row;
    b_scales[place] = scale * kCodeUnit;
    store_offset(place, zero);
  }
}

// A unit of each of a thread's rows of B.
struct Units {
#repeat i 0..4
  row_$i: vec4<u32>,
#endrepeat
}

// A chunk of each of a thread's rows of B.
struct Columns {
  first: Units,
  second: Units,
  scales: vec4<f32>,
  offsets: vec4<f32>,
}

fn load_units(unit: u32, column: u32) -> Units {
  let at = unit * kTileN + column;
  return Units(b_tile[at], b_tile[at + kColumns], b_tile[at + 2u * kColumns],
               b_tile[at + 3u * kColumns]);
}

fn load_columns(chunk: u32, column: u32) -> Columns {
  var columns = Columns();
  columns.first = load_units(chunk * kChunk / 16u, column);
  if (kChunk > 16u) {
    columns.second = load_units(chunk * kChunk / 16u + 1u, column);
  }
  let at = chunk * kTileN + column;
  columns.scales = vec4<f32>(b_scales[at], b_scales[at + kColumns], b_scales[at + 2u * kColumns],
                             b_scales[at + 3u * kColumns]);
  columns.offsets = offsets_of(at);
  return columns;
}

// Return the products of 16 codes with the upper and with the lower bytes of two octets of A.
fn dot_upper(codes: vec4<u32>, low: vec4<u32>, high: vec4<u32>) -> i32 {
  return dot4I8Packed(codes.x, low.x) + dot4I8Packed(codes.y, low.y) +
         dot4I8Packed(codes.z, high.x) + dot4I8Packed(codes.w, high.y);
}
fn dot_lower(codes: vec4<u32>, low: vec4<u32>, high: vec4<u32>) -> i32 {
  return dot4I8Packed(codes.x, low.z) + dot4I8Packed(codes.y, low.w) +
         dot4I8Packed(codes.z, high.z) + dot4I8Packed(codes.w, high.w);
}

fn dot_units(units: Units, row: u32, octet: u32) -> vec4<i32> {
  let low = a_tile[octet * kOctetStride + row];
  let high = a_tile[(octet + 1u) * kOctetStride + row];
  let upper = vec4<i32>(dot_upper(units.row_0, low, high), dot_upper(units.row_1, low, high),
                        dot_upper(units.row_2, low, high), dot_upper(units.row_3, low, high));
  let lower = vec4<i32>(dot_lower(units.row_0, low, high), dot_lower(units.row_1, low, high),
                        dot_lower(units.row_2, low, high), dot_lower(units.row_3, low, high));
  return upper * 256 + lower;
}

// Returns the products of a chunk with row `row` of A's tile.
fn dot_chunk(columns: Columns, chunk: u32, row: u32) -> vec4<f32> {
  var dots = dot_units(columns.first, row, chunk * kChunk / 8u);
  if (kChunk > 16u) {
    dots += dot_units(columns.second, row, chunk * kChunk / 8u + 2u);
  }
  let at = chunk * kTileM + row;
  return (vec4<f32>(dots) + columns.offsets * sum_of(at)) * (columns.scales * a_units[at]);
}

// Y[m, n_begin + n] = value (+ residual), where inside.
fn store_output(m: u32, n: u32, value: f32) {
  if (m >= params.m || n >= params.n_count) {
    return;
  }
  let at = m * params.n + params.n_begin + n;
#if residual
  y[at] = act_t(value + f32(residual[at]));
#else
  y[at] = act_t(value);
#endif
}

// Stores row m of a thread's outputs, from column n on.
#if glu
fn apply_gate(n: u32, gate: f32, up: f32) -> f32 {
  let row = min(n, params.n - 1u);
  return activation(gate + load_bias(row)) * (up + load_bias(params.n + row));
}

fn finish_row(m: u32, first_b: u32, n: u32, sums: vec4<f32>) {
  store_output(m, n, apply_gate(n, sums.x, sums.z));
  store_output(m, n + kColumns, apply_gate(n + kColumns, sums.y, sums.w));
}
const kTileColumns = kTileN / 2u;
#else
fn finish_one(m: u32, first_b: u32, n: u32, sum: f32) {
  store_output(m, n, sum + load_bias(first_b + min(n, params.n_count - 1u)));
}

fn finish_row(m: u32, first_b: u32, n: u32, sums: vec4<f32>) {
#repeat i 0..4
  finish_one(m, first_b, n + $i * kColumns, sums[$i]);
#endrepeat
}
const kTileColumns = kTileN;
#endif

@compute @workgroup_size(kThreads)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let weight = weight_of_tile(workgroup.x);
  if (weight >= max(kExperts, 1u)) {
    return;
  }
  let first_b = weight * params.n;
  let column = local % kColumns;
  let line = local / kColumns;
  let first_m = workgroup.x * kTileM;
  let first_n = workgroup.y * kTileColumns;

#repeat i 0..kRows
  var sums_$i = vec4<f32>();
#endrepeat
  for (var first_k = 0u; first_k < params.k; first_k += kStep) {
    for (var i = local; i < kTileN * kUnits; i += kThreads) {
      stage_b(i, first_b, first_n, first_k);
    }
    for (var i = local; i < kTileM * kChunks; i += kThreads) {
      stage_a(i, first_m, first_k);
    }
    workgroupBarrier();
    for (var chunk = 0u; chunk < kChunks; chunk++) {
      let columns = load_columns(chunk, column);
#repeat i 0..kRows
      sums_$i += dot_chunk(columns, chunk, line + $i * kLines);
#endrepeat
    }
    workgroupBarrier();
  }
  let m = first_m + line;
  let n = first_n + column;
#repeat i 0..kRows
  finish_row(m + $i * kLines, first_b, n, sums_$i);
#endrepeat
}
