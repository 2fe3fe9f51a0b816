// How the two workgroups of a tile of matmul_nbits_matrix.wgsl join their sums. Plain stores are not seen by other
// workgroups: sums go through `scratch` by atomic ones, and a counter says whose are there. Both orders of two sums are
// the same bits.

// Quads that a thread has of a row of products: at most 4.
const kQuadsEach = kMatM * kQuads / (kSplit * kSubgroup);
const kTileSlots = kRows * kQuadsEach * kThreads;

var<workgroup> is_last: u32;

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

// Quad `i` of a thread, of the staged row of products.
fn OwnQuad(i: u32, subgroup: u32, lane: u32) -> u32 {
  return (i * kSplit + subgroup / kPlaces) * kSubgroup + lane;
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

// Whether this workgroup is the last of the tile's.
fn CountIn(counter: u32, local: u32) -> bool {
  storageBarrier();
  workgroupBarrier();
  if (local == 0u) {
    is_last = atomicAdd(&scratch[counter], 1u);
    if (is_last == 1u) {
      atomicStore(&scratch[counter], 0u);
    }
  }
  let last = workgroupUniformLoad(&is_last) == 1u;
  storageBarrier();
  return last;
}

fn FinishQuad(i: u32, subgroup: u32, lane: u32, top: u32, left: u32, other: vec4<f32>) {
  let at = OwnQuad(i, subgroup, lane);
  let column = left + 4u * (at % kQuads);
  let sums = Staged(subgroup % kPlaces, at / kQuads, at % kQuads) + other;
  StoreQuad(top + at / kQuads, column, WithBias(sums, column));
}

fn FinishBoth(sums: ptr<function, Sums>, row: u32, subgroup: u32, lane: u32, local: u32, first_m: u32,
              first_n: u32, other: u32) {
  let other_0 = Parked(other, row, 0u, local);
  let other_1 = Parked(other, row, 1u, local);
  let other_2 = Parked(other, row, 2u, local);
  let other_3 = Parked(other, row, 3u, local);
  workgroupBarrier();
  Stage(sums, subgroup, row);
  workgroupBarrier();
  let place = subgroup % kPlaces;
  let top = first_m + place / kPlacesN * kSubRows + row * kMatM;
  let left = first_n + place % kPlacesN * kSubCols;
  FinishQuad(0u, subgroup, lane, top, left, other_0);
  if (kQuadsEach > 1u) {
    FinishQuad(1u, subgroup, lane, top, left, other_1);
  }
  if (kQuadsEach > 2u) {
    FinishQuad(2u, subgroup, lane, top, left, other_2);
  }
  if (kQuadsEach > 3u) {
    FinishQuad(3u, subgroup, lane, top, left, other_3);
  }
}

fn FinishParts(sums: ptr<function, Sums>, subgroup: u32, lane: u32, local: u32, first_m: u32,
               first_n: u32, parking: Parking) {
  ParkRow(sums, 0u, subgroup, lane, local, parking.own);
  if (kRows > 1u) {
    ParkRow(sums, 1u, subgroup, lane, local, parking.own);
  }
  if (kRows > 2u) {
    ParkRow(sums, 2u, subgroup, lane, local, parking.own);
    ParkRow(sums, 3u, subgroup, lane, local, parking.own);
  }
  if (!CountIn(parking.counter, local)) {
    return;
  }
  FinishBoth(sums, 0u, subgroup, lane, local, first_m, first_n, parking.other);
  if (kRows > 1u) {
    FinishBoth(sums, 1u, subgroup, lane, local, first_m, first_n, parking.other);
  }
  if (kRows > 2u) {
    FinishBoth(sums, 2u, subgroup, lane, local, first_m, first_n, parking.other);
    FinishBoth(sums, 3u, subgroup, lane, local, first_m, first_n, parking.other);
  }
}
