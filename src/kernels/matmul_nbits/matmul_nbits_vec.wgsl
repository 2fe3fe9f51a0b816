// MatMulNBits for few rows of A: Y[m, n] = sum over k of A[m, k] * (code[n, k] - zero) * scale.
//
// A team of kLanes threads owns 4 neighbouring rows of B and kM (1, 2, 4 or 8) rows of A: each
// thread takes every kLanes-th chunk of B's rows, a chunk being the widest load (up to 16 bytes)
// that stays inside one block, and sums code * A over the chunk before it multiplies by the block's
// scale. Then the team's partial sums are added up: by shuffles inside a subgroup (kLanes is at
// most the smallest subgroup), or through workgroup memory. Workgroup (x, y) owns kTeams * 4 rows
// of B, z owns kM rows of A.
//
// B is read once, in coalesced loads; A comes from the caches, once for the 4 rows. A vec4 holds a
// value for each of the 4 rows of B, an array of them has the rows of A; its indices are all
// constant, since NVIDIA's compiler does not unroll such loops and then keeps arrays in memory.

#include "matmul_nbits/matmul_nbits_inputs.wgsl"

const kTeams = kWorkgroup / kLanes;
const kChunk = kChunkWords * kCodesPerWord;

alias Sums = array<vec4<f32>, 8>;

#if !subgroups
// [row of A][team][lane], a lane's stride padded by one against bank conflicts.
var<workgroup> partials: array<vec4<f32>, kM * kTeams * (kLanes + 1u)>;
#endif

// Chunk `chunk` of row `row` of B, words past the chunk's last one zero.
fn LoadChunk(row: u32, chunk: u32) -> vec4<u32> {
  let unit = b[row * params.row_units + chunk];
#if chunk4
  return unit;
#endif
#if chunk2
  return vec4<u32>(unit, 0u, 0u);
#endif
#if chunk1
  return vec4<u32>(unit, 0u, 0u, 0u);
#endif
}

// dots += w x A[first_m .., k .. k + 3], w having a column for each row of B.
fn AddQuad(dots: ptr<function, Sums>, w: mat4x4<f32>, first_m: u32, k: u32) {
  (*dots)[0] += LoadA(first_m, k) * w;
  if (kM > 1u) {
    (*dots)[1] += LoadA(first_m + 1u, k) * w;
  }
  if (kM > 2u) {
    (*dots)[2] += LoadA(first_m + 2u, k) * w;
    (*dots)[3] += LoadA(first_m + 3u, k) * w;
  }
  if (kM > 4u) {
    (*dots)[4] += LoadA(first_m + 4u, k) * w;
    (*dots)[5] += LoadA(first_m + 5u, k) * w;
    (*dots)[6] += LoadA(first_m + 6u, k) * w;
    (*dots)[7] += LoadA(first_m + 7u, k) * w;
  }
}

// The same for a word of each of the 4 rows of B, whose first code is at k.
fn AddWord(dots: ptr<function, Sums>, words: vec4<u32>, zeros: vec4<f32>, first_m: u32, k: u32) {
  for (var quad = 0u; quad < kQuadsPerWord; quad++) {
    let w = mat4x4<f32>(Quad(words.x, quad, zeros.x), Quad(words.y, quad, zeros.y),
                        Quad(words.z, quad, zeros.z), Quad(words.w, quad, zeros.w));
    AddQuad(dots, w, first_m, k + 4u * quad);
  }
}

// sums += block_scales * dots.
fn AddScaled(sums: ptr<function, Sums>, block_scales: vec4<f32>, dots: ptr<function, Sums>) {
  (*sums)[0] += block_scales * (*dots)[0];
  if (kM > 1u) {
    (*sums)[1] += block_scales * (*dots)[1];
  }
  if (kM > 2u) {
    (*sums)[2] += block_scales * (*dots)[2];
    (*sums)[3] += block_scales * (*dots)[3];
  }
  if (kM > 4u) {
    (*sums)[4] += block_scales * (*dots)[4];
    (*sums)[5] += block_scales * (*dots)[5];
    (*sums)[6] += block_scales * (*dots)[6];
    (*sums)[7] += block_scales * (*dots)[7];
  }
}

