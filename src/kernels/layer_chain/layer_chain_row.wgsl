// The row that a link of layer_chain.wgsl multiplies: 16-bit integers in workgroup memory, in
// units of their chunk's largest element / 32639, in two signed bytes each.

// A chunk's 32 elements are brought by 8 threads, two pairs each.
const kRoundChunks = kWorkgroupSize / 8u;

// An octet's upper bytes that meet the lower nibbles of a word of codes, those that meet the higher
// ones, and the lower bytes alike.
var<workgroup> h: array<vec4<u32>, kRowSlots>;
var<workgroup> chunk_units: array<f32, kMaxK / 32u>;
var<workgroup> square_sums: array<f32, kSubgroups>;

// Where slot `slot` (an octet) lies. Lanes read neighbouring chunks at once: turning a chunk's slots
// by its place puts 8 of them into 8 different groups of banks.
fn Slot(slot: u32) -> u32 {
  return slot ^ ((slot / 8u) % 4u);
}

// A thread's pairs l and l + 8 of the row's chunk `round` * kRoundChunks + local / 8, l = local % 8,
// by round.
struct Pairs {
#repeat i 0..8
  round_$i: vec2<u32>,
#endrepeat
}

fn PairOf(link: Link, local: u32, turn: u32) -> u32 {
  return min(turn * kRoundChunks + local / 8u, link.k / 32u - 1u) * 16u + local % 8u;
}

// A word in `rows`: 0 is none. NaNs of all ones become others.
fn Encoded(word: u32) -> u32 {
  return ~min(word, 0xfffffffeu);
}

fn Decoded(word: u32) -> u32 {
  return ~word;
}

// Where the rows of the layer in work begin in `rows`.
var<private> layer_rows: u32;

// Gives a word of the layer to whoever waits for it.
fn Hand(at: u32, word: u32) {
  atomicStore(&rows[layer_rows + at], Encoded(word));
}

// What was handed as word `at` of `rows`; Decoded(0) where nothing was yet.
fn LookAt(at: u32) -> u32 {
  return Decoded(atomicLoad(&rows[at]));
}

fn IsMissing(word: u32) -> bool {
  return word == Decoded(0u);
}

// Whether somebody has looked in vain too often: then he says so, and goes on with what is there. So do
// others, who need not look as often.
fn IsStuck(looks: u32) -> bool {
  if (looks >= kMaxLooks) {
    atomicStore(&rows[kStuck], 1u);
    return true;
  }
  return looks % 1024u == 1023u && atomicLoad(&rows[kStuck]) != 0u;
}

fn AwaitWord(at: u32) -> u32 {
  var word = 0u;
  for (var looks = 0u; ; looks++) {
    word = LookAt(at);
    if (!IsMissing(word) || IsStuck(looks)) {
      break;
    }
  }
  return word;
}

// Where in `rows` what comes into the layer lies, unless it is the input: with the layer before.
fn InputRow() -> u32 {
  return layer_rows - kLayerWords + kLastRow;
}

// Whether a link multiplies what is bound as the dispatch's input.
fn TakesInput(link: Link, layer: u32) -> bool {
  return link.row == kNone && layer == 0u;
}

// A pair of what comes into the layer.
fn AwaitInput(layer: u32, pair: u32) -> u32 {
  if (layer == 0u) {
    return InputPair(pair);
  }
  return AwaitWord(InputRow() + pair);
}

fn LookAtRowRound(link: Link, layer: u32, local: u32, turn: u32) -> vec2<u32> {
  let pair = PairOf(link, local, turn);
  if (TakesInput(link, layer)) {
    return vec2<u32>(InputPair(pair), InputPair(pair + 8u));
  }
  let at = select(layer_rows + link.row, InputRow(), link.row == kNone) + pair;
  return vec2<u32>(LookAt(at), LookAt(at + 8u));
}

fn LoadNormRound(link: Link, layer: u32, local: u32, turn: u32) -> vec2<u32> {
  let pair = PairOf(link, local, turn);
  return vec2<u32>(LoadVector(layer, link.norm_at + pair), LoadVector(layer, link.norm_at + pair + 8u));
}

fn LookAtRow(link: Link, layer: u32, local: u32) -> Pairs {
  var pairs = Pairs();
  pairs.round_0 = LookAtRowRound(link, layer, local, 0u);
#repeat i 1..8
  if (link.rounds > $i) { pairs.round_$i = LookAtRowRound(link, layer, local, $i); }
#endrepeat
  return pairs;
}

// Whether a pair of the round is not there yet.
fn IsRoundMissing(pairs: vec2<u32>) -> bool {
  return IsMissing(max(pairs.x, pairs.y));
}

