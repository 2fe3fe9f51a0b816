// Fills masks, positions and lengths from StepState. step_inputs.h has the definition. Thread i
// of the workgroups (x, y, seq) owns element i of every output of sequence `seq` that is that long.
//
// The host defines kWorkgroupSize, and a name for each output that exists.

#include "common/step_state.wgsl"

struct Params {
  sequence: u32,
  mask_length: u32,
  grid_x: u32,
  batch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> state: array<StepState>;
#if attention_mask
@group(0) @binding(2) var<storage, read_write> attention_mask: array<i32>;
#endif
#if position_ids
@group(0) @binding(3) var<storage, read_write> position_ids: array<i32>;
#endif
#if total_length
@group(0) @binding(4) var<storage, read_write> total_length: array<i32>;
#endif
#if last_row
@group(0) @binding(5) var<storage, read_write> last_row: array<i32>;
#endif
#if last_position
@group(0) @binding(6) var<storage, read_write> last_position: array<i32>;
#endif
#if past_length
@group(0) @binding(7) var<storage, read_write> past_length: array<i32>;
#endif

@compute @workgroup_size(kWorkgroupSize)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let i = (workgroup.y * params.grid_x + workgroup.x) * kWorkgroupSize + local;
  let seq = workgroup.z;
  let past = state[seq].past_length;
  let end = past + params.sequence;
#if attention_mask
  if (i < params.mask_length) {
    attention_mask[seq * params.mask_length + i] = select(0, 1, i < end);
  }
#endif
#if position_ids
  if (i < params.sequence) {
    position_ids[seq * params.sequence + i] = i32(past + i);
  }
#endif
  if (i > 0u) {
    return;
  }
#if total_length
  total_length[seq] = i32(end);
#endif
#if last_position
  last_position[seq] = i32(end) - 1;
#endif
  if (seq > 0u) {
    return;
  }
#if last_row
  last_row[0] = select(0, i32(state[0].last_row), params.batch == 1u);
#endif
#if past_length
  past_length[0] = i32(past);
#endif
}
