// Operators that WGSL lacks or leaves undefined for some arguments.

#include "common/nan.wgsl"

// Returns NaN; a constant NaN would be a shader-creation error.
fn nan_f32() -> f32 {
  var bits = 0x7fc00000u;
  return bitcast<f32>(bits);
}

// Returns +inf, for the same reason.
fn infinity_f32() -> f32 {
  var bits = 0x7f800000u;
  return bitcast<f32>(bits);
}

// a^b, also where a or b is zero, infinite or NaN, as IEEE 754 has it. WGSL's pow is undefined for a
// negative base, and exp2(b * log2(a)) loses bits on the common small powers.
fn pow_f32(a: f32, b: f32) -> f32 {
  if (a == 1.0) { return 1.0; }  // even where b is NaN
  if (b == 2.0) { return a * a; }
  if (b == 3.0) { return a * a * a; }
  if (b == 1.0) { return a; }
  if (b == 0.5 && a > 0.0) { return sqrt(a); }
  if (b == -1.0) { return 1.0 / a; }
  if (b == 0.0) { return 1.0; }
  if (is_nan_f32(b)) { return b; }
  var magnitude = pow(abs(a), b);
  // exp2(b * log2(a)) multiplies zero and infinity, which a compiler may get wrong.
  if (a == 0.0) { magnitude = select(0.0, infinity_f32(), b < 0.0); }
  if (a == -1.0) { magnitude = 1.0; }
  if (a > 0.0 || is_nan_f32(a)) { return magnitude; }
  // Past 2^24 every float is an even integer, and so is infinity.
  let integer = b == floor(b);
  let odd = integer && abs(b) < 16777216.0 && (i32(abs(b)) & 1) == 1;
  let bits = bitcast<u32>(a);
  let negative_infinity = bits == 0xff800000u;
  if (!integer && a != 0.0 && !negative_infinity) { return nan_f32(); }
  return select(magnitude, -magnitude, odd && (bits >> 31u) == 1u);
}

// a^b by squaring. A negative power is a fraction, truncated to 0 unless a is 1 or -1; 0 to a
// negative power is 0 too.
fn pow_i32(a: i32, b: i32) -> i32 {
  if (b < 0) {
    if (a == 1) { return 1; }
    if (a == -1) { return select(1, -1, (b & 1) != 0); }
    return 0;
  }
  var result = 1;
  var base = a;
  var rest = b;
  while (rest != 0) {
    if ((rest & 1) != 0) { result *= base; }
    base *= base;
    rest >>= 1u;
  }
  return result;
}

// a^b truncated, at most the largest i32. Exact if b is an integer. Else the power in f32 is off by
// some units of its last place, 2^-23 of it, and more the larger it is; one so close to an integer
// counts as the integer: 27^(1/3) is 3.
fn pow_i32_f32(a: i32, b: f32) -> i32 {
  let x = pow_f32(f32(a), b);
  note_power(x);
  if (b == floor(b) && abs(b) < 2147483648.0) { return pow_i32(a, i32(b)); }
  let near = round(x);
  let error = (4.0 + abs(b * log2(abs(f32(a))))) * 0x1p-22;
  let whole = select(trunc(x), near, abs(x - near) <= abs(near) * error);
  return select(select(i32(clamp(whole, -2147483648.0, 2147483520.0)), 2147483647,
                       whole >= 2147483648.0), 0, is_nan_f32(x));
}

// a / b, also for divisors above 2^126, for which WGSL promises nothing: an H200 gives 0.
fn div_f32(a: f32, b: f32) -> f32 {
  let scale = select(1.0, 0.25, abs(b) > 0x1p+125f);
  return (a * scale) / (b * scale);
}

// a / b truncated towards zero; 0 for b = 0. The divisor is replaced beforehand: devices may run
// without WGSL's own guards against division by zero and overflow.
fn div_i32(a: i32, b: i32) -> i32 {
  let quotient = a / select(b, 1, b == 0 || b == -1);
  return select(select(quotient, -a, b == -1), 0, b == 0);
}

// Returns the remainder with the sign of a; 0 for b = 0.
fn fmod_i32(a: i32, b: i32) -> i32 {
  return select(a - div_i32(a, b) * b, 0, b == 0);
}

// Returns the remainder with the sign of b; 0 for b = 0.
fn mod_i32(a: i32, b: i32) -> i32 {
  let r = fmod_i32(a, b);
  return select(r, r + b, r != 0 && (r < 0) != (b < 0));
}

// Returns the remainder with the sign of a. The rounded quotient can be off by one next to an
// integer, which is corrected; quotients past 2^24 are not exact.
fn fmod_f32(a: f32, b: f32) -> f32 {
  let divisor = abs(b);
  let r = fma(-trunc(abs(a) / divisor), divisor, abs(a));
  let fixed = select(select(r, r + divisor, r < 0.0), r - divisor, r >= divisor);
  return select(fixed, -fixed, a < 0.0);
}

// sin and cos as x = k * pi / 2 + r, |r| <= pi / 4, and minimax polynomials in r (Cephes' sinf and
// cosf): WGSL promises no more than 2^-11 for its own, and nothing past pi. pi / 2 is split into
// terms of 7 bits, so that k times a term is exact for k up to 2^17, |x| up to 200,000.
fn sin_quadrant(x: f32, shift: i32) -> f32 {
  let k = round(x * 0.63661977236758134);
  var r = x - k * 1.5625;
  r -= k * 0.0081787109375;
  r -= k * 0.00011730194091796875;
  r -= k * 3.129243850708008e-7;
  r -= k * 9.92093629470503e-10;
  let s = r * r;
  let sine = r + r * s * (-1.6666654611e-1 + s * (8.3321608736e-3 + s * -1.9515295891e-4));
  let cosine = 1.0 - 0.5 * s +
      s * s * (4.166664568298827e-2 + s * (-1.388731625493765e-3 + s * 2.443315711809948e-5));
  let quadrant = (i32(k) + shift) & 3;
  let value = select(sine, cosine, (quadrant & 1) == 1);
  return select(value, -value, quadrant >= 2);
}

fn sin_accurate(x: f32) -> f32 {
  return sin_quadrant(x, 0);
}

fn cos_accurate(x: f32) -> f32 {
  return sin_quadrant(x, 1);
}
