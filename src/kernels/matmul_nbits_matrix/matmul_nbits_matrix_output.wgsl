// Output of MatMulNBits on the matrix units: a tile's sums go through workgroup memory, one row of
// matrices at a time, to Y, with bias, activation and residual. matmul_nbits_matrix.wgsl includes
// this file and has the bindings.

#include "matmul_nbits/matmul_nbits_bias.wgsl"

// Returns the sums of four neighbouring columns, from `column` of the bound part of B on, plus
// their bias.
fn with_bias(sums: vec4<f32>, column: u32) -> vec4<f32> {
  let last = params.n_count - 1u;
  return sums + vec4<f32>(load_bias(first_b + min(column, last)),
                          load_bias(first_b + min(column + 1u, last)),
                          load_bias(first_b + min(column + 2u, last)),
                          load_bias(first_b + min(column + 3u, last)));
}

#if residual
fn load_residual(at: u32) -> f32 {
  return f32(residual[at]);
}
#else
fn load_residual(at: u32) -> f32 {
  return 0.0;
}
#endif

// Quads (four neighbouring columns of Y) in a row of a subgroup's products, and those of kMatM rows
// that each thread has: at most 8.
#if glu
const kQuads = kSubCols / 8u;
#else
const kQuads = kSubCols / 4u;
#endif
const kQuadsEach = (kMatM * kQuads + kSplit * kSubgroup - 1u) / (kSplit * kSubgroup);

// Returns a thread's quad `i` of a row of products.
fn own_quad(i: u32, subgroup: u32, lane: u32) -> u32 {
  return (i * kSplit + subgroup / kPlaces) * kSubgroup + lane;
}

// Returns the first row and column of Y of row `row` of a subgroup's products.
fn corner_of(row: u32, subgroup: u32, first_m: u32, first_n: u32) -> vec2<u32> {
  let place = subgroup % kPlaces;
  return vec2<u32>(first_m + place / kPlacesN * kSubRows + row * kMatM,
                   first_n + place % kPlacesN * (kQuads * 4u));
}

fn is_inside(m: u32, column: u32) -> bool {
  return m < params.m && column < params.n_count;
}

fn index_of_y(m: u32, column: u32) -> u32 {
  return m * params.n + params.n_begin + column;
}

// The residuals of a thread's quads of a row of products. They are loaded one row ahead, all
// together: otherwise each load would wait, since for all the compiler knows the stores before it
// may write the same memory.
alias Residuals = array<vec4<f16>, 8>;

fn residuals_of(row: u32, subgroup: u32, lane: u32, first_m: u32, first_n: u32) -> Residuals {
  let top_left = corner_of(row, subgroup, first_m, first_n);
  var residuals = Residuals();
#repeat i 0..8
  if (kQuadsEach > $i) { residuals[$i] = residual_quad(own_quad($i, subgroup, lane), top_left); }
#endrepeat
  return residuals;
}

#if residual_vec4
fn residual_quad(quad: u32, top_left: vec2<u32>) -> vec4<f16> {
  let m = top_left.x + quad / kQuads;
  let column = top_left.y + 4u * (quad % kQuads);
  if (!is_inside(m, column)) {
    return vec4<f16>();
  }
  return residual[index_of_y(m, column) / 4u];
}
#else
fn residual_quad(quad: u32, top_left: vec2<u32>) -> vec4<f16> {
  return vec4<f16>();
}
#endif

// Y[m, n_begin + column ..] = four sums plus `added`, where inside. With y_vec4 the quad is whole
// or outside.
fn store_quad(m: u32, column: u32, sums: vec4<f32>, added: vec4<f16>) {
  if (!is_inside(m, column)) {
    return;
  }
  let at = index_of_y(m, column);
#if y_vec4
  y[at / 4u] = vec4<f16>(sums + vec4<f32>(added));
#else
  for (var i = 0u; i < min(4u, params.n_count - column); i++) {
    y[at + i] = f16(sums[i] + load_residual(at + i));
  }
#endif
}

// Writes a thread's quad `i` to Y: the staged sums plus `others`.
fn finish_quad(i: u32, subgroup: u32, lane: u32, top_left: vec2<u32>, residuals: Residuals,
               others: vec4<f32>) {
  let quad = own_quad(i, subgroup, lane);
  if (kMatM * kQuads % (kSplit * kSubgroup) != 0u && quad >= kMatM * kQuads) {
    return;
  }
  let place = subgroup % kPlaces;
  let line = quad / kQuads;
  let column = top_left.y + 4u * (quad % kQuads);
  var sums = with_bias(staged(place, line, quad % kQuads) + others, column);
#if glu
  sums = activate(sums) * with_gate_bias(staged(place, line, quad % kQuads + kQuads), column);
#endif
  store_quad(top_left.x + line, column, sums, residuals[i]);
}

// Writes row `row` of the subgroup's products to Y.
fn finish_rows(sums: ptr<function, Sums>, row: u32, subgroup: u32, lane: u32, first_m: u32,
               first_n: u32, residuals: Residuals) {
  workgroupBarrier();
  stage(sums, subgroup, row);
  workgroupBarrier();
  let top_left = corner_of(row, subgroup, first_m, first_n);
#repeat i 0..8
  if (kQuadsEach > $i) { finish_quad($i, subgroup, lane, top_left, residuals, vec4<f32>()); }
#endrepeat
}

fn finish_all(sums: ptr<function, Sums>, subgroup: u32, lane: u32, first_m: u32, first_n: u32) {
  let residuals_0 = residuals_of(0u, subgroup, lane, first_m, first_n);
  let residuals_1 = residuals_of(min(1u, kRows - 1u), subgroup, lane, first_m, first_n);
  finish_rows(sums, 0u, subgroup, lane, first_m, first_n, residuals_0);
  if (kRows > 1u) {
    let residuals_2 = residuals_of(min(2u, kRows - 1u), subgroup, lane, first_m, first_n);
    finish_rows(sums, 1u, subgroup, lane, first_m, first_n, residuals_1);
    if (kRows > 2u) {
      let residuals_3 = residuals_of(3u, subgroup, lane, first_m, first_n);
      finish_rows(sums, 2u, subgroup, lane, first_m, first_n, residuals_2);
      finish_rows(sums, 3u, subgroup, lane, first_m, first_n, residuals_3);
    }
  }
}

#if parts
#include "matmul_nbits_matrix/matmul_nbits_matrix_parts.wgsl"
#endif

#if glu
// The up projection's rows of bias follow the gate's.
fn with_gate_bias(sums: vec4<f32>, column: u32) -> vec4<f32> {
  let first = params.n;
  let last = 2u * params.n - 1u;
  return sums + vec4<f32>(load_bias(first + column),
                          load_bias(min(first + column + 1u, last)),
                          load_bias(min(first + column + 2u, last)),
                          load_bias(min(first + column + 3u, last)));
}

fn activate(x: vec4<f32>) -> vec4<f32> {
  return vec4<f32>(activation(x.x), activation(x.y), activation(x.z), activation(x.w));
}
#endif
