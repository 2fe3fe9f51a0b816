// Codes of blockwise quantized weights, packed from the lowest bits of each byte (and so of each
// little-endian word) up. The prelude gives `kBits` (2, 4 or 8). A word holds 32 / kBits codes, in
// quads of four neighbours.

const kCodeMask = (1u << kBits) - 1u;
const kCodesPerWord = 32u / kBits;
const kQuadsPerWord = 8u / kBits;
// Half of the codes' range: the zero point of weights that have none.
const kHalfRange = 1u << (kBits - 1u);

// 2^23 as a float's bits and as its value: its last mantissa bit counts ones.
const kTwoTo23Bits = 0x4b000000u;
const kTwoTo23 = 8388608.0;

// Returns quad `quad` of `word` less `zero`, an integer, exactly. Or-ing a code into 2^23 gives the
// float 2^23 + code: a logic operation in place of a slow integer conversion.
fn quad_less_whole(word: u32, quad: u32, zero: f32) -> vec4<f32> {
  let shifts = vec4<u32>(0u, kBits, 2u * kBits, 3u * kBits) + 4u * kBits * quad;
  let codes = (vec4<u32>(word) >> shifts) & vec4<u32>(kCodeMask);
  return bitcast<vec4<f32>>(codes | vec4<u32>(kTwoTo23Bits)) - (kTwoTo23 + zero);
}

// Returns quad `quad` of `word` less any `zero`.
fn quad_less(word: u32, quad: u32, zero: f32) -> vec4<f32> {
  return quad_less_whole(word, quad, 0.0) - zero;
}

// Returns the code at bit `bit` of a row that byte `byte` holds; `word` is the word of that byte.
fn code_at(word: u32, byte: u32, bit: u32) -> u32 {
  return (word >> (byte % 4u * 8u + bit % 8u)) & kCodeMask;
}
