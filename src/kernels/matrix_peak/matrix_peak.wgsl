// Multiplies matrices that stay in registers as fast as the adapter can: the roof for kernels that
// are bound by arithmetic.
//
// A subgroup has four left matrices and four right ones, and adds each of their 16 products
// `rounds` times to a sum of its own. Subgroup s of the grid owns sums[s], 16 matrices; product (i,
// j) is at 4 i + j. The prelude gives kMatM, kMatN, kMatK and kSubgroup, the size of a subgroup.

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

fn store_row(at: u32, sum0: Sum, sum1: Sum, sum2: Sum, sum3: Sum) {
#repeat j 0..4
  subgroupMatrixStore<row_major>(&sums, at + $j * kSum, sum$j, kMatN);
#endrepeat
}

@compute @workgroup_size(kSubgroups * kSubgroup)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(subgroup_id) subgroup: u32) {
#repeat i 0..4
  let a$i = subgroupMatrixLoad<Left, row_major>(&lefts, $i * kLeft, kMatK);
  let b$i = subgroupMatrixLoad<Right, row_major>(&rights, $i * kRight, kMatN);
#endrepeat
  // Variables rather than an array, since nothing indexes them.
#repeat i 0..4
#repeat j 0..4
  var s$i$j = Sum();
#endrepeat
#endrepeat
  for (var round = 0u; round < params.rounds; round++) {
#repeat i 0..4
#repeat j 0..4
    s$i$j = subgroupMatrixMultiplyAccumulate(a$i, b$j, s$i$j);
#endrepeat
#endrepeat
  }
  let at = (workgroup.x * kSubgroups + subgroup) * 16u * kSum;
#repeat i 0..4
  store_row(at + 4u * $i * kSum, s$i0, s$i1, s$i2, s$i3);
#endrepeat
}
