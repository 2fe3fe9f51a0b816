// Multiplies matrices that stay in registers, as fast as the adapter can: the roof for what is bound by arithmetic.
//
// A subgroup has four left matrices and four right ones, and adds each of their 16 products `rounds` times to a sum of
// its own. Subgroup s of the grid owns sums[s], 16 matrices; product (i, j) is the one at 4 i + j. The prelude gives
// kMatM, kMatN, kMatK and kSubgroup, the subgroup's size.

struct Params {
  rounds: u32,
}

alias Left = subgroup_matrix_left<f16, kMatK, kMatM>;
alias Right = subgroup_matrix_right<f16, kMatN, kMatK>;
alias Sum = subgroup_matrix_result<f32, kMatN, kMatM>;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lefts: array<f16>;   // [4][kMatM][kMatK]
@group(0) @binding(2) var<storage, read> rights: array<f16>;  // [4][kMatK][kMatN]
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;

const kSubgroups = 4u;
const kLeft = kMatM * kMatK;
const kRight = kMatK * kMatN;
const kSum = kMatM * kMatN;

fn StoreRow(at: u32, sum0: Sum, sum1: Sum, sum2: Sum, sum3: Sum) {
  subgroupMatrixStore<row_major>(&sums, at, sum0, kMatN);
  subgroupMatrixStore<row_major>(&sums, at + kSum, sum1, kMatN);
  subgroupMatrixStore<row_major>(&sums, at + 2u * kSum, sum2, kMatN);
  subgroupMatrixStore<row_major>(&sums, at + 3u * kSum, sum3, kMatN);
}

@compute @workgroup_size(kSubgroups * kSubgroup)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_id) subgroup: u32) {
  let a0 = subgroupMatrixLoad<Left, row_major>(&lefts, 0u, kMatK);
  let a1 = subgroupMatrixLoad<Left, row_major>(&lefts, kLeft, kMatK);
  let a2 = subgroupMatrixLoad<Left, row_major>(&lefts, 2u * kLeft, kMatK);
  let a3 = subgroupMatrixLoad<Left, row_major>(&lefts, 3u * kLeft, kMatK);
  let b0 = subgroupMatrixLoad<Right, row_major>(&rights, 0u, kMatN);
  let b1 = subgroupMatrixLoad<Right, row_major>(&rights, kRight, kMatN);
  let b2 = subgroupMatrixLoad<Right, row_major>(&rights, 2u * kRight, kMatN);
  let b3 = subgroupMatrixLoad<Right, row_major>(&rights, 3u * kRight, kMatN);
  // Variables rather than an array, since nothing indexes them.
  var s00 = Sum();
  var s01 = Sum();
  var s02 = Sum();
  var s03 = Sum();
  var s10 = Sum();
  var s11 = Sum();
  var s12 = Sum();
  var s13 = Sum();
  var s20 = Sum();
  var s21 = Sum();
  var s22 = Sum();
  var s23 = Sum();
  var s30 = Sum();
  var s31 = Sum();
  var s32 = Sum();
  var s33 = Sum();
  for (var round = 0u; round < params.rounds; round++) {
    s00 = subgroupMatrixMultiplyAccumulate(a0, b0, s00);
    s01 = subgroupMatrixMultiplyAccumulate(a0, b1, s01);
    s02 = subgroupMatrixMultiplyAccumulate(a0, b2, s02);
    s03 = subgroupMatrixMultiplyAccumulate(a0, b3, s03);
    s10 = subgroupMatrixMultiplyAccumulate(a1, b0, s10);
    s11 = subgroupMatrixMultiplyAccumulate(a1, b1, s11);
    s12 = subgroupMatrixMultiplyAccumulate(a1, b2, s12);
    s13 = subgroupMatrixMultiplyAccumulate(a1, b3, s13);
    s20 = subgroupMatrixMultiplyAccumulate(a2, b0, s20);
    s21 = subgroupMatrixMultiplyAccumulate(a2, b1, s21);
    s22 = subgroupMatrixMultiplyAccumulate(a2, b2, s22);
    s23 = subgroupMatrixMultiplyAccumulate(a2, b3, s23);
    s30 = subgroupMatrixMultiplyAccumulate(a3, b0, s30);
    s31 = subgroupMatrixMultiplyAccumulate(a3, b1, s31);
    s32 = subgroupMatrixMultiplyAccumulate(a3, b2, s32);
    s33 = subgroupMatrixMultiplyAccumulate(a3, b3, s33);
  }
  let at = (group.x * kSubgroups + subgroup) * 16u * kSum;
  StoreRow(at, s00, s01, s02, s03);
  StoreRow(at + 4u * kSum, s10, s11, s12, s13);
  StoreRow(at + 8u * kSum, s20, s21, s22, s23);
  StoreRow(at + 12u * kSum, s30, s31, s32, s33);
}
