// Y = A x B tile by tile on the matrix units, for kernels that load A and B into workgroup memory
// as f16.
//
// A workgroup owns a tile of kTileM x kTileN outputs and walks along K in steps of kStep. A step's
// part of A is kTileM rows of kChunks vec4<u32> (8 f16 each) and one vec4 of padding, which makes
// the stride odd, so that neighbouring rows of a matrix are in different banks. B's part is kTileN
// rows along K like those of A if kTransposed, else kStep rows along N with the same padding. With
// two such buffers (kBuffers) one step is multiplied while the next one is written.
//
// A subgroup owns kRows (1, 2 or 4) x kCols (1 to 4) products of kMatM x kMatN x kMatK, the
// matrices that the adapter multiplies, f16 with f32 sums. kSplit subgroups own the same products,
// each for a slice of every step (split-K); their sums are added on the way out. The prelude gives
// all of these constants and kSubgroup, the size of a subgroup.

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

// Sums leave through workgroup memory: kMatM x kSubCols f32 of each subgroup at a time, with padded
// rows.
const kStageStride = kSubCols / 4u + 1u;
const kStageSize = kMatM * kStageStride;

var<workgroup> tiles: array<vec4<u32>, max(kBuffers * kBufferSize, kSubgroups * kStageSize)>;

alias Left = subgroup_matrix_left<f16, kMatK, kMatM>;
alias Right = subgroup_matrix_right<f16, kMatN, kMatK>;
alias Sum = subgroup_matrix_result<f32, kMatN, kMatM>;
// Product (row, column) is at 4 * row + column. All indices are constants: NVIDIA's compiler does
// not unroll loops over arrays and then keeps them in memory.
alias Sums = array<Sum, 16>;

fn left_at(at: u32, row: u32) -> Left {
  let matrix = min(row, kRows - 1u);
  return subgroupMatrixLoad<Left, row_major>(&tiles, at + matrix * kMatM * kStride, kStride);
}

fn right_at(at: u32, col: u32) -> Right {
  let matrix = min(col, kCols - 1u);
  if (kTransposed) {
    return subgroupMatrixLoad<Right, col_major>(&tiles, at + matrix * kMatN * kStride, kStride);
  }
  return subgroupMatrixLoad<Right, row_major>(&tiles, at + matrix * (kMatN / 8u), kBStride);
}

// sums += A x B over kMatK of K. The subgroup's first matrices lie at a_at and b_at.
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
  // Rows 2 and 3 alternate.
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

// sums += the subgroup's slice of the step in `buffer`. Two products are written out, so that the
// loads of one overlap the other.
fn multiply(sums: ptr<function, Sums>, buffer: u32, subgroup: u32) {
  const next_a = kMatK / 8u;
  const next_b = select(kMatK * kBStride, next_a, kTransposed);
  const products = kStep / kSplit / kMatK;
  let place = subgroup % kPlaces;
  let first = subgroup / kPlaces * products;
  let a_tile = buffer * kBufferSize;
  let b_tile = a_tile + kTileM * kStride;
  let a_at = a_tile + place / kPlacesN * kSubRows * kStride + first * next_a;
  let b_at = b_tile + place % kPlacesN * kSubCols * select(1u, kStride * 8u, kTransposed) / 8u +
             first * next_b;
  for (var i = 0u; i < products; i += 2u) {
    multiply_once(sums, a_at + i * next_a, b_at + i * next_b);
    if (products > 1u) {
      multiply_once(sums, a_at + (i + 1u) * next_a, b_at + (i + 1u) * next_b);
    }
  }
}

// Returns the buffer for the next step after `buffer` was multiplied: the other one, or the same
// after a barrier.
fn release(buffer: u32) -> u32 {
  if (kBuffers == 1u) {
    workgroupBarrier();
    return buffer;
  }
  return 1u - buffer;
}

// Writes row `row` of the subgroup's products to its stage. The caller puts a barrier before and
// after.
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

// Returns four neighbouring columns of the staged products at `place`: row `row` of the matrices,
// quad `quad`. Adds the slices of split-K.
fn staged(place: u32, row: u32, quad: u32) -> vec4<f32> {
  let at = place * kStageSize + row * kStageStride + quad;
  var sum = bitcast<vec4<f32>>(tiles[at]);
  for (var slice = 1u; slice < kSplit; slice++) {
    sum += bitcast<vec4<f32>>(tiles[slice * kPlaces * kStageSize + at]);
  }
  return sum;
}
