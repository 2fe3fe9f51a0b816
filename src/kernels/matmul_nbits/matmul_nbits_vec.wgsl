// MatMulNBits for few rows of A: Y[m, n] = sum over k of A[m, k] * (code[n, k] - zero) * scale.
//
// A team of kLanes threads owns kRows neighbouring rows of B and kM rows of A: each thread takes
// every kLanes-th chunk of B's rows, a chunk being the widest load (up to 16 bytes) that stays
// inside one block, and sums code * A over the chunk before it multiplies by the block's scale.
// Then the team's partial sums are added up: by shuffles inside a subgroup (kLanes is at most the
// smallest subgroup), or through workgroup memory.
// Workgroup (x, y) owns kTeams * kRows rows of B, z owns kM rows of A.
//
// B is read once, in coalesced loads; A comes from the caches, once for the kRows rows.

#include "matmul_nbits/matmul_nbits_inputs.wgsl"

const kTeams = kWorkgroup / kLanes;
const kChunk = kChunkWords * kCodesPerWord;

#if !subgroups
// [team][row, m][lane], a lane's stride padded by one against bank conflicts.
var<workgroup> partials: array<f32, kTeams * kRows * kM * (kLanes + 1u)>;
#endif

@compute @workgroup_size(kWorkgroup)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let lane = local % kLanes;
  let team = local / kLanes;
  let first_row = ((group.y * params.grid_x + group.x) * kTeams + team) * kRows;
  let first_m = group.z * kM;

  var sums: array<array<f32, kM>, kRows>;
  // The lanes of a team go round together, so that they are together for the shuffles.
  for (var first = 0u; first < params.row_units; first += kLanes) {
    let chunk = first + lane;
    if (chunk >= params.row_units) {
      continue;
    }
    let first_k = chunk * kChunk;
    let block = first_k / kBlockSize;
    var codes: array<unit_t, kRows>;
    var zeros: array<f32, kRows>;
    var block_scales: array<f32, kRows>;
    for (var r = 0u; r < kRows; r++) {
      // Rows past the end repeat the last one, and are not stored.
      let row = min(first_row + r, params.n_count - 1u);
      codes[r] = b[row * params.row_units + chunk];
      block_scales[r] = f32(scales[row * params.blocks + block]);
      zeros[r] = ZeroPoint(row, block);
    }
    // With its zeros written out: lavapipe (Mesa 26) else keeps the last turn's sums where the shader
    // has subgroup operations.
    var dots = array<array<f32, kM>, kRows>();
    for (var word = 0u; word < kChunkWords; word++) {
      for (var quad = 0u; quad < kQuadsPerWord; quad++) {
        let k = first_k + word * kCodesPerWord + 4u * quad;
        var x: array<vec4<f32>, kM>;
        for (var m = 0u; m < kM; m++) {
          x[m] = LoadA(first_m + m, k);
        }
        for (var r = 0u; r < kRows; r++) {
          let w = Quad(codes[r][word], quad, zeros[r]);
          for (var m = 0u; m < kM; m++) {
            dots[r][m] += dot(w, x[m]);
          }
        }
      }
    }
    for (var r = 0u; r < kRows; r++) {
      for (var m = 0u; m < kM; m++) {
        sums[r][m] += block_scales[r] * dots[r][m];
      }
    }
  }

#if subgroups
  for (var r = 0u; r < kRows; r++) {
    for (var m = 0u; m < kM; m++) {
      var sum = sums[r][m];
      for (var distance = kLanes / 2u; distance > 0u; distance /= 2u) {
        sum += subgroupShuffleXor(sum, distance);
      }
      if (lane == 0u) {
        Store(first_m + m, first_row + r, sum);
      }
    }
  }
#else
  const kOutputs = kRows * kM;
  for (var r = 0u; r < kRows; r++) {
    for (var m = 0u; m < kM; m++) {
      partials[(team * kOutputs + r * kM + m) * (kLanes + 1u) + lane] = sums[r][m];
    }
  }
  workgroupBarrier();
  for (var output = lane; output < kOutputs; output += kLanes) {
    var sum = 0.0;
    for (var i = 0u; i < kLanes; i++) {
      sum += partials[(team * kOutputs + output) * (kLanes + 1u) + i];
    }
    Store(first_m + output % kM, first_row + output / kM, sum);
  }
#endif
}
