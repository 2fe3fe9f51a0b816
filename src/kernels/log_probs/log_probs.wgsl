// Code that the two dispatches of log_probs share. log_probs.h has the definition.
//
//   log_probs_segments  of each segment of kSegment tokens, the likeliest one and the sum of exp
//   log_probs_top       of these, the logarithm of the sum and the likeliest tokens
//
// The host defines what logits.wgsl says, and `subgroups` if the variant uses them.

#include "common/step_state.wgsl"
#include "sample/logits.wgsl"
#include "argmax/best.wgsl"
#include "common/workgroup_reduce.wgsl"

const kWorkgroupSize = 256u;
const kSegment = 4u * kWorkgroupSize;
const kMaxSegments = 1024u;

struct Params {
  vocab: u32,
  rows: u32,
  row_stride: u32,
  batch: u32,
  segments: u32,
  top: u32,
  pad0: u32,
  pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// logits.wgsl has binding 1.
@group(0) @binding(2) var<storage, read> state: array<StepState>;
@group(0) @binding(3) var<storage, read> options: array<SamplingOptions>;

// What is known of one segment.
struct Segment {
  best: Best,
  sum: f32,  // of exp(logit - best.logit)
}
@group(0) @binding(4) var<storage, read_write> scratch: array<Segment>;

// Pairs of a token and its log probability, as bits of floats.
@group(0) @binding(5) var<storage, read_write> results: array<u32>;

// Returns the logits of tokens 4v to 4v + 3 of a sequence, kNone past the vocabulary.
fn load_logits(seq: u32, v: u32) -> vec4<f32> {
  let row = select(min(state[seq].token_row, params.rows - 1u), seq, params.batch > 1u);
  var x = vec4<f32>(kNone);
  if (4u * v < params.vocab) {
    x = row_logits(row, v);
  }
  return x;
}