fn AnyMissing(link: Link, row: Pairs) -> bool {
  return IsRoundMissing(row.round_0)
#repeat i 1..8
         || (link.rounds > $i && IsRoundMissing(row.round_$i))
#endrepeat
         ;
}

// Waits until all of a thread's pairs are there.
fn LoadRow(link: Link, layer: u32, local: u32) -> Pairs {
  if (TakesInput(link, layer)) {
    return LookAtRow(link, layer, local);
  }
  // A CPU that acts as a GPU runs the threads of a workgroup by turns, from barrier to barrier: what
  // other threads of this one have to give must not be looked for before.
  workgroupBarrier();
  var row = Pairs();
  for (var looks = 0u; ; looks++) {
    row = LookAtRow(link, layer, local);
    if (!AnyMissing(link, row) || IsStuck(looks)) {
      break;
    }
  }
  return row;
}

fn LoadNorms(link: Link, layer: u32, local: u32) -> Pairs {
  var pairs = Pairs();
  if (!link.norm) {
    return pairs;
  }
  pairs.round_0 = LoadNormRound(link, layer, local, 0u);
#repeat i 1..8
  if (link.rounds > $i) { pairs.round_$i = LoadNormRound(link, layer, local, $i); }
#endrepeat
  return pairs;
}

fn HalvesOf(pair: u32) -> vec2<f32> {
  return vec2<f32>(bitcast<vec2<f16>>(pair));
}

// Byte `source` of `word` as byte `goal`.
fn MoveByte(word: u32, source: u32, goal: u32) -> u32 {
  return ((word >> (8u * source)) & 255u) << (8u * goal);
}

// Of the words of four neighbouring threads, place i of which has bytes (i, 0..3): the bytes
// (0..3, place).
fn Turn(word: u32, place: u32) -> u32 {
  return MoveByte(word, place, place) |
         MoveByte(subgroupShuffleXor(word, 1u), place, place ^ 1u) |
         MoveByte(subgroupShuffleXor(word, 2u), place, place ^ 2u) |
         MoveByte(subgroupShuffleXor(word, 3u), place, place ^ 3u);
}

// A round of the row to workgroup memory, times the norm's scale; gives the sum of the thread's
// squares. All threads of a subgroup come along.
fn StageRound(link: Link, local: u32, turn: u32, pairs: vec2<u32>, scales: vec2<u32>) -> f32 {
  let chunk = turn * kRoundChunks + local / 8u;
  let outside = chunk >= link.k / 32u;
  var x = vec4<f32>(HalvesOf(pairs.x), HalvesOf(pairs.y));
  let squares = select(dot(x, x), 0.0, outside);
  if (link.norm) {
    x *= vec4<f32>(HalvesOf(scales.x), HalvesOf(scales.y));
  }
  let sizes = abs(x);
  var largest = max(max(sizes.x, sizes.y), max(sizes.z, sizes.w));
  largest = max(largest, subgroupShuffleXor(largest, 1u));
  largest = max(largest, subgroupShuffleXor(largest, 2u));
  largest = max(largest, subgroupShuffleXor(largest, 4u));
  // The upper byte of the largest, rounded, must not pass 127.
  let unit = largest / 32639.0;
  let v = vec4<i32>(round(x * select(1.0 / unit, 0.0, unit < 1e-35)));
  // v = 256 * upper + lower, both signed bytes.
  let upper = (v + vec4<i32>(128)) >> vec4<u32>(8u);
  let place = local % 4u;
  let low = Turn(pack4xI8(vec4<i32>(upper.x, upper.y, v.x, v.y)), place);
  let high = Turn(pack4xI8(vec4<i32>(upper.z, upper.w, v.z, v.w)), place);
  if (!outside) {
    let slot = 4u * chunk + local % 8u / 4u;
    h[Slot(slot)][place] = low;
    h[Slot(slot + 2u)][place] = high;
    if (local % 8u == 0u) {
      chunk_units[chunk] = unit;
    }
  }
  return squares;
}

fn Stage(link: Link, local: u32, row: Pairs, norms: Pairs) {
  var squares = StageRound(link, local, 0u, row.round_0, norms.round_0);
#repeat i 1..8
  if (link.rounds > $i) { squares += StageRound(link, local, $i, row.round_$i, norms.round_$i); }
#endrepeat
  if (link.norm) {
    let part = subgroupAdd(squares);
    if (local % kSubgroup == 0u) {
      square_sums[local / kSubgroup] = part;
    }
  }
  workgroupBarrier();
}

// What the products of the row are still to be multiplied with.
fn RowFactor(link: Link) -> f32 {
  if (!link.norm) {
    return kCodeUnit;
  }
  var total = 0.0;
  for (var i = 0u; i < kSubgroups; i++) {
    total += square_sums[i];
  }
  return kCodeUnit * inverseSqrt(total / f32(link.k) + link.epsilon);
}
