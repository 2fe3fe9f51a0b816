// How the two workgroups of a tile of matmul_nbits_matrix.wgsl add their sums (split-K). Other
// workgroups do not see plain stores, so that sums go through `scratch` by atomic stores, and a
// counter says whether sums are parked there. No workgroup waits: one that finds the other's sums
// parked adds them to its own. Otherwise it parks its own, and adds if the other has parked
// meanwhile. The sum of two numbers has the same bits in both orders.

// The first part is this many steps shorter than half of K, so that its sums are parked when the
// second one comes.
const kHeadStart = 2u;

const kTileQuads = kRows * kQuadsEach * kThreads;

var<workgroup> others_parked: u32;

// Places of a workgroup's sums in `scratch`: by component, then by quad, then by thread, so that
// neighbouring threads are adjacent.
struct Parking {
  own: u32,
  other: u32,
  counter: u32,
}

fn parking_of(tile: u32, part: u32) -> Parking {
  let first = kCounterWords + tile * 2u * (4u * kTileQuads);
  return Parking(first + part * (4u * kTileQuads), first + (1u - part) * (4u * kTileQuads), tile);
}

fn park(at: u32, quad: u32, sums: vec4<f32>) {
  atomicStore(&scratch[at + quad], bitcast<u32>(sums.x));
  atomicStore(&scratch[at + kTileQuads + quad], bitcast<u32>(sums.y));
  atomicStore(&scratch[at + 2u * kTileQuads + quad], bitcast<u32>(sums.z));
  atomicStore(&scratch[at + 3u * kTileQuads + quad], bitcast<u32>(sums.w));
}

fn load_parked(at: u32, row: u32, i: u32, local: u32) -> vec4<f32> {
  let quad = quad_index(row, min(i, kQuadsEach - 1u), local);
  return bitcast<vec4<f32>>(vec4<u32>(
      atomicLoad(&scratch[at + quad]), atomicLoad(&scratch[at + kTileQuads + quad]),
      atomicLoad(&scratch[at + 2u * kTileQuads + quad]),
      atomicLoad(&scratch[at + 3u * kTileQuads + quad])));
}

fn quad_index(row: u32, i: u32, local: u32) -> u32 {
  return (row * kQuadsEach + i) * kThreads + local;
}

fn park_row(sums: ptr<function, Sums>, row: u32, subgroup: u32, lane: u32, local: u32, at: u32) {
  workgroupBarrier();
  stage(sums, subgroup, row);
  workgroupBarrier();
  for (var i = 0u; i < kQuadsEach; i++) {
    let quad = own_quad(i, subgroup, lane);
    park(at, quad_index(row, i, local), staged(subgroup % kPlaces, quad / kQuads, quad % kQuads));
  }
}

// Returns whether the tile's other workgroup has parked its sums, and if so clears the counter for
// the next run. `own` is 1 to say that this workgroup's sums are parked, else 0.
fn other_is_parked(own: u32, counter: u32, local: u32) -> bool {
  storageBarrier();
  workgroupBarrier();
  if (local == 0u) {
    others_parked = atomicAdd(&scratch[counter], own);
    if (others_parked == 1u) {
      atomicStore(&scratch[counter], 0u);
    }
  }
  let parked = workgroupUniformLoad(&others_parked) == 1u;
  storageBarrier();
  return parked;
}

// Terms that a thread adds to a row of products, loaded one row ahead.
struct Others {
  sums: array<vec4<f32>, 8>,
  residuals: Residuals,
}

fn others_of(row: u32, subgroup: u32, lane: u32, local: u32, first_m: u32, first_n: u32,
             at: u32) -> Others {
  var others: Others;
#repeat i 0..8
  if (kQuadsEach > $i) { others.sums[$i] = load_parked(at, row, $i, local); }
#endrepeat
  others.residuals = residuals_of(row, subgroup, lane, first_m, first_n);
  return others;
}

fn finish_both(sums: ptr<function, Sums>, row: u32, subgroup: u32, lane: u32, first_m: u32,
               first_n: u32, others: Others) {
  workgroupBarrier();
  stage(sums, subgroup, row);
  workgroupBarrier();
  let top_left = corner_of(row, subgroup, first_m, first_n);
#repeat i 0..8
  if (kQuadsEach > $i) {
    finish_quad($i, subgroup, lane, top_left, others.residuals, others.sums[$i]);
  }
#endrepeat
}

fn finish_parts(sums: ptr<function, Sums>, subgroup: u32, lane: u32, local: u32, first_m: u32,
               first_n: u32, parking: Parking) {
  if (!other_is_parked(0u, parking.counter, local)) {
#repeat r 0..kRows
    park_row(sums, $r, subgroup, lane, local, parking.own);
#endrepeat
    if (!other_is_parked(1u, parking.counter, local)) {
      return;
    }
  }
  let at = parking.other;
  let others_0 = others_of(0u, subgroup, lane, local, first_m, first_n, at);
  let others_1 = others_of(min(1u, kRows - 1u), subgroup, lane, local, first_m, first_n, at);
  finish_both(sums, 0u, subgroup, lane, first_m, first_n, others_0);
  if (kRows > 1u) {
    let others_2 = others_of(min(2u, kRows - 1u), subgroup, lane, local, first_m, first_n, at);
    finish_both(sums, 1u, subgroup, lane, first_m, first_n, others_1);
    if (kRows > 2u) {
      let others_3 = others_of(3u, subgroup, lane, local, first_m, first_n, at);
      finish_both(sums, 2u, subgroup, lane, first_m, first_n, others_2);
      finish_both(sums, 3u, subgroup, lane, first_m, first_n, others_3);
    }
  }
}
