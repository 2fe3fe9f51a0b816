// Products with codes in integers: a word of codes as signed bytes, and the 16-bit integers that they are multiplied
// with as an upper and a lower signed byte each, v = 256 * upper + lower, in the order that dot4I8Packed meets them.
// The sums of products with 32 codes fit 31 bits: |upper|, |lower| and |code| are at most 128.

#if integers_bits4
// A word of 8 codes: those of the lower nibbles of its bytes, then those of the higher ones, each as 16 (code - 8).
// Flipping the highest bit of a nibble in the upper half of a byte makes the byte that.
fn signed_codes(word: u32) -> vec2<u32> {
  return (vec2<u32>(word << 4u, word) ^ vec2<u32>(0x80808080u)) & vec2<u32>(0xf0f0f0f0u);
}

// Lowest bytes of the integers `low` and `high` (8 neighbours) in the order of the nibbles in a word of codes.
fn pack_octet(low: vec4<i32>, high: vec4<i32>) -> vec2<u32> {
  return vec2<u32>(pack4xI8(vec4<i32>(low.x, low.z, high.x, high.z)),
                   pack4xI8(vec4<i32>(low.y, low.w, high.y, high.w)));
}
#endif
#if integers_bits8
// A word of 4 codes, each as code - 128, which flipping its highest bit makes of it.
fn signed_codes(word: u32) -> u32 {
  return word ^ 0x80808080u;
}

// Lowest bytes of the integers `low` and `high` (8 neighbours): those that meet a word, then the next.
fn pack_octet(low: vec4<i32>, high: vec4<i32>) -> vec2<u32> {
  return vec2<u32>(pack4xI8(low), pack4xI8(high));
}
#endif
