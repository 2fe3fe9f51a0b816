// Attention for many rows on the matrix units: flash attention (arXiv:2205.14135), f16 products
// with f32 sums. group_query_attention.h has the definition.
//
// A workgroup owns kRows pairs (row, head of the group) of one (batch, kv head), which share every
// tile of kKeys keys. Pair p is row p / group, head p % group. Each subgroup owns kMatM of the
// pairs, whose queries and sums stay in matrices. For each tile of keys:
//   1. scores = queries x keys^T. They go through the keys' memory, since a shader cannot access
//      the elements of a matrix.
//   2. Softmax: kLanesPerRow lanes own a row, each kOwn consecutive keys, and write its weights in
//      f16 over the beginning of its scores.
//   3. sums += weights x values.
// Values and the next keys are loaded to registers while scores are multiplied.
//
// Weights are relative to 2^reference. The reference follows the row's maximum only when that is
// 2^kSlack times larger: rescaling the sums in matrices has to go through memory, which is then the
// values'.
//
// Workgroup memory is in vec4<u32> of eight f16 or four f32; odd strides keep neighbouring rows in
// different banks. `front` has keys, then scores, then weights; `back` has values.
//
// The host defines what group_query_attention.wgsl says (act_v is vec4<u32> of eight f16, kVec is
// 8) and kSubgroup, kSubgroups, kMatM, kMatN (also the depth of a product), kKeyMatrices (kKeys /
// kMatN: 2 or 4), kUnroll, kGroup (heads of a group); `softcap` if there is one: branches between
// scores, even ones that are never taken, cost a tenth of the time.

#include "group_query_attention/group_query_attention.wgsl"

const kThreads = kSubgroup * kSubgroups;
const kRows = kSubgroups * kMatM;
const kKeys = kKeyMatrices * kMatN;
const kDepth = kCols * 8u / kMatN;  // Matrices in a head: 1 to 16.
const kQuads = (kDepth + 3u) / 4u;
const kStep8 = kMatN / 8u;   // Units of eight f16 in a row of a matrix.
const kStep4 = kMatN / 4u;   // Units of four f32.
const kStride = kCols + 1u;  // Stride of keys and values.
const kScoreStride = kKeys / 4u + 1u;
const kStripStride = kStep4 + 1u;  // Stride of a matrix of sums.
const kFront = max(kKeys * kStride, kRows * kScoreStride);
const kBack = max(kKeys * kStride, kRows * kStripStride);
const kQueries = select(kFront + kBack, 0u, kUnroll);  // First unit of the queries.
const kMemory = max(kFront + kBack, kQueries + kRows * kStride);
const kTileUnits = kKeys * kCols;
const kFetches = (kTileUnits + kThreads - 1u) / kThreads;  // Up to 8.
const kLanesPerRow = kSubgroup / kMatM;
const kOwn = kKeys / kLanesPerRow;  // Keys of a lane, a multiple of 8 up to 32.
const kLog2e = 1.4426950408889634;
const kSlack = 8.0;

alias Left = subgroup_matrix_left<f16, kMatN, kMatM>;
alias Right = subgroup_matrix_right<f16, kMatN, kMatN>;
alias Sum = subgroup_matrix_result<f32, kMatN, kMatM>;
// All indices are constants. NVIDIA's compiler does not unroll loops over arrays and then keeps
// them in memory; lavapipe's crashes. Without kUnroll the queries stay in memory and the products
// are in loops: compilers that take long over each of many small products need that.
alias Queries = array<Left, kDepth>;
alias Quad = array<Sum, 4>;
alias Sums = array<Quad, kQuads>;
alias Fetched = array<vec4<u32>, 8>;

var<workgroup> memory: array<vec4<u32>, kMemory>;
var<workgroup> rescale_at: u32;

// ---- between the caches and workgroup memory

// Returns the first unit of the tile of keys from `start` on. A tile lies in one page.
fn tile_begin(b: u32, cache_begin: u32, start: u32) -> u32 {
  return (cache_begin + cache_row(b, start)) * kCols;
}

