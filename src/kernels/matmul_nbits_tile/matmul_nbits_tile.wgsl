// MatMulNBits for many rows of A: Y[m, n] = sum over k of A[m, k] * (code[n, k] - zero) * scale.
//
// A workgroup of 16 x 16 threads owns a tile of kTileM (32 or 64) rows of A by 64 rows of B. It
// walks along K in steps of 32: all threads load the step's part of A and of B, dequantized, into
// workgroup memory, and thread (column, line) adds to its own outputs at line + 16 i, column + 16
// j. Workgroup x owns the tile's rows of A, y those of B, so that neighbours share B.
//
// With several weights (#if experts) all rows of A in a tile belong to one of them; see
// matmul_nbits.h.
//
// A row of a tile is 8 quads of f32. Quad q of row r lies at q ^ (r % 8) (XOR swizzle): the same
// quad of eight neighbouring rows is in eight different groups of banks.

#include "matmul_nbits/matmul_nbits_inputs.wgsl"

const kStep = 32u;
const kQuads = kStep / 4u;
const kThreads = 256u;
const kTileN = 64u;

var<workgroup> a_tile: array<vec4<f32>, kTileM * kQuads>;
var<workgroup> b_tile: array<vec4<f32>, kTileN * kQuads>;

fn swizzled(row: u32, quad: u32) -> u32 {
  return row * kQuads + (quad ^ (row % kQuads));
}

fn store_columns(m: u32, first_b: u32, n: u32, sums: vec4<f32>) {
#repeat j 0..4
  store_y(m, first_b, n + 16u * $j, sums[$j]);
#endrepeat
}

@compute @workgroup_size(kThreads)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let weight = weight_of_tile(workgroup.x);
  if (weight >= max(kExperts, 1u)) {
    return;
  }
  let first_b = weight * params.n;
  let column = local % 16u;
  let line = local / 16u;
  let first_m = workgroup.x * kTileM;
  let first_n = workgroup.y * kTileN;

  // Sums of outputs (line + 16 i, column + 16 j), j = 0 to 3. They are no array: NVIDIA's compiler
  // does not unroll loops over one and then keeps it in memory.
#repeat i 0..4
  var sums_$i = vec4<f32>();
#endrepeat
  for (var first_k = 0u; first_k < params.k; first_k += kStep) {
    for (var i = local; i < kTileM * kQuads; i += kThreads) {
      let row = i / kQuads;
      let quad = i % kQuads;
      a_tile[swizzled(row, quad)] = load_a(first_m + row, first_k + 4u * quad);
    }
    // A step of a row of B is kBits words.
    for (var i = local; i < kTileN * kBits; i += kThreads) {
      let row = i / kBits;
      let word = i % kBits;
      let n = first_b + min(first_n + row, params.n_count - 1u);
      let row_word = first_k / kCodesPerWord + word;
      var codes = 0u;
      var scale = 0.0;
      var zero = 0.0;
      // A step may extend past the last block.
      if (row_word < params.row_units) {
        let block = row_word * kCodesPerWord / kBlockSize;
        codes = b[place_of_unit(n, row_word)];
        scale = load_scale(n, block);
        zero = zero_point(n, block);
      }
      for (var quad = 0u; quad < kQuadsPerWord; quad++) {
        b_tile[swizzled(row, word * kQuadsPerWord + quad)] =
            quad_less_zero(codes, quad, zero) * scale;
      }
    }
    workgroupBarrier();
    for (var quad = 0u; quad < kQuads; quad++) {
      let rows_b = mat4x4<f32>(
          b_tile[swizzled(column, quad)], b_tile[swizzled(column + 16u, quad)],
          b_tile[swizzled(column + 32u, quad)], b_tile[swizzled(column + 48u, quad)]);
#repeat i 0..4
      if (kTileM > 16u * $i) { sums_$i += a_tile[swizzled(line + 16u * $i, quad)] * rows_b; }
#endrepeat
    }
    workgroupBarrier();
  }
#repeat i 0..4
  if (kTileM > 16u * $i) {
    store_columns(first_m + line + 16u * $i, first_b, first_n + column, sums_$i);
  }
#endrepeat
}
