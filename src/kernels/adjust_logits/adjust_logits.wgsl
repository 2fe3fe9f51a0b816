// Changes the logits of each sequence by the options of its request, and counts its tokens.
// adjust_logits.h has the definition.
//
// Workgroups (x, seq) work on sequence `seq`; thread i of them has the tokens 4i to 4i + 3. The
// result is stored as bits, because a compiler may assume that there is neither NaN nor infinity.
//
// The host defines what logits.wgsl says, and a name for each optional operand that exists.

#include "common/step_state.wgsl"
#include "sample/logits.wgsl"

const kWorkgroupSize = 256u;
const kTokensPerGroup = 4u * kWorkgroupSize;
const kMaxLogitBiases = 512u;
const kMinusInfinity = 0xff800000u;

struct Params {
  vocab: u32,
  rows: u32,
  row_stride: u32,
  batch: u32,
}

struct LogitBias {
  token: u32,
  bias: f32,
}

// Mirrors LogitAdjustments in adjust_logits.h.
struct LogitAdjustments {
  presence_penalty: f32,
  frequency_penalty: f32,
  min_tokens: u32,
  has_allowed: u32,
  bias_count: u32,
  pad0: u32,
  pad1: u32,
  pad2: u32,
  biases: array<LogitBias, kMaxLogitBiases>,
}

@group(0) @binding(0) var<uniform> params: Params;
// logits.wgsl has binding 1.
@group(0) @binding(2) var<storage, read> state: array<StepState>;
@group(0) @binding(3) var<storage, read> options: array<SamplingOptions>;
@group(0) @binding(4) var<storage, read> adjustments: array<LogitAdjustments>;
#if allowed
@group(0) @binding(5) var<storage, read> allowed: array<u32>;
#endif
#if counts
@group(0) @binding(6) var<storage, read_write> counts: array<u32>;
#endif
#if vec4
@group(0) @binding(7) var<storage, read_write> adjusted: array<vec4<u32>>;
#else
@group(0) @binding(7) var<storage, read_write> adjusted: array<u32>;
#endif

#if vec4
fn store(seq: u32, v: u32, bits: vec4<u32>) {
  adjusted[seq * (params.row_stride / 4u) + v] = bits;
}
#else
fn store(seq: u32, v: u32, bits: vec4<u32>) {
  for (var j = 0u; j < min(4u, params.vocab - 4u * v); j++) {
    adjusted[seq * params.row_stride + 4u * v + j] = bits[j];
  }
}
#endif

// Tells which of tokens 4v to 4v + 3 a sequence must not choose.
fn forbidden(seq: u32, v: u32) -> vec4<bool> {
  let tokens = tokens_of(v);
  var result = vec4<bool>(false);
#if allowed
  if (adjustments[seq].has_allowed != 0u) {
    let word = allowed[seq * ((params.vocab + 31u) / 32u) + v / 8u];
    result = (vec4<u32>(word >> (4u * (v % 8u))) & vec4<u32>(1u, 2u, 4u, 8u)) == vec4<u32>(0u);
  }
#endif
  if (state[seq].position < adjustments[seq].min_tokens) {
    for (var i = 0u; i < min(options[seq].eos_count, kMaxEosTokens); i++) {
      result = result | (tokens == vec4<u32>(options[seq].eos_tokens[i]));
    }
  }
  return result;
}

#if counts
// Counts the token that was chosen last, if it is among 4v to 4v + 3, and returns the penalties of
// these.
fn penalties(seq: u32, v: u32) -> vec4<f32> {
  let presence = adjustments[seq].presence_penalty;
  let frequency = adjustments[seq].frequency_penalty;
  if (presence == 0.0 && frequency == 0.0) {
    return vec4<f32>(0.0);
  }
  let begin = seq * params.vocab;
  let last = state[seq].token;
  if (state[seq].position > 0u && last / 4u == v) {
    counts[begin + last] += 1u;
  }
  let at = begin + min(tokens_of(v), vec4<u32>(params.vocab - 1u));
  let count = vec4<u32>(counts[at.x], counts[at.y], counts[at.z], counts[at.w]);
  return frequency * vec4<f32>(count) +
         select(vec4<f32>(0.0), vec4<f32>(presence), count > vec4<u32>(0u));
}
#endif

// Biases of the workgroup's tokens.
var<workgroup> bias_of: array<f32, kTokensPerGroup>;

@compute @workgroup_size(kWorkgroupSize)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let seq = workgroup.y;
  if (options[seq].idle != 0u) {
    return;
  }
  let bias_count = min(adjustments[seq].bias_count, kMaxLogitBiases);
  var bias = vec4<f32>(0.0);
  if (bias_count > 0u) {
    for (var j = 0u; j < 4u; j++) {
      bias_of[4u * local + j] = 0.0;
    }
    workgroupBarrier();
    for (var i = local; i < bias_count; i += kWorkgroupSize) {
      let entry = adjustments[seq].biases[i];
      if (entry.token / kTokensPerGroup == workgroup.x) {
        bias_of[entry.token % kTokensPerGroup] = entry.bias;
      }
    }
    workgroupBarrier();
    bias = vec4<f32>(bias_of[4u * local], bias_of[4u * local + 1u], bias_of[4u * local + 2u],
                     bias_of[4u * local + 3u]);
  }
  let v = workgroup.x * kWorkgroupSize + local;
  if (4u * v >= params.vocab) {
    return;
  }
  let row = select(min(state[seq].last_row, params.rows - 1u), seq, params.batch > 1u);
  let raw = raw_logits(row, v);
  var change = bias;
#if counts
  change -= penalties(seq, v);
#endif
  let bits = bitcast<vec4<u32>>(raw);
  let changed = clamp(raw + change, vec4<f32>(kNone), vec4<f32>(kLargest));
  // What is not finite stays, and so do the bits of what does not change.
  let finite = (bits & vec4<u32>(0x7fffffffu)) < vec4<u32>(0x7f800000u);
  var result = select(bits, bitcast<vec4<u32>>(changed), finite & (change != vec4<f32>(0.0)));
  result = select(result, vec4<u32>(kMinusInfinity), forbidden(seq, v) & !bad_logits(raw));
  store(seq, v, result);
}