// Loads keys (k) or values (v). A tile of a cache is kTileUnits contiguous units, of which the
// first `limit`, at least one, are keys that exist. The memory after them may hold NaN: the last
// unit is loaded instead, with weight 0.
#repeat c k v
fn fetch_$c(to: ptr<function, Fetched>, base: u32, limit: u32, local: u32) {
#repeat i 0..8
  if (kFetches > $i) { (*to)[$i] = $c_cache[base + min(local + $i * kThreads, limit - 1u)]; }
#endrepeat
}
#endrepeat

fn put_unit(at: u32, local: u32, fetch: u32, unit: vec4<u32>) {
  let i = local + fetch * kThreads;
  if (kTileUnits % kThreads != 0u && i >= kTileUnits) {
    return;
  }
  if (kThreads % kCols == 0u) {
    memory[at + (local / kCols + fetch * (kThreads / kCols)) * kStride + local % kCols] = unit;
  } else {
    memory[at + i / kCols * kStride + i % kCols] = unit;
  }
}

// Writes a tile's keys or values to memory from `at` on.
fn put(at: u32, local: u32, units: ptr<function, Fetched>) {
#repeat i 0..8
  if (kFetches > $i) { put_unit(at, local, $i, (*units)[$i]); }
#endrepeat
}

// ---- products

// Returns matrix i of the queries in memory.
fn query_matrix(subgroup: u32, i: u32) -> Left {
  return subgroupMatrixLoad<Left, row_major>(
      &memory, kQueries + subgroup * kMatM * kStride + i * kStep8, kStride);
}

// Returns a matrix of keys. They lie by rows, so that it is loaded transposed.
fn key_matrix(block: u32, i: u32) -> Right {
  return subgroupMatrixLoad<Right, col_major>(
      &memory, min(block, kKeyMatrices - 1u) * kMatN * kStride + i * kStep8, kStride);
}

fn value_matrix(block: u32, i: u32) -> Right {
  return subgroupMatrixLoad<Right, row_major>(
      &memory, kFront + block * kMatN * kStride + i * kStep8, kStride);
}

// scores += queries x keys^T over matrix i of the head.
fn add_scores(scores: ptr<function, Quad>, query: Left, i: u32) {
#repeat b 0..kKeyMatrices
  (*scores)[$b] = subgroupMatrixMultiplyAccumulate(query, key_matrix($b, i), (*scores)[$b]);
#endrepeat
}

// Returns the weights of matrix `block` of the tile's keys. A lane's weights begin where its scores
// did.
fn weight_matrix(subgroup: u32, block: u32) -> Left {
  let key = block * kMatN;
  let at = subgroup * kMatM * kScoreStride + key / kOwn * (kOwn / 4u) + key % kOwn / 8u;
  return subgroupMatrixLoad<Left, row_major>(&memory, at, kScoreStride);
}

// Quad j of sums += weights x values, for the quad's matrices of the head.
fn add_values(sums: ptr<function, Sums>, j: u32, weights: Left, block: u32) {
  let first = 4u * j;
  (*sums)[j][0] = subgroupMatrixMultiplyAccumulate(weights, value_matrix(block, first),
                                                   (*sums)[j][0]);
#repeat i 1..4
  if (first + $i < kDepth) {
    (*sums)[j][$i] =
        subgroupMatrixMultiplyAccumulate(weights, value_matrix(block, first + $i), (*sums)[j][$i]);
  }
#endrepeat
}

fn add_block(sums: ptr<function, Sums>, subgroup: u32, block: u32) {
  let weights = weight_matrix(subgroup, block);
#repeat j 0..4
  if (kQuads > $j) { add_values(sums, $j, weights, block); }
#endrepeat
}

