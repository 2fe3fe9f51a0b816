// QMoE for many tokens: gives each slot a row such that rows [64 t, 64 t + 64) have one expert,
// tile_experts[t], by a counting sort. Rows of an expert are in no particular order. Tiles after
// the last one have no expert, and rows without a slot have no token.
//
// One workgroup does it all: there are few slots, and nothing has to pass between workgroups.

struct Params {
  slots: u32,
  top_k: u32,
  tiles: u32,
  pad: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> indices: array<i32>;
@group(0) @binding(2) var<storage, read_write> rows: array<u32>;
@group(0) @binding(3) var<storage, read_write> tokens: array<u32>;
@group(0) @binding(4) var<storage, read_write> tile_experts: array<u32>;

const kThreads = 256u;
const kTileRows = 64u;
const kNone = 0xffffffffu;

// For each expert: the number of its slots, and its next free row.
var<workgroup> counts: array<atomic<u32>, kExperts>;
var<workgroup> next_row: array<atomic<u32>, kExperts>;
var<workgroup> used_tiles: u32;

@compute @workgroup_size(kThreads)
fn main(@builtin(local_invocation_index) local: u32) {
  for (var expert = local; expert < kExperts; expert += kThreads) {
    atomicStore(&counts[expert], 0u);
  }
  workgroupBarrier();
  for (var slot = local; slot < params.slots; slot += kThreads) {
    atomicAdd(&counts[u32(indices[slot])], 1u);
  }
  workgroupBarrier();
  for (var expert = local; expert < kExperts; expert += kThreads) {
    var first = 0u;
    for (var other = 0u; other < expert; other++) {
      first += (atomicLoad(&counts[other]) + kTileRows - 1u) / kTileRows;
    }
    let count = atomicLoad(&counts[expert]);
    let end = first + (count + kTileRows - 1u) / kTileRows;
    for (var tile = first; tile < end; tile++) {
      tile_experts[tile] = expert;
    }
    for (var row = first * kTileRows + count; row < end * kTileRows; row++) {
      tokens[row] = kNone;
    }
    atomicStore(&next_row[expert], first * kTileRows);
    if (expert == kExperts - 1u) {
      used_tiles = end;
    }
  }
  workgroupBarrier();
  for (var tile = used_tiles + local; tile < params.tiles; tile += kThreads) {
    tile_experts[tile] = kNone;
  }
  for (var slot = local; slot < params.slots; slot += kThreads) {
    let row = atomicAdd(&next_row[u32(indices[slot])], 1u);
    rows[slot] = row;
    tokens[row] = slot / params.top_k;
  }
}
