// Records one plan over given buffers, for work that is not part of a lowered graph (token choice,
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

// Compiles the plan unless it is already compiled, and appends its dispatch to `list`. Empty
// buffers are not bound.
void RecordPlan(gpu::Device& device, const kernels::KernelPlan& plan,
                std::span<const RoleBuffer> buffers, gpu::CommandList& list,
                std::string_view label = {});
// Does the same with `buffers` at consecutive bindings from 1 on, for tests, whose operands are
// tables.
void RecordPlan(gpu::Device& device, const kernels::KernelPlan& plan,
                std::span<const gpu::Buffer> buffers, gpu::CommandList& list,
                std::string_view label = {});

}  // namespace sinter::run
