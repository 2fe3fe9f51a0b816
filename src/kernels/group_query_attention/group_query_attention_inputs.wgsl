// Inputs of group_query_attention_decode.wgsl and group_query_attention_prepare.wgsl, which declare
// the bindings, q_norm_unit and k_norm_unit: queries and new keys by columns of eight elements,
// after norm and rotation.

#include "group_query_attention/group_query_attention_rotation.wgsl"

fn query_row(b: u32, pair_set: u32, i: u32, kv_head: u32) -> u32 {
  return (b * kSequence + pair_row(pair_set, i)) * params.q_row +
      pair_head(pair_set, i, kv_head) * kCols;
}

#if norm
fn norm_query(x: eight, column: u32, inv_std: f32) -> eight {
  return times(x, unpack(q_norm_unit(column)), inv_std);
}
fn norm_key(x: eight, column: u32, inv_std: f32) -> eight {
  return times(x, unpack(k_norm_unit(column)), inv_std);
}
#else
fn norm_query(x: eight, column: u32, inv_std: f32) -> eight { return x; }
fn norm_key(x: eight, column: u32, inv_std: f32) -> eight { return x; }
#endif

// Returns one column of a pair's query after norm and rotation, zeros past the last column.
fn query_column(b: u32, pair_set: u32, i: u32, kv_head: u32, column: u32, inv_std: f32,
                past: u32) -> eight {
  if (column >= kCols) {
    return eight();
  }
  let row = query_row(b, pair_set, i, kv_head);
  let partner = partner_of(column);
  return rotate(norm_query(unpack(query[row + column]), column, inv_std),
                norm_query(unpack(query[row + partner]), partner, inv_std), column,
                position(b, pair_row(pair_set, i), past));
}

fn query_unit(b: u32, pair_set: u32, kv_head: u32, column: u32, inv_std: vec4<f32>,
              past: u32) -> Unit {
  let a = query_column(b, pair_set, 0u, kv_head, column, inv_std.x, past);
  var a1 = a;
  var a2 = a;
  var a3 = a;
#repeat i 1..kPairs
  a$i = query_column(b, pair_set, $i, kv_head, column, inv_std[$i], past);
#endrepeat
  return Unit(pair_matrix(a[0], a1[0], a2[0], a3[0]), pair_matrix(a[1], a1[1], a2[1], a3[1]));
}

#if norm
fn query_squares(b: u32, pair_set: u32, i: u32, kv_head: u32, column: u32) -> f32 {
  return select(0.0, squares(unpack(query[query_row(b, pair_set, i, kv_head) +
                                          min(column, kCols - 1u)])), column < kCols);
}

fn unit_squares(b: u32, pair_set: u32, kv_head: u32, column: u32) -> pvec {
  let a = query_squares(b, pair_set, 0u, kv_head, column);
  var a1 = a;
  var a2 = a;
  var a3 = a;
#repeat i 1..kPairs
  a$i = query_squares(b, pair_set, $i, kv_head, column);
#endrepeat
  return pair_vector(a, a1, a2, a3);
}
#endif

#if packed
fn key_at(i: u32) -> raw8 { return query[i + params.k_offset]; }
fn value_at(i: u32) -> raw8 { return query[i + params.v_offset]; }
#else
fn key_at(i: u32) -> raw8 { return key[i]; }
fn value_at(i: u32) -> raw8 { return value[i]; }
#endif

// Returns where the key of new row s (or of the last one) begins. The value begins there too.
fn new_row(b: u32, kv_head: u32, s: u32) -> u32 {
  return (b * kSequence + min(s, kSequence - 1u)) * params.kv_row + kv_head * kCols;
}

fn new_key(b: u32, kv_head: u32, s: u32, column: u32, inv_std: f32, past: u32) -> raw8 {
  let row = new_row(b, kv_head, s);
  let partner = partner_of(column);
  return pack(rotate(norm_key(unpack(key_at(row + column)), column, inv_std),
                     norm_key(unpack(key_at(row + partner)), partner, inv_std), column,
                     position(b, min(s, kSequence - 1u), past)));
}

#if norm
fn key_squares(row: u32, column: u32) -> f32 {
  return select(0.0, squares(unpack(key_at(row + min(column, kCols - 1u)))), column < kCols);
}

fn key_inv_std(b: u32, kv_head: u32, s: u32, lane: u32, local: u32) -> f32 {
  let row = new_row(b, kv_head, s);
  var square = key_squares(row, lane);
#repeat i 1..kUnits
  square += key_squares(row, lane + $i * kLanes);
#endrepeat
  let sum = pair_vec4(team_sum(pvec(square), local)).x;
  return 1.0 / sqrt(sum / f32(kHeadSize) + params.epsilon);
}
#else
fn key_inv_std(b: u32, kv_head: u32, s: u32, lane: u32, local: u32) -> f32 { return 1.0; }
#endif
