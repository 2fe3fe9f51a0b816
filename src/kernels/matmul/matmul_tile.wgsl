// MatMul for many rows of A: Y[m, n] = sum over k of A[m, k] * B[k, n].
//
// A workgroup of 16 x 16 threads owns a tile of 64 x 64 outputs and walks along K in steps of 32.
// All threads load the step's part of A and of B (transposed, so that both have quads along K) into
// workgroup memory, and thread (column, line) adds to its outputs at line + 16 i, column + 16 j.
//
// A row of a tile is 8 quads of f32. Quad q of row r lies at q ^ (r % 8) (XOR swizzle): the same
// quad of eight neighbouring rows is in eight different groups of banks.

#include "matmul/matmul_inputs.wgsl"

const kTile = 64u;
const kStep = 32u;
const kQuads = kStep / 4u;
const kThreads = 256u;

var<workgroup> a_tile: array<vec4<f32>, kTile * kQuads>;
var<workgroup> b_tile: array<vec4<f32>, kTile * kQuads>;

fn swizzled(row: u32, quad: u32) -> u32 {
  return row * kQuads + (quad ^ (row % kQuads));
}

// Return A[m, k] and B[k, n] of a tile's matrices, zero outside.
fn load_a(tile: Tile, m: u32, k: u32) -> f32 {
  if (m >= params.m || k >= params.k) {
    return 0.0;
  }
  return f32(a[tile.a_at + m * params.a_row + k]);
}

fn load_b(tile: Tile, n: u32, k: u32) -> f32 {
  if (n >= params.n || k >= params.k) {
    return 0.0;
  }
  return f32(b[tile.b_at + k * params.n + n]);
}

fn store_y(tile: Tile, m: u32, n: u32, value: f32) {
  if (m < params.m && n < params.n) {
    store_sum(tile.y_at + m * params.n + n, value);
  }
}

fn store_columns(tile: Tile, line: u32, column: u32, sums: vec4<f32>) {
  let m = tile.first_m + line;
  let n = tile.first_n + column;
#repeat j 0..4
  store_y(tile, m, n + 16u * $j, sums[$j]);
#endrepeat
}

@compute @workgroup_size(kThreads)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let tile = find_tile(workgroup.y * params.grid_x + workgroup.x, kTile, kTile);
  if (!tile.inside) {
    return;
  }
  let column = local % 16u;
  let line = local / 16u;

  // Sums of outputs (line + 16 i, column + 16 j), j = 0 to 3. They are no array: NVIDIA's compiler
  // does not unroll loops over one and then keeps it in memory.
#repeat i 0..4
  var sums_$i = vec4<f32>();
#endrepeat
  for (var first_k = 0u; first_k < params.k; first_k += kStep) {
    for (var i = local; i < kTile * kQuads; i += kThreads) {
      let row = i / kQuads;
      let quad = i % kQuads;
      let m = tile.first_m + row;
      let k = first_k + 4u * quad;
      a_tile[swizzled(row, quad)] = vec4<f32>(load_a(tile, m, k), load_a(tile, m, k + 1u),
                                          load_a(tile, m, k + 2u), load_a(tile, m, k + 3u));
    }
    for (var i = local; i < kTile * kQuads; i += kThreads) {
      let row = i % kTile;
      let quad = i / kTile;
      let n = tile.first_n + row;
      let k = first_k + 4u * quad;
      b_tile[swizzled(row, quad)] = vec4<f32>(load_b(tile, n, k), load_b(tile, n, k + 1u),
                                          load_b(tile, n, k + 2u), load_b(tile, n, k + 3u));
    }
    workgroupBarrier();
    for (var quad = 0u; quad < kQuads; quad++) {
      let rows_b = mat4x4<f32>(
          b_tile[swizzled(column, quad)], b_tile[swizzled(column + 16u, quad)],
          b_tile[swizzled(column + 32u, quad)], b_tile[swizzled(column + 48u, quad)]);
#repeat i 0..4
      sums_$i += a_tile[swizzled(line + 16u * $i, quad)] * rows_b;
#endrepeat
    }
    workgroupBarrier();
  }
#repeat i 0..4
  store_columns(tile, line + 16u * $i, column, sums_$i);
#endrepeat
}
