// The work of a thread in a one-dimensional grid of workgroups of kThreads that the host folded
// into two dimensions (FoldGrid in kernel_plan.h). `grid_x` is the number of workgroups in a row of
// the grid.

const kThreads = 256u;

// Returns the index of the workgroup.
fn folded_group(workgroup: vec3<u32>, grid_x: u32) -> u32 {
  return workgroup.y * grid_x + workgroup.x;
}

// Returns the index of the thread; `local` is its index in the workgroup.
fn folded_thread(workgroup: vec3<u32>, local: u32, grid_x: u32) -> u32 {
  return folded_group(workgroup, grid_x) * kThreads + local;
}
