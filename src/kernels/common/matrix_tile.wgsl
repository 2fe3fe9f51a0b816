// Y = A x B tile by tile on the matrix units, for kernels that bring A and B into workgroup memory as f16.
//
// A workgroup owns a tile of kTileM x kTileN outputs and walks along K in steps of kStep. A step's part of A is kTileM
// rows of kChunks vec4<u32>, 8 f16 each, and one vec4 of padding, which makes the stride odd, so that neighbouring rows
// of a matrix lie in different banks. B's part is, where kTurned, kTileN rows along K, as those of A; else kStep rows
// along N, padded alike. Two such buffers (kBuffers) let one step be multiplied while the next one is written.
//
// A subgroup owns kRows (1, 2 or 4) x kCols (1 to 4) products of kMatM x kMatN x kMatK: the matrices that the adapter
// multiplies, f16 with f32 sums. kSplit subgroups own the same products, each for its slice of every step; their sums
// meet on the way out. The host's prelude gives all of these constants and kSubgroup, the subgroup's size.

const kChunks = kStep / 8u;
const kStride = kChunks + 1u;
const kBStride = select(kTileN / 8u + 1u, kStride, kTransposed);
const kBRows = select(kStep, kTileN, kTransposed);
const kBufferSize = kTileM * kStride + kBRows * kBStride;
const kSubRows = kRows * kMatM;
const kSubCols = kCols * kMatN;
const kPlacesN = kTileN / kSubCols;
const kPlaces = kTileM / kSubRows * kPlacesN;
const kSubgroups = kPlaces * kSplit;
const kThreads = kSubgroups * kSubgroup;

// Where the sums pass through on their way out: a subgroup's kMatM x kSubCols f32 at a time, rows padded.
const kStageStride = kSubCols / 4u + 1u;
const kStageSize = kMatM * kStageStride;

var<workgroup> tiles: array<vec4<u32>, max(kBuffers * kBufferSize, kSubgroups * kStageSize)>;

alias Left = subgroup_matrix_left<f16, kMatK, kMatM>;
alias Right = subgroup_matrix_right<f16, kMatN, kMatK>;
alias Sum = subgroup_matrix_result<f32, kMatN, kMatM>;
// Product (row, column) is at 4 * row + column. All indices are constant: NVIDIA's compiler does not unroll loops over
// arrays and then keeps them in memory.
alias Sums = array<Sum, 16>;

fn left_at(at: u32, row: u32) -> Left {
  return subgroupMatrixLoad<Left, row_major>(&tiles, at + min(row, kRows - 1u) * kMatM * kStride, kStride);
}

fn right_at(at: u32, col: u32) -> Right {
  let matrix = min(col, kCols - 1u);
  if (kTransposed) {
    return subgroupMatrixLoad<Right, col_major>(&tiles, at + matrix * kMatN * kStride, kStride);
  }
  return subgroupMatrixLoad<Right, row_major>(&tiles, at + matrix * (kMatN / 8u), kBStride);
}

// sums += A x B over kMatK of K: a_at and b_at are where the subgroup's first matrices of each lie.
fn multiply_once(sums: ptr<function, Sums>, a_at: u32, b_at: u32) {
#repeat c 0..kCols
  let b$c = right_at(b_at, $c);
#endrepeat
#repeat r 0..2
  if (kRows > $r) {
    let a$r = left_at(a_at, $r);
#repeat c 0..kCols
    (*sums)[4 * $r + $c] = subgroupMatrixMultiplyAccumulate(a$r, b$c, (*sums)[4 * $r + $c]);
#endrepeat
  }
#endrepeat
  // Two rows at a time.
  if (kRows > 2u) {
    let a2 = left_at(a_at, 2u);
    let a3 = left_at(a_at, 3u);
#repeat c 0..kCols
#repeat r 2..4
    (*sums)[4 * $r + $c] = subgroupMatrixMultiplyAccumulate(a$r, b$c, (*sums)[4 * $r + $c]);
#endrepeat
#endrepeat
  }
}

// sums += the subgroup's slice of the step that `buffer` holds. Two products are written out, so that the loads of one
// overlap the other.
fn multiply(sums: ptr<function, Sums>, buffer: u32, subgroup: u32) {
  const next_a = kMatK / 8u;
  const next_b = select(kMatK * kBStride, next_a, kTransposed);
  const products = kStep / kSplit / kMatK;
  let place = subgroup % kPlaces;
  let first = subgroup / kPlaces * products;
  let a_tile = buffer * kBufferSize;
  let b_tile = a_tile + kTileM * kStride;
  let a_at = a_tile + place / kPlacesN * kSubRows * kStride + first * next_a;
  let b_at = b_tile + place % kPlacesN * kSubCols * select(1u, kStride * 8u, kTransposed) / 8u + first * next_b;
  for (var i = 0u; i < products; i += 2u) {
    multiply_once(sums, a_at + i * next_a, b_at + i * next_b);
    if (products > 1u) {
      multiply_once(sums, a_at + (i + 1u) * next_a, b_at + (i + 1u) * next_b);
    }
  }
}

// The buffer for the next step, `buffer` having been multiplied: the other, or the same when everybody is done with it.
fn release(buffer: u32) -> u32 {
  if (kBuffers == 1u) {
    workgroupBarrier();
    return buffer;
  }
  return 1u - buffer;
}

// Writes row `row` of the subgroup's products to its stage. The caller puts a barrier before and after.
fn stage(sums: ptr<function, Sums>, subgroup: u32, row: u32) {
  let at = subgroup * kStageSize;
  if (row == 0u) {
    stage_row(at, (*sums)[0], (*sums)[1], (*sums)[2], (*sums)[3]);
  } else if (row == 1u) {
    stage_row(at, (*sums)[4], (*sums)[5], (*sums)[6], (*sums)[7]);
  } else if (row == 2u) {
    stage_row(at, (*sums)[8], (*sums)[9], (*sums)[10], (*sums)[11]);
  } else {
    stage_row(at, (*sums)[12], (*sums)[13], (*sums)[14], (*sums)[15]);
  }
}

fn stage_row(at: u32, sum0: Sum, sum1: Sum, sum2: Sum, sum3: Sum) {
#repeat c 0..kCols
  subgroupMatrixStore<row_major>(&tiles, at + $c * (kMatN / 4u), sum$c, kStageStride);
#endrepeat
}

// Four neighbouring columns of the staged row of products at `place`: row `row` of the matrices, quad `quad`.
fn staged(place: u32, row: u32, quad: u32) -> vec4<f32> {
  let at = place * kStageSize + row * kStageStride + quad;
  var sum = bitcast<vec4<f32>>(tiles[at]);
  for (var slice = 1u; slice < kSplit; slice++) {
    sum += bitcast<vec4<f32>>(tiles[slice * kPlaces * kStageSize + at]);
  }
  return sum;
}
