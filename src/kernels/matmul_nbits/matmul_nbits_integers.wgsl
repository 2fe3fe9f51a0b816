// Integer products of codes: a word of codes as signed bytes, and 16-bit integers as an upper and a
// lower signed byte each, v = 256 * upper + lower, in the order in which dot4I8Packed pairs them
// with codes. The sums of products with 32 codes fit 31 bits: |upper|, |lower| and |code| are at
// most 128.

// Returns the absolute values' bits. They are in the order of the values, and those of NaN above all:
// the largest of a chunk makes the unit, and so every product of the chunk, NaN or infinite if an
// element is.
fn size_bits(x: vec4<f32>) -> vec4<u32> {
  return bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu);
}

#if integers_bits4
// Returns the codes of a word of 8, the low nibbles of its bytes and then the high ones, each as 16
// (code - 8) in a signed byte. That is the nibble in the upper half of the byte with its highest
// bit flipped.
fn signed_codes(word: u32) -> vec2<u32> {
  return (vec2<u32>(word << 4u, word) ^ vec2<u32>(0x80808080u)) & vec2<u32>(0xf0f0f0f0u);
}

// Returns the lowest bytes of `low` and `high` (8 neighbours) in the order of the nibbles in a word
// of codes.
fn pack_octet(low: vec4<i32>, high: vec4<i32>) -> vec2<u32> {
  return vec2<u32>(pack4xI8(vec4<i32>(low.x, low.z, high.x, high.z)),
                   pack4xI8(vec4<i32>(low.y, low.w, high.y, high.w)));
}
#endif
#if integers_bits8
// Returns the codes of a word of 4 as code - 128, which is the code with its highest bit flipped.
fn signed_codes(word: u32) -> u32 {
  return word ^ 0x80808080u;
}

// Returns the lowest bytes of `low` and `high` (8 neighbours): those for one word of codes, then
// those for the next.
fn pack_octet(low: vec4<i32>, high: vec4<i32>) -> vec2<u32> {
  return vec2<u32>(pack4xI8(low), pack4xI8(high));
}
#endif
