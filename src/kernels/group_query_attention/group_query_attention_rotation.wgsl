// For group_query_attention_decode.wgsl and its relatives: the range of keys that a query sees, the
// rotation of a column of eight elements of a query or a key, and the places of new rows in the
// cache. The including shader defines cos_unit and sin_unit and, with `pages`, page_at.

#include "common/kv_pages.wgsl"

fn pair_row(pair_set: u32, i: u32) -> u32 {
  return min(pair_set * kPairs + i, kGroup * kSequence - 1u) / kGroup;
}

fn pair_head(pair_set: u32, i: u32, kv_head: u32) -> u32 {
  return kv_head * kGroup + min(pair_set * kPairs + i, kGroup * kSequence - 1u) % kGroup;
}

// Pair i sees the keys [x, y).
fn key_range(pair_set: u32, i: u32, past: u32, total: u32) -> vec2<u32> {
  if (pair_set * kPairs + i >= kGroup * kSequence) {
    return vec2<u32>(0u, 0u);
  }
  let end = min(min(past + pair_row(pair_set, i) + 1u, total), params.capacity);
  let begin = select(0u, end - min(end, params.local_window), params.local_window > 0u);
  return vec2<u32>(begin, end);
}

// Returns the column that a rotation pairs with `column`.
fn partner_of(column: u32) -> u32 {
  if (kInterleaved || column >= 2u * kRotaryCols) {
    return column;
  }
  return select(column - kRotaryCols, column + kRotaryCols, column < kRotaryCols);
}

#if position_ids
fn position(b: u32, s: u32, past: u32) -> u32 {
  return u32(max(position_ids[b * kSequence + s], 0));
}
#else
fn position(b: u32, s: u32, past: u32) -> u32 { return past + s; }
#endif

// Cos and sin of a column's angles.
struct Angles {
  c: eight,
  s: eight,
}

#if rotary
fn angles_of(column: u32, at: u32) -> Angles {
  let row = min(at, params.rotary_rows - 1u) * kRotaryCols;
  // If interleaved, eight elements are four pairs: half of a unit of the cos and sin caches.
  let unit = row +
      select(column % kRotaryCols, min(column, 2u * kRotaryCols - 1u) / 2u, kInterleaved);
  return Angles(unpack(cos_unit(unit)), unpack(sin_unit(unit)));
}

fn rotate_by(own: eight, partner: eight, column: u32, angles: Angles) -> eight {
  if (column >= 2u * kRotaryCols) {
    return own;
  }
  if (kInterleaved) {
    let odd = column % 2u == 1u;
    let c = select(angles.c[0], angles.c[1], odd);
    let s = select(angles.s[0], angles.s[1], odd);
    let signs = vec4<f32>(-1.0, 1.0, -1.0, 1.0);
    return eight(own[0] * c.xxyy + own[0].yxwz * s.xxyy * signs,
                 own[1] * c.zzww + own[1].yxwz * s.zzww * signs);
  }
  let sign = select(1.0, -1.0, column < kRotaryCols);
  return eight(own[0] * angles.c[0] + partner[0] * angles.s[0] * sign,
               own[1] * angles.c[1] + partner[1] * angles.s[1] * sign);
}
#else
fn angles_of(column: u32, at: u32) -> Angles { return Angles(); }
fn rotate_by(own: eight, partner: eight, column: u32, angles: Angles) -> eight { return own; }
#endif

fn rotate(own: eight, partner: eight, column: u32, at: u32) -> eight {
  return rotate_by(own, partner, column, angles_of(column, at));
}

// Writes a column of new row s to the caches; `begin` is the first row of the head.
fn append(b: u32, begin: u32, past: u32, s: u32, column: u32, k: raw8, v: raw8) {
  if (s < kSequence && past + s < params.capacity && column < kCols) {
    let at = (begin + cache_row(b, past + s)) * kCols + column;
    k_cache[at] = k;
    v_cache[at] = v;
  }
}
