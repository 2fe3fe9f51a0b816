// The row that a link of layer_chain.wgsl multiplies. It lies in workgroup memory as 16-bit
// integers, two signed bytes each, in units of its chunk's largest element / 32639.

// 8 threads load the 32 elements of a chunk, two words of two f16 each.
const kRoundChunks = kWorkgroupSize / 8u;

// Each entry is one octet: a word of upper bytes for the low nibbles of a word of codes, one for
// the high nibbles, and two words of lower bytes in the same order.
var<workgroup> h: array<vec4<u32>, kRowEntries>;
var<workgroup> chunk_units: array<f32, kMaxK / 32u>;
var<workgroup> square_sums: array<f32, kSubgroups>;

// Returns where entry `entry` (an octet) lies. Lanes read neighbouring chunks at the same time: the
// XOR swizzle puts 8 of them into 8 different groups of banks.
fn swizzled(entry: u32) -> u32 {
  return entry ^ ((entry / 8u) % 4u);
}

// A thread's words l and l + 8, l = local % 8, of chunk r * kRoundChunks + local / 8 of the row,
// for each round r.
struct RowWords {
#repeat i 0..8
  round_$i: vec2<u32>,
#endrepeat
}

fn word_of(link: Link, local: u32, r: u32) -> u32 {
  return min(r * kRoundChunks + local / 8u, link.k / 32u - 1u) * 16u + local % 8u;
}

// Encodes a word of `rows`, where 0 means that it has not been written. A word of all ones, two
// NaNs, becomes another two NaNs.
fn encode(word: u32) -> u32 {
  return ~min(word, 0xfffffffeu);
}

fn decode(word: u32) -> u32 {
  return ~word;
}

// First word of the current layer in `rows`.
var<private> layer_rows: u32;

// Writes a word of the layer for the workgroups that wait for it.
fn publish(at: u32, word: u32) {
  atomicStore(&rows[layer_rows + at], encode(word));
}

// Returns word `at` of `rows`, or decode(0) if it has not been written.
fn peek(at: u32) -> u32 {
  return decode(atomicLoad(&rows[at]));
}

fn is_missing(word: u32) -> bool {
  return word == decode(0u);
}

// Returns whether to stop waiting: after kMaxLooks vain looks, or where another thread has given
// up, which is checked every 1024 looks. Then kStuck is set, and the caller goes on with what is
// there.
fn is_stuck(looks: u32) -> bool {
  if (looks >= kMaxLooks) {
    atomicStore(&rows[kStuck], 1u);
    return true;
  }
  return looks % 1024u == 1023u && atomicLoad(&rows[kStuck]) != 0u;
}

fn await_word(at: u32) -> u32 {
  var word = 0u;
  for (var looks = 0u; ; looks++) {
    word = peek(at);
    if (!is_missing(word) || is_stuck(looks)) {
      break;
    }
  }
  return word;
}

// Returns where the layer's input lies in `rows` if it is the result of the layer before.
fn input_row() -> u32 {
  return layer_rows - kLayerWords + kLastRow;
}

// Returns whether the link multiplies the dispatch's bound input.
fn takes_input(link: Link, layer: u32) -> bool {
  return link.row == kNone && layer == 0u;
}

// Waits for a word of the layer's input.
fn await_input(layer: u32, word: u32) -> u32 {
  if (layer == 0u) {
    return input_word(word);
  }
  return await_word(input_row() + word);
}

fn peek_round(link: Link, layer: u32, local: u32, r: u32) -> vec2<u32> {
  let word = word_of(link, local, r);
  if (takes_input(link, layer)) {
    return vec2<u32>(input_word(word), input_word(word + 8u));
  }
  let at = select(layer_rows + link.row, input_row(), link.row == kNone) + word;
  return vec2<u32>(peek(at), peek(at + 8u));
}

fn load_norm_round(link: Link, layer: u32, local: u32, r: u32) -> vec2<u32> {
  let word = word_of(link, local, r);
  return vec2<u32>(load_vector(layer, link.norm_at + word),
                   load_vector(layer, link.norm_at + word + 8u));
}

fn peek_row(link: Link, layer: u32, local: u32) -> RowWords {
  var words = RowWords();
  words.round_0 = peek_round(link, layer, local, 0u);
#repeat i 1..8
  if (link.rounds > $i) { words.round_$i = peek_round(link, layer, local, $i); }
#endrepeat
  return words;
}

// Returns whether a word of the round has not been written.
fn is_round_missing(words: vec2<u32>) -> bool {
  return is_missing(max(words.x, words.y));
}

fn any_missing(link: Link, row: RowWords) -> bool {
  return is_round_missing(row.round_0)
#repeat i 1..8
         || (link.rounds > $i && is_round_missing(row.round_$i))
#endrepeat
         ;
}