fn StoreRows(m: u32, first_row: u32, sums: vec4<f32>) {
  Store(m, first_row, sums.x);
  Store(m, first_row + 1u, sums.y);
  Store(m, first_row + 2u, sums.z);
  Store(m, first_row + 3u, sums.w);
}

// Row i of A's sums of one lane: adds up the team's and stores them, or leaves them for the others.
#if subgroups
fn Finish(i: u32, team: u32, lane: u32, first_m: u32, first_row: u32, lane_sums: vec4<f32>) {
  var sums = lane_sums;
  for (var distance = kLanes / 2u; distance > 0u; distance /= 2u) {
    sums += subgroupShuffleXor(sums, distance);
  }
  if (lane == 0u) {
    StoreRows(first_m + i, first_row, sums);
  }
}
#else
fn Finish(i: u32, team: u32, lane: u32, first_m: u32, first_row: u32, lane_sums: vec4<f32>) {
  partials[(i * kTeams + team) * (kLanes + 1u) + lane] = lane_sums;
}
#endif

@compute @workgroup_size(kWorkgroup)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let lane = local % kLanes;
  let team = local / kLanes;
  let first_row = ((group.y * params.grid_x + group.x) * kTeams + team) * 4u;
  let first_m = group.z * kM;
  // Rows past the end repeat the last one, and are not stored.
  let rows = min(vec4<u32>(first_row) + vec4<u32>(0u, 1u, 2u, 3u),
                 vec4<u32>(params.n_count - 1u));

  var sums = Sums();
  // The lanes of a team go round together, so that they are together for the shuffles.
  for (var first = 0u; first < params.row_units; first += kLanes) {
    let chunk = first + lane;
    if (chunk >= params.row_units) {
      continue;
    }
    let k = chunk * kChunk;
    let block = k / kBlockSize;
    let x = LoadChunk(rows.x, chunk);
    let y = LoadChunk(rows.y, chunk);
    let z = LoadChunk(rows.z, chunk);
    let w = LoadChunk(rows.w, chunk);
    let at = rows * params.blocks + block;
    let block_scales =
        vec4<f32>(f32(scales[at.x]), f32(scales[at.y]), f32(scales[at.z]), f32(scales[at.w]));
    let zeros = vec4<f32>(ZeroPoint(rows.x, block), ZeroPoint(rows.y, block),
                          ZeroPoint(rows.z, block), ZeroPoint(rows.w, block));
    // With its zeros written out: lavapipe (Mesa 26) else keeps the last turn's sums where the
    // shader has subgroup operations.
    var dots = Sums();
    AddWord(&dots, vec4<u32>(x.x, y.x, z.x, w.x), zeros, first_m, k);
    if (kChunkWords > 1u) {
      AddWord(&dots, vec4<u32>(x.y, y.y, z.y, w.y), zeros, first_m, k + kCodesPerWord);
    }
    if (kChunkWords > 2u) {
      AddWord(&dots, vec4<u32>(x.z, y.z, z.z, w.z), zeros, first_m, k + 2u * kCodesPerWord);
      AddWord(&dots, vec4<u32>(x.w, y.w, z.w, w.w), zeros, first_m, k + 3u * kCodesPerWord);
    }
    AddScaled(&sums, block_scales, &dots);
  }

  Finish(0u, team, lane, first_m, first_row, sums[0]);
  if (kM > 1u) {
    Finish(1u, team, lane, first_m, first_row, sums[1]);
  }
  if (kM > 2u) {
    Finish(2u, team, lane, first_m, first_row, sums[2]);
    Finish(3u, team, lane, first_m, first_row, sums[3]);
  }
  if (kM > 4u) {
    Finish(4u, team, lane, first_m, first_row, sums[4]);
    Finish(5u, team, lane, first_m, first_row, sums[5]);
    Finish(6u, team, lane, first_m, first_row, sums[6]);
    Finish(7u, team, lane, first_m, first_row, sums[7]);
  }
#if !subgroups
  workgroupBarrier();
  for (var i = lane; i < kM; i += kLanes) {
    var total = vec4<f32>();
    for (var other = 0u; other < kLanes; other++) {
      total += partials[(i * kTeams + team) * (kLanes + 1u) + other];
    }
    StoreRows(first_m + i, first_row, total);
  }
#endif
}
