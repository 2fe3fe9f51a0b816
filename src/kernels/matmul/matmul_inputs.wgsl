// Bindings of the MatMul shaders, and where a workgroup's tile lies. matmul.h has the layouts. The
// prelude gives act_t, and the types in which A and B are loaded.

struct Params {
  m: u32,
  n: u32,
  k: u32,
  grid_x: u32,
  // Batch dimensions of Y, the last one fastest, and how many matrices A and B advance along each.
  batch: vec4<u32>,
  a_stride: vec4<u32>,
  b_stride: vec4<u32>,
  // Elements from one row of A to the next, where the part of K begins in A and the result in Y,
  // and whether to add the sums of the parts before.
  a_row: u32,
  a_first: u32,
  y_first: u32,
  accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<a_t>;
@group(0) @binding(2) var<storage, read> b: array<b_t>;
#if !unfinished
@group(0) @binding(3) var<storage, read_write> y: array<act_t>;
#endif
#if part
@group(0) @binding(4) var<storage, read_write> sums_of_parts: array<f32>;
#endif

// A tile of Y: its first row and column, and where its matrices start.
struct Tile {
  inside: bool,
  first_m: u32,
  first_n: u32,
  a_at: u32,
  b_at: u32,
  y_at: u32,
}

// Returns tile number `index` in tiles of tile_m x tile_n: columns fastest, then rows, then the
// batch.
fn find_tile(index: u32, tile_m: u32, tile_n: u32) -> Tile {
  let tiles_n = (params.n + tile_n - 1u) / tile_n;
  let tiles_m = (params.m + tile_m - 1u) / tile_m;
  let matrix = index / (tiles_n * tiles_m);
  var rest = matrix;
  var matrix_a = 0u;
  var matrix_b = 0u;
  for (var i = 4u; i > 0u; i--) {
    let at = rest % params.batch[i - 1u];
    rest /= params.batch[i - 1u];
    matrix_a += at * params.a_stride[i - 1u];
    matrix_b += at * params.b_stride[i - 1u];
  }
  var tile: Tile;
  tile.inside = rest == 0u;
  tile.first_n = index % tiles_n * tile_n;
  tile.first_m = index / tiles_n % tiles_m * tile_m;
  tile.a_at = params.a_first + matrix_a * params.m * params.a_row;
  tile.b_at = matrix_b * params.k * params.n;
  tile.y_at = matrix * params.m * params.n;
  return tile;
}

// Stores the sum of element `at` of Y, or of this part of K: to Y, rounded once, or to the sums if
// parts are still to come.
fn store_sum(at: u32, value: f32) {
  var sum = value;
#if part
  if (params.accumulate != 0u) {
    sum += sums_of_parts[at];
  }
#endif
#if unfinished
  sums_of_parts[at] = sum;
#else
  y[params.y_first + at] = act_t(sum);
#endif
}