// Multiplies a matrix of sums by a factor for each row, through the values' memory. All subgroups
// must call together.
fn rescale_matrix(sums: ptr<function, Sums>, j: u32, i: u32, factor: f32, subgroup: u32,
                  lane: u32) {
  let at = kFront + subgroup * kMatM * kStripStride;
  workgroupBarrier();
  subgroupMatrixStore<row_major>(&memory, at, (*sums)[j][i], kStripStride);
  workgroupBarrier();
  let row = at + lane / kLanesPerRow * kStripStride;
  for (var c = lane % kLanesPerRow; c < kStep4; c += kLanesPerRow) {
    memory[row + c] = bitcast<vec4<u32>>(bitcast<vec4<f32>>(memory[row + c]) * factor);
  }
  workgroupBarrier();
  (*sums)[j][i] = subgroupMatrixLoad<Sum, row_major>(&memory, at, kStripStride);
}

fn rescale(sums: ptr<function, Sums>, j: u32, factor: f32, subgroup: u32, lane: u32) {
  rescale_matrix(sums, j, 0u, factor, subgroup, lane);
#repeat i 1..4
  if (4u * j + $i < kDepth) { rescale_matrix(sums, j, $i, factor, subgroup, lane); }
#endrepeat
}

// ---- softmax

// Returns scores as exponents of 2.
#if softcap
fn scaled4(products: vec4<f32>) -> vec4<f32> {
  // The bound keeps tanh's argument where every implementation is finite; tanh(20) rounds to 1.
  let x = clamp(products * params.scale / params.softcap, vec4<f32>(-20.0), vec4<f32>(20.0));
  return params.softcap * tanh(x) * kLog2e;
}
#else
fn scaled4(products: vec4<f32>) -> vec4<f32> {
  return products * (params.scale * kLog2e);
}
#endif

// Returns the scores of four neighbouring keys from t on.
#if bias
fn scores4(products: vec4<u32>, b: u32, h: u32, s: u32, t: u32) -> vec4<f32> {
  let biases = vec4<f32>(bias_of(b, h, s, t), bias_of(b, h, s, t + 1u), bias_of(b, h, s, t + 2u),
                         bias_of(b, h, s, t + 3u));
  // The bias of a masked key times kLog2e overflows.
  return max(scaled4(bitcast<vec4<f32>>(products)) + biases * kLog2e, vec4<f32>(kMasked));
}
#else
fn scores4(products: vec4<u32>, b: u32, h: u32, s: u32, t: u32) -> vec4<f32> {
  return scaled4(bitcast<vec4<f32>>(products));
}
#endif

// Returns the scores of those of four keys from t on that are in [keys.x, keys.y); the others are
// masked.
fn seen4(scores: vec4<f32>, t: u32, keys: vec2<u32>) -> vec4<f32> {
  let at = vec4<u32>(t, t + 1u, t + 2u, t + 3u);
  return select(vec4<f32>(kMasked), scores, (at >= vec4<u32>(keys.x)) & (at < vec4<u32>(keys.y)));
}

fn max4(x: vec4<f32>) -> f32 { return max(max(x.x, x.y), max(x.z, x.w)); }

fn weights4(score: vec4<f32>, origin: f32) -> vec4<f32> { return exp2(score - origin); }

fn halves(lo: vec4<f32>, hi: vec4<f32>) -> vec4<u32> {
  return vec4<u32>(bitcast<vec2<u32>>(vec4<f16>(lo)), bitcast<vec2<u32>>(vec4<f16>(hi)));
}

fn sum4(x: vec4<f32>) -> f32 { return (x.x + x.y) + (x.z + x.w); }

fn over_row_max(value: f32) -> f32 {
  var x = value;
#repeat d 1 2 4
  if (kLanesPerRow > $d) { x = max(x, subgroupShuffleXor(x, $d)); }
#endrepeat
  return x;
}

fn over_row_sum(value: f32) -> f32 {
  var x = value;
#repeat d 1 2 4
  if (kLanesPerRow > $d) { x += subgroupShuffleXor(x, $d); }
#endrepeat
  return x;
}

// ---- results

