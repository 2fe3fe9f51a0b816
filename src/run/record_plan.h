// One plan over given buffers, recorded: for what is not part of a lowered graph (token choice,
// tests).
#pragma once

#include <span>
#include <string_view>

#include "gpu/device.h"
#include "kernels/kernel_plan.h"

namespace sinter::run {

// Compiles the plan if need be and appends its dispatch. `buffers` are the bindings from 1 on;
// empty ones are left out.
void RecordPlan(gpu::Device& device, const kernels::KernelPlan& plan,
                std::span<const gpu::Buffer> buffers, gpu::CommandList& list,
                std::string_view label = {});

}  // namespace sinter::run
