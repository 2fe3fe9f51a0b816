// How the two workgroups of a tile of matmul_nbits_matrix.wgsl join their sums. Plain stores are not seen by other
// workgroups: sums go through `scratch` by atomic ones, and a counter says whose are there. Neither ever waits: who
// finds the other's sums parked adds them to its own, which it need not park; else it parks its own, and adds if the other
// parked meanwhile. Both orders of two sums are the same bits.

// By so many steps less the first part is shorter than half of K, so that it has parked when the second one comes.
const kHeadStart = 2u;

const kTileSlots = kRows * kQuadsEach * kThreads;

var<workgroup> others_parked: u32;

// A workgroup's sums in `scratch`, slot by slot and component by component: neighbouring threads side by
// side.
struct Parking {
  own: u32,
  other: u32,
  counter: u32,
}

fn ParkingOf(tile: u32, part: u32) -> Parking {
  let first = kCounterWords + tile * 2u * (4u * kTileSlots);
  return Parking(first + part * (4u * kTileSlots), first + (1u - part) * (4u * kTileSlots), tile);
}

fn Park(at: u32, slot: u32, sums: vec4<f32>) {
  atomicStore(&scratch[at + slot], bitcast<u32>(sums.x));
  atomicStore(&scratch[at + kTileSlots + slot], bitcast<u32>(sums.y));
  atomicStore(&scratch[at + 2u * kTileSlots + slot], bitcast<u32>(sums.z));
  atomicStore(&scratch[at + 3u * kTileSlots + slot], bitcast<u32>(sums.w));
}

fn Parked(at: u32, row: u32, i: u32, local: u32) -> vec4<f32> {
  let slot = SlotOf(row, min(i, kQuadsEach - 1u), local);
  return bitcast<vec4<f32>>(vec4<u32>(
      atomicLoad(&scratch[at + slot]), atomicLoad(&scratch[at + kTileSlots + slot]),
      atomicLoad(&scratch[at + 2u * kTileSlots + slot]), atomicLoad(&scratch[at + 3u * kTileSlots + slot])));
}

fn SlotOf(row: u32, i: u32, local: u32) -> u32 {
  return (row * kQuadsEach + i) * kThreads + local;
}

fn ParkRow(sums: ptr<function, Sums>, row: u32, subgroup: u32, lane: u32, local: u32, at: u32) {
  workgroupBarrier();
  Stage(sums, subgroup, row);
  workgroupBarrier();
  for (var i = 0u; i < kQuadsEach; i++) {
    let quad = OwnQuad(i, subgroup, lane);
    Park(at, SlotOf(row, i, local), Staged(subgroup % kPlaces, quad / kQuads, quad % kQuads));
  }
}

// Whether the other workgroup of the tile has parked its sums; clears the counter for the next run if so. `own` is 1 to
// say that this one's are parked, else 0.
fn OtherIsParked(own: u32, counter: u32, local: u32) -> bool {
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

// What a thread adds to a row of products, asked for a row ahead.
struct Others {
  sums: array<vec4<f32>, 8>,
  residuals: Residuals,
}

fn OthersOf(row: u32, subgroup: u32, lane: u32, local: u32, first_m: u32, first_n: u32, at: u32) -> Others {
  var others: Others;
  others.sums[0] = Parked(at, row, 0u, local);
  if (kQuadsEach > 1u) { others.sums[1] = Parked(at, row, 1u, local); }
  if (kQuadsEach > 2u) { others.sums[2] = Parked(at, row, 2u, local); }
  if (kQuadsEach > 3u) { others.sums[3] = Parked(at, row, 3u, local); }
  if (kQuadsEach > 4u) { others.sums[4] = Parked(at, row, 4u, local); }
  if (kQuadsEach > 5u) { others.sums[5] = Parked(at, row, 5u, local); }
  if (kQuadsEach > 6u) { others.sums[6] = Parked(at, row, 6u, local); }
  if (kQuadsEach > 7u) { others.sums[7] = Parked(at, row, 7u, local); }
  others.residuals = ResidualsOf(row, subgroup, lane, first_m, first_n);
  return others;
}

fn FinishBoth(sums: ptr<function, Sums>, row: u32, subgroup: u32, lane: u32, first_m: u32, first_n: u32,
              others: Others) {
  workgroupBarrier();
  Stage(sums, subgroup, row);
  workgroupBarrier();
  let top_left = TopLeft(row, subgroup, first_m, first_n);
  FinishQuad(0u, subgroup, lane, top_left, others.residuals, others.sums[0]);
  if (kQuadsEach > 1u) { FinishQuad(1u, subgroup, lane, top_left, others.residuals, others.sums[1]); }
  if (kQuadsEach > 2u) { FinishQuad(2u, subgroup, lane, top_left, others.residuals, others.sums[2]); }
  if (kQuadsEach > 3u) { FinishQuad(3u, subgroup, lane, top_left, others.residuals, others.sums[3]); }
  if (kQuadsEach > 4u) { FinishQuad(4u, subgroup, lane, top_left, others.residuals, others.sums[4]); }
  if (kQuadsEach > 5u) { FinishQuad(5u, subgroup, lane, top_left, others.residuals, others.sums[5]); }
  if (kQuadsEach > 6u) { FinishQuad(6u, subgroup, lane, top_left, others.residuals, others.sums[6]); }
  if (kQuadsEach > 7u) { FinishQuad(7u, subgroup, lane, top_left, others.residuals, others.sums[7]); }
}

fn FinishParts(sums: ptr<function, Sums>, subgroup: u32, lane: u32, local: u32, first_m: u32,
               first_n: u32, parking: Parking) {
  if (!OtherIsParked(0u, parking.counter, local)) {
    ParkRow(sums, 0u, subgroup, lane, local, parking.own);
    if (kRows > 1u) {
      ParkRow(sums, 1u, subgroup, lane, local, parking.own);
    }
    if (kRows > 2u) {
      ParkRow(sums, 2u, subgroup, lane, local, parking.own);
      ParkRow(sums, 3u, subgroup, lane, local, parking.own);
    }
    if (!OtherIsParked(1u, parking.counter, local)) {
      return;
    }
  }
  let at = parking.other;
  let others_0 = OthersOf(0u, subgroup, lane, local, first_m, first_n, at);
  let others_1 = OthersOf(min(1u, kRows - 1u), subgroup, lane, local, first_m, first_n, at);
  FinishBoth(sums, 0u, subgroup, lane, first_m, first_n, others_0);
  if (kRows > 1u) {
    let others_2 = OthersOf(min(2u, kRows - 1u), subgroup, lane, local, first_m, first_n, at);
    FinishBoth(sums, 1u, subgroup, lane, first_m, first_n, others_1);
    if (kRows > 2u) {
      let others_3 = OthersOf(3u, subgroup, lane, local, first_m, first_n, at);
      FinishBoth(sums, 2u, subgroup, lane, first_m, first_n, others_2);
      FinishBoth(sums, 3u, subgroup, lane, first_m, first_n, others_3);
    }
  }
}