// Writes a matrix of sums times a factor for each row to the output.
fn write_matrix(sums: ptr<function, Sums>, j: u32, i: u32, factor: f32, subgroup: u32, lane: u32,
                out_row: u32, writes: bool) {
  let at = kFront + subgroup * kMatM * kStripStride;
  workgroupBarrier();
  subgroupMatrixStore<row_major>(&memory, at, (*sums)[j][i], kStripStride);
  workgroupBarrier();
  if (writes) {
    let row = at + lane / kLanesPerRow * kStripStride;
    for (var c = lane % kLanesPerRow; c < kStep8; c += kLanesPerRow) {
      output[out_row + (4u * j + i) * kStep8 + c] =
          halves(bitcast<vec4<f32>>(memory[row + 2u * c]) * factor,
                 bitcast<vec4<f32>>(memory[row + 2u * c + 1u]) * factor);
    }
  }
}

fn write_quad(sums: ptr<function, Sums>, j: u32, factor: f32, subgroup: u32, lane: u32,
              out_row: u32, writes: bool) {
  write_matrix(sums, j, 0u, factor, subgroup, lane, out_row, writes);
#repeat i 1..4
  if (4u * j + $i < kDepth) { write_matrix(sums, j, $i, factor, subgroup, lane, out_row, writes); }
#endrepeat
}

