#include "run/record_plan.h"

#include "kernels/shader_source.h"

namespace sinter::run {

void RecordPlan(gpu::Device& device, const kernels::KernelPlan& plan,
                std::span<const RoleBuffer> buffers, gpu::CommandList& list,
                std::string_view label) {
  const wgsl::Shader spec = kernels::ExpandPlan(plan);
  const gpu::Pipeline pipeline = device.GetPipelines({&spec, 1})[0];
  std::vector<gpu::Binding> bindings;
  if (!plan.params.empty())
    bindings.push_back({0, device.CreateUniformBuffer(plan.params, plan.variant + ".params")});
  for (const auto& [role, buffer] : buffers) {
    if (buffer) bindings.push_back({role.binding, buffer});
  }
  list.Dispatch(pipeline, bindings, plan.workgroups, label);
}

void RecordPlan(gpu::Device& device, const kernels::KernelPlan& plan,
                std::span<const gpu::Buffer> buffers, gpu::CommandList& list,
                std::string_view label) {
  std::vector<RoleBuffer> at_roles;
  for (const gpu::Buffer& buffer : buffers)
    at_roles.push_back({{.binding = static_cast<uint32_t>(at_roles.size() + 1)}, buffer});
  RecordPlan(device, plan, at_roles, list, label);
}

}  // namespace sinter::run
