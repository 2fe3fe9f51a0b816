// Weights of MatMulNBits on the matrix units: loads of B in units of up to 16 bytes inside one
// block, with their scales and zero points, and dequantization into workgroup memory as f16. The
// including file has the bindings b, scales and zero_points and includes common/matrix_tile.wgsl;
// the prelude gives unit_t, kUnitWords, kUnitsTogether, kInterleave, kBits, kBlockSize, kK,
// kWholeSteps and kWholeColumns.

#include "common/dequantize.wgsl"
#include "matmul_nbits/interleave.wgsl"

const kUnitCodes = kUnitWords * kCodesPerWord;
const kUnits = kStep / kUnitCodes;  // Units of a row of B in a step.
const kBlocks = (kK + kBlockSize - 1u) / kBlockSize;  // Blocks of a row of B.
const kUnitsPerBlock = kBlockSize / kUnitCodes;
const kRowUnits = kBlocks * kUnitsPerBlock;
const kGroupsPerBlock = kUnitsPerBlock / kUnitsTogether;
// Tells whether the first units of consecutive steps are a constant distance apart.
const kWholeGroups = kStep % (kUnitCodes * kUnitsTogether) == 0u;
// Unused bits at the end of a row of packed zero points.
const kZeroPointPadding = (8u - kBlocks * kBits % 8u) % 8u;

// A unit of B with what dequantizes it.
struct Unit {
  words: vec4<u32>,
  scale: f16,
  zero: f16,
}

// Returns the row of the bound part of B, and of bias, that row `row` of the tile of B holds. Rows
// past the end repeat the last.
#if glu
fn row_b(first_n: u32, row: u32) -> u32 {
  let half = kSubCols / 2u;
  let column = first_n + row / kSubCols * half + row % half;
  return select(min(column, params.n - 1u), column, kWholeColumns) +
      row % kSubCols / half * params.n;
}
#else
fn row_b(first_n: u32, row: u32) -> u32 {
  return first_b + select(min(first_n + row, params.n_count - 1u), first_n + row, kWholeColumns);
}
#endif

fn place_of_unit(row: u32, unit: u32) -> u32 {
  return interleaved_index(row, unit / kUnitsTogether, kRowUnits / kUnitsTogether) *
             kUnitsTogether + unit % kUnitsTogether;
}

// Returns unit `unit` of the step of B at first_k, zeros past the last block. The same unit of the
// first step lies at `place`.
fn load_unit(place: u32, unit: u32, first_k: u32) -> Unit {
  let index = unit + first_k / kUnitCodes;
  var loaded: Unit;
  if (kWholeSteps || index < kRowUnits) {
    var at = place + first_k / kUnitCodes * kInterleave;
    if (!kWholeGroups) {
      at = place - unit + index / kUnitsTogether * (kUnitsTogether * kInterleave) +
          index % kUnitsTogether;
    }
    loaded.words = unit_words(b[at]);
    let block = block_of(at);
    loaded.scale = scales[block];
    loaded.zero = zero_point(block);
  }
  return loaded;
}

// Returns where the scale of the unit at `at` lies.
fn block_of(at: u32) -> u32 {
  let group = at / kUnitsTogether;
  if (kGroupsPerBlock == 1u) {
    return group;
  }
  return group / (kInterleave * kGroupsPerBlock) * kInterleave + group % kInterleave;
}

#if unit4
fn unit_words(unit: unit_t) -> vec4<u32> {
  return unit;
}
#endif
#if unit2
fn unit_words(unit: unit_t) -> vec4<u32> {
  return vec4<u32>(unit, 0u, 0u);
}
#endif
#if unit1
fn unit_words(unit: unit_t) -> vec4<u32> {
  return vec4<u32>(unit, 0u, 0u, 0u);
}
#endif

// Returns the zero point of the block whose scale lies at `block`.
#if zero_points_packed
fn zero_point(block: u32) -> f16 {
  let index = block / kInterleave;
  let bit = index * kBits + index / kBlocks * kZeroPointPadding;
  let byte = bit / 8u * kInterleave + block % kInterleave;
  return f16(code_at(zero_points[byte / 4u], byte, bit));
}
#endif
#if zero_points_float
fn zero_point(block: u32) -> f16 {
  return zero_points[block];
}
#endif
#if zero_points_default
fn zero_point(block: u32) -> f16 {
  return f16(kHalfRange);
}
#endif

// 1024 as f16 in both halves. The last bit of its mantissa counts ones, so that or-ing a code into
// it gives 1024 + code. It is a variable and not a constant: NVIDIA's compiler merges an AND and an
// OR into one instruction only if one operand is a register.
var<private> thousands: u32;

