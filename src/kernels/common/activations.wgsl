// Activation functions of one f32. They are finite for every finite argument.

// 1 / (1 + exp(-x)), written with the exponential that cannot overflow.
fn sigmoid(x: f32) -> f32 {
  let t = exp(-abs(x));
  let r = 1.0 / (1.0 + t);
  return select(t * r, r, x >= 0.0);
}

fn silu(x: f32) -> f32 {
  return x * sigmoid(x);
}

fn quick_gelu(x: f32, alpha: f32) -> f32 {
  return x * sigmoid(alpha * x);
}

// WGSL's tanh may be sinh / cosh, which is NaN for large arguments. Near zero 1 - exp(-2 |x|) would
// cancel: there it is the Taylor series to x^9, whose next term is below 4e-9 of x up to 0.25.
fn tanh_stable(x: f32) -> f32 {
  let t = exp(-2.0 * abs(x));
  let far = sign(x) * (1.0 - t) / (1.0 + t);
  let s = x * x;
  let near = x +
      x * s * (-1.0 / 3.0 + s * (2.0 / 15.0 + s * (-17.0 / 315.0 + s * (62.0 / 2835.0))));
  return select(far, near, abs(x) < 0.25);
}

// Two minimax polynomials (N. Juffa's erff): an odd one up to 475/512, beyond it 1 - exp(p(|x|)).
// The error is at most 1.2e-7 absolutely and one or two units in the last place relatively, given
// exact rounding of exp.
fn erf(x: f32) -> f32 {
  let t = abs(x);
  let s = x * x;
  var far = fma(-1.72853470e-5, t, 3.83197126e-4);
  let part = fma(-3.88396438e-3, t, 2.42546219e-2);
  far = fma(far, s, part);
  far = fma(far, t, -1.06777877e-1);
  far = fma(far, t, -6.34846687e-1);
  far = fma(far, t, -1.28717512e-1);
  far = fma(far, t, -t);
  far = sign(x) * (1.0 - exp(far));
  var near = fma(-5.96761703e-4, s, 4.99119423e-3);
  near = fma(near, s, -2.67681349e-2);
  near = fma(near, s, 1.12819925e-1);
  near = fma(near, s, -3.76125336e-1);
  near = fma(near, s, 1.28379166e-1);
  near = fma(near, x, x);
  return select(near, far, t > 0.927734375);
}

// x * Phi(x), where Phi is the normal distribution.
fn gelu(x: f32) -> f32 {
  return 0.5 * x * (1.0 + erf(x * 0.70710678118654752));
}

// x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))).
fn gelu_tanh(x: f32) -> f32 {
  return 0.5 * x * (1.0 + tanh_stable(0.79788456080286536 * x * (1.0 + 0.044715 * x * x)));
}

// log(1 + exp(x)).
fn softplus(x: f32) -> f32 {
  return max(x, 0.0) + log(1.0 + exp(-abs(x)));
}