// Waits for all of a thread's words.
fn load_row(link: Link, layer: u32, local: u32) -> RowWords {
  if (takes_input(link, layer)) {
    return peek_row(link, layer, local);
  }
  // A CPU that acts as a GPU runs the threads of a workgroup one after the other between two
  // barriers. A thread must not wait for words that another thread of its workgroup writes after
  // the same barrier.
  workgroupBarrier();
  var row = RowWords();
  for (var looks = 0u; ; looks++) {
    row = peek_row(link, layer, local);
    if (!any_missing(link, row) || is_stuck(looks)) {
      break;
    }
  }
  return row;
}

fn load_norms(link: Link, layer: u32, local: u32) -> RowWords {
  var words = RowWords();
  if (!link.norm) {
    return words;
  }
  words.round_0 = load_norm_round(link, layer, local, 0u);
#repeat i 1..8
  if (link.rounds > $i) { words.round_$i = load_norm_round(link, layer, local, $i); }
#endrepeat
  return words;
}

// Returns the two f16 of a word.
fn unpack_f16(word: u32) -> vec2<f32> {
  return vec2<f32>(bitcast<vec2<f16>>(word));
}

// Returns byte `source` of `word`, moved to byte `goal`.
fn move_byte(word: u32, source: u32, goal: u32) -> u32 {
  return ((word >> (8u * source)) & 255u) << (8u * goal);
}

// Transposes the bytes of four neighbouring threads: thread `place`, which has bytes (place, 0..3),
// gets bytes (0..3, place).
fn transpose_bytes(word: u32, place: u32) -> u32 {
  return move_byte(word, place, place) |
         move_byte(subgroupShuffleXor(word, 1u), place, place ^ 1u) |
         move_byte(subgroupShuffleXor(word, 2u), place, place ^ 2u) |
         move_byte(subgroupShuffleXor(word, 3u), place, place ^ 3u);
}

// Writes a round of the row, times the norm's scale, to workgroup memory. Returns the sum of the
// thread's squares. All threads of a subgroup must call.
fn stage_round(link: Link, local: u32, r: u32, words: vec2<u32>, scales: vec2<u32>) -> f32 {
  let chunk = r * kRoundChunks + local / 8u;
  let outside = chunk >= link.k / 32u;
  var x = vec4<f32>(unpack_f16(words.x), unpack_f16(words.y));
  let squares = select(dot(x, x), 0.0, outside);
  if (link.norm) {
    x *= vec4<f32>(unpack_f16(scales.x), unpack_f16(scales.y));
  }
  let sizes = abs(x);
  var largest = max(max(sizes.x, sizes.y), max(sizes.z, sizes.w));
  largest = max(largest, subgroupShuffleXor(largest, 1u));
  largest = max(largest, subgroupShuffleXor(largest, 2u));
  largest = max(largest, subgroupShuffleXor(largest, 4u));
  // The upper byte of the largest element must not exceed 127 after rounding.
  let unit = largest / 32639.0;
  let v = vec4<i32>(round(x * select(1.0 / unit, 0.0, unit < 1e-35)));
  // v = 256 * upper + lower, both signed bytes.
  let upper = (v + vec4<i32>(128)) >> vec4<u32>(8u);
  let place = local % 4u;
  let low = transpose_bytes(pack4xI8(vec4<i32>(upper.x, upper.y, v.x, v.y)), place);
  let high = transpose_bytes(pack4xI8(vec4<i32>(upper.z, upper.w, v.z, v.w)), place);
  if (!outside) {
    let entry = 4u * chunk + local % 8u / 4u;
    h[swizzled(entry)][place] = low;
    h[swizzled(entry + 2u)][place] = high;
    if (local % 8u == 0u) {
      chunk_units[chunk] = unit;
    }
  }
  return squares;
}

fn stage(link: Link, local: u32, row: RowWords, norms: RowWords) {
  var squares = stage_round(link, local, 0u, row.round_0, norms.round_0);
#repeat i 1..8
  if (link.rounds > $i) { squares += stage_round(link, local, $i, row.round_$i, norms.round_$i); }
#endrepeat
  if (link.norm) {
    let subgroup_sum = subgroupAdd(squares);
    if (local % kSubgroup == 0u) {
      square_sums[local / kSubgroup] = subgroup_sum;
    }
  }
  workgroupBarrier();
}

// Returns the factor that the products of the row still lack.
fn row_factor(link: Link) -> f32 {
  if (!link.norm) {
    return kCodeUnit;
  }
  var total = 0.0;
  for (var i = 0u; i < kSubgroups; i++) {
    total += square_sums[i];
  }
  return kCodeUnit * inverseSqrt(total / f32(link.k) + link.epsilon);
}