@compute @workgroup_size(kThreads)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let item = workgroup.y * params.grid_x + workgroup.x;
  let shared_heads = params.batch * params.kv_heads;
  if (item >= shared_heads * params.tiles) {
    return;
  }
  let pairs = params.sequence * kGroup;
  // The last rows see most keys and begin first.
  let first_pair = (params.tiles - 1u - item / shared_heads) * kRows;
  let kv_head = item % shared_heads % params.kv_heads;
  let b = item % shared_heads / params.kv_heads;
  let cache_begin = head_begin(b, kv_head, params.kv_heads);
  // The union of the pairs' keys. Ranges move only up with the row.
  let begin = key_range(b, first_pair / kGroup).x / kKeys * kKeys;
  let end = key_range(b, (min(first_pair + kRows, pairs) - 1u) / kGroup).y;

  // The lane's row.
  let pair = first_pair + subgroup * kMatM + lane / kLanesPerRow;
  let s = min(pair, pairs - 1u) / kGroup;
  let h = kv_head * kGroup + min(pair, pairs - 1u) % kGroup;
  let keys = select(vec2<u32>(), key_range(b, s), pair < pairs);

  // Load the queries through memory into matrices.
  for (var i = local; i < kRows * kCols; i += kThreads) {
    let p = min(first_pair + i / kCols, pairs - 1u);
    memory[kQueries + i / kCols * kStride + i % kCols] =
        q[q_index(b, kv_head * kGroup + p % kGroup, p / kGroup) + i % kCols];
  }
  var base = tile_begin(b, cache_begin, begin);
  var next_base = tile_begin(b, cache_begin, begin + kKeys);
  var fetched_keys = Fetched();
  var fetched_values = Fetched();
  if (begin < end) {
    fetch_k(&fetched_keys, base, (end - begin) * kCols, local);
  }
  if (local == 0u) {
    rescale_at = 0xffffffffu;
  }
  workgroupBarrier();
  var queries = Queries();
  if (kUnroll) {
#repeat i 0..16
    if (kDepth > $i) { queries[min($i, kDepth - 1u)] = query_matrix(subgroup, $i); }
#endrepeat
  }
  workgroupBarrier();
  put(0u, local, &fetched_keys);
  workgroupBarrier();

  // All pairs see keys [seen_by_all.x, seen_by_all.y).
  let seen_by_all = vec2<u32>(key_range(b, (min(first_pair + kRows, pairs) - 1u) / kGroup).x,
                              key_range(b, first_pair / kGroup).y);
  var sums = Sums();
  var reference = initial_max(h) * select(kLog2e, 1.0, initial_max(h) == kMasked);
  var den = initial_sum();
  let own = subgroup * kMatM * kScoreStride + lane / kLanesPerRow * kScoreStride +
            lane % kLanesPerRow * (kOwn / 4u);
  for (var start = begin; start < end; start += kKeys) {
    let limit = (end - start) * kCols;
    fetch_v(&fetched_values, base, limit, local);
    let more = limit > kTileUnits;
    if (more) {
      fetch_k(&fetched_keys, next_base, limit - kTileUnits, local);
    }
    let after_next_base = tile_begin(b, cache_begin, start + 2u * kKeys);
    var scores = Quad();
    if (kUnroll) {
#repeat i 0..16
      if (kDepth > $i) { add_scores(&scores, queries[min($i, kDepth - 1u)], $i); }
#endrepeat
    } else {
      for (var i = 0u; i < kDepth; i++) {
        add_scores(&scores, query_matrix(subgroup, i), i);
      }
    }
    workgroupBarrier();

    // The keys have been used: scores take their memory.
    let strip = subgroup * kMatM * kScoreStride;
#repeat b 0..kKeyMatrices
    subgroupMatrixStore<row_major>(&memory, strip + $b * kStep4, scores[$b], kScoreStride);
#endrepeat
    put(kFront, local, &fetched_values);
    workgroupBarrier();

    let t = start + lane % kLanesPerRow * kOwn;
    let none = vec4<f32>(kMasked);
    // kOwn is a multiple of 8.
#repeat i 0..8
    var x$i = none;
    if (kOwn > 4 * $i) { x$i = scores4(memory[own + $i], b, h, s, t + 4 * $i); }
#endrepeat
    // Not every row sees all of the tile.
    if (start < seen_by_all.x || start + kKeys > seen_by_all.y) {
#repeat i 0..8
      if (kOwn > 4 * $i) { x$i = seen4(x$i, t + 4 * $i, keys); }
#endrepeat
    }
    let largest =
        over_row_max(max4(max(max(max(x0, x1), max(x2, x3)), max(max(x4, x5), max(x6, x7)))));
    var shrink = 1.0;
    if (largest > reference + kSlack) {
      // A row that has seen no key yet has no sums to rescale.
      if (reference > kMasked && start > begin) {
        rescale_at = start;
      }
      shrink = exp2(reference - largest);
      reference = largest;
    }
    let origin = select(reference, 0.0, reference == kMasked);
    let w0 = weights4(x0, origin);
    let w1 = weights4(x1, origin);
    memory[own] = halves(w0, w1);
    var weight = sum4(w0) + sum4(w1);
    if (kOwn > 8u) {
      let w2 = weights4(x2, origin);
      let w3 = weights4(x3, origin);
      memory[own + 1u] = halves(w2, w3);
      weight += sum4(w2) + sum4(w3);
    }
    if (kOwn > 16u) {
      let w4 = weights4(x4, origin);
      let w5 = weights4(x5, origin);
      memory[own + 2u] = halves(w4, w5);
      weight += sum4(w4) + sum4(w5);
    }
    if (kOwn > 24u) {
      let w6 = weights4(x6, origin);
      let w7 = weights4(x7, origin);
      memory[own + 3u] = halves(w6, w7);
      weight += sum4(w6) + sum4(w7);
    }
    den = den * shrink + over_row_sum(weight);

    if (workgroupUniformLoad(&rescale_at) == start) {
#repeat j 0..4
      if (kQuads > $j) { rescale(&sums, $j, shrink, subgroup, lane); }
#endrepeat
      workgroupBarrier();
      fetch_v(&fetched_values, base, limit, local);
      put(kFront, local, &fetched_values);
      workgroupBarrier();
    }
    if (kUnroll) {
#repeat b 0..kKeyMatrices
      add_block(&sums, subgroup, $b);
#endrepeat
    } else {
      for (var block = 0u; block < kKeyMatrices; block++) {
        add_block(&sums, subgroup, block);
      }
    }
    workgroupBarrier();
    if (more) {
      put(0u, local, &fetched_keys);
    }
    base = next_base;
    next_base = after_next_base;
    workgroupBarrier();
  }

  let factor = select(0.0, 1.0 / den, den > 0.0);
  let out_row = output_index(b, h, s);
  let writes = pair < pairs;
#repeat j 0..4
  if (kQuads > $j) { write_quad(&sums, $j, factor, subgroup, lane, out_row, writes); }
#endrepeat
}
