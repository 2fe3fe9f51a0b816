// Activations of QMoE's experts: kActivation selects one of a single value, qmoe.h has the SwiGLU.
// The including shader's `params` has alpha, beta and limit.

#include "common/activations.wgsl"
#include "common/nan.wgsl"

fn activate(value: f32) -> f32 {
  switch (kActivation) {
    case kRelu: {
      return max_f32(value, 0.0);
    }
    case kGelu: {
      return gelu_tanh(value);
    }
    case kSilu: {
      return silu(value);
    }
    default: {
      return value;
    }
  }
}

fn swiglu(gate_sum: f32, up_sum: f32) -> f32 {
  let gate = min_f32(gate_sum, params.limit);
  let up = max_f32(min_f32(up_sum, params.limit), -params.limit);
  return gate * sigmoid(params.alpha * gate) * (up + params.beta);
}
