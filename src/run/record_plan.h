// One plan over given buffers, recorded: for what is not part of a lowered graph (token choice,
// tests).
#pragma once

#include <span>
#include <string_view>

#include "gpu/device.h"
#include "kernels/kernel_plan.h"
#include "kernels/operand.h"

namespace sinter::run {

struct RoleBuffer {
  kernels::Role role;
  gpu::Buffer buffer;
};

// Compiles the plan unless it is compiled, and appends its dispatch. Empty buffers are left out.
void RecordPlan(gpu::Device& device, const kernels::KernelPlan& plan,
                std::span<const RoleBuffer> buffers, gpu::CommandList& list,
                std::string_view label = {});
// The same, with `buffers` at the bindings from 1 on: for tests, whose operands are tables.
void RecordPlan(gpu::Device& device, const kernels::KernelPlan& plan,
                std::span<const gpu::Buffer> buffers, gpu::CommandList& list,
                std::string_view label = {});

}  // namespace sinter::run
