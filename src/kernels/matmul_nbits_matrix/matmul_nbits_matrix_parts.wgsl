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
#repeat i 0..8
  if (kQuadsEach > $i) { others.sums[$i] = Parked(at, row, $i, local); }
#endrepeat
  others.residuals = ResidualsOf(row, subgroup, lane, first_m, first_n);
  return others;
}

fn FinishBoth(sums: ptr<function, Sums>, row: u32, subgroup: u32, lane: u32, first_m: u32, first_n: u32,
              others: Others) {
  workgroupBarrier();
  Stage(sums, subgroup, row);
  workgroupBarrier();
  let top_left = TopLeft(row, subgroup, first_m, first_n);
#repeat i 0..8
  if (kQuadsEach > $i) {
    FinishQuad($i, subgroup, lane, top_left, others.residuals, others.sums[$i]);
  }
#endrepeat
}

fn FinishParts(sums: ptr<function, Sums>, subgroup: u32, lane: u32, local: u32, first_m: u32,
               first_n: u32, parking: Parking) {
  if (!OtherIsParked(0u, parking.counter, local)) {
#repeat r 0..kRows
    ParkRow(sums, $r, subgroup, lane, local, parking.own);
#endrepeat
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