// Returns (code - zero) * scale for the codes at bit `shift` of the word's halves. The difference
// is exact unless the zero point is a float.
fn dequantized(word: u32, shift: u32, unit: Unit) -> vec2<f16> {
  let codes = bitcast<vec2<f16>>(((word >> shift) & (kCodeMask * 0x10001u)) | thousands);
#if zero_points_float
  return ((codes - 1024.0h) - unit.zero) * unit.scale;
#else
  return (codes - (1024.0h + unit.zero)) * unit.scale;
#endif
}

fn pack_pair(x: f16, y: f16) -> u32 {
  return bitcast<u32>(vec2<f16>(x, y));
}

// A thread stores the 8 weights of each chunk of its unit in order; dequantized returns two that
// are apart. 2 bits: a word has codes 0 to 15, in pairs (i, i + 8).
fn store_word2(at: u32, word: u32, unit: Unit) {
#repeat i 0..8
  let p$i = dequantized(word, 2u * $i, unit);
#endrepeat
  tiles[at] = vec4<u32>(pack_pair(p0.x, p1.x), pack_pair(p2.x, p3.x), pack_pair(p4.x, p5.x),
                        pack_pair(p6.x, p7.x));
  tiles[at + 1u] = vec4<u32>(pack_pair(p0.y, p1.y), pack_pair(p2.y, p3.y), pack_pair(p4.y, p5.y),
                             pack_pair(p6.y, p7.y));
}

// 4 bits: a word has codes 0 to 7, in pairs (i, i + 4).
fn store_word4(at: u32, word: u32, unit: Unit) {
#repeat i 0..4
  let p$i = dequantized(word, 4u * $i, unit);
#endrepeat
  tiles[at] = vec4<u32>(pack_pair(p0.x, p1.x), pack_pair(p2.x, p3.x), pack_pair(p0.y, p1.y),
                        pack_pair(p2.y, p3.y));
}

// The same in the order in which they are dequantized: codes 0, 4, 1, 5, 2, 6, 3, 7. No pairs have
// to be packed, and of the two codes of a byte only one has to be shifted: 1024 + 16 code is as
// exact.
fn store_word4_pairs(at: u32, word: u32, unit: Unit) {
  tiles[at] = vec4<u32>(bitcast<u32>(dequantized(word, 0u, unit)),
                        bitcast<u32>(dequantized_high(word, unit)),
                        bitcast<u32>(dequantized(word, 8u, unit)),
                        bitcast<u32>(dequantized_high(word >> 8u, unit)));
}

// Returns (code - zero) * scale for the codes in the upper nibbles of the lowest bytes of the
// word's halves.
fn dequantized_high(word: u32, unit: Unit) -> vec2<f16> {
  let codes = bitcast<vec2<f16>>((word & 0x00f000f0u) | thousands);
#if zero_points_float
  return (fma(codes, vec2<f16>(0.0625h), vec2<f16>(-64.0h)) - unit.zero) * unit.scale;
#else
  return fma(codes, vec2<f16>(0.0625h), vec2<f16>(-64.0h - unit.zero)) * unit.scale;
#endif
}

// 8 bits: two words have codes 0 to 3 and 4 to 7, in pairs (i, i + 2).
fn store_words8(at: u32, low: u32, high: u32, unit: Unit) {
  let p0 = dequantized(low, 0u, unit);
  let p1 = dequantized(low, 8u, unit);
  let p2 = dequantized(high, 0u, unit);
  let p3 = dequantized(high, 8u, unit);
  tiles[at] = vec4<u32>(pack_pair(p0.x, p1.x), pack_pair(p0.y, p1.y), pack_pair(p2.x, p3.x),
                        pack_pair(p2.y, p3.y));
}

// Stores a unit's weights, dequantized, from vec4 `at` of `tiles` on. With `pairs` those of 4 bits
// are in the order of store_word4_pairs, and so must be A's elements.
fn store_unit(at: u32, unit: Unit, pairs: bool) {
  if (kBits == 8u) {
    store_words8(at, unit.words.x, unit.words.y, unit);
    if (kUnitWords > 2u) {
      store_words8(at + 1u, unit.words.z, unit.words.w, unit);
    }
    return;
  }
  if (kBits == 4u && pairs) {
#repeat i 0..kUnitWords
    store_word4_pairs(at + $i, unit.words[$i], unit);
#endrepeat
    return;
  }
  if (kBits == 4u) {
#repeat i 0..kUnitWords
    store_word4(at + $i, unit.words[$i], unit);
#endrepeat
    return;
  }
#repeat i 0..kUnitWords
  store_word2(at + 2u * $i, unit.words[$i], unit);
#endrepeat
}
