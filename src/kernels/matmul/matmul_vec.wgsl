// MatMul for few rows of A: Y[m, n] = sum over k of A[m, k] * B[k, n].
//
// A workgroup owns kM rows and 32 columns. Thread (column, slice) sums the products of every 8th k,
// so that 32 neighbouring threads read neighbours of B. The slices are added in workgroup memory.

#include "matmul/matmul_inputs.wgsl"

const kColumns = 32u;
const kSlices = 8u;

var<workgroup> partials: array<f32, kM * kSlices * kColumns>;

@compute @workgroup_size(kColumns * kSlices)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let tile = find_tile(workgroup.y * params.grid_x + workgroup.x, kM, kColumns);
  if (!tile.inside) {
    return;
  }
  let column = local % kColumns;
  let slice = local / kColumns;
  let n = tile.first_n + column;
  var sums: array<f32, kM>;
  if (n < params.n) {
    for (var k = slice; k < params.k; k += kSlices) {
      let weight = f32(b[tile.b_at + k * params.n + n]);
      for (var i = 0u; i < kM; i++) {
        // Rows past the end repeat the last one, and are not stored.
        let m = min(tile.first_m + i, params.m - 1u);
        sums[i] += weight * f32(a[tile.a_at + m * params.a_row + k]);
      }
    }
  }
  for (var i = 0u; i < kM; i++) {
    partials[(i * kSlices + slice) * kColumns + column] = sums[i];
  }
  workgroupBarrier();
  for (var i = slice; i < kM; i += kSlices) {
    let m = tile.first_m + i;
    if (n >= params.n || m >= params.m) {
      continue;
    }
    var sum = 0.0;
    for (var j = 0u; j < kSlices; j++) {
      sum += partials[(i * kSlices + j) * kColumns + column];
    }
    store_sum(tile.y_at + m * params.n + n, sum);
  }
}
