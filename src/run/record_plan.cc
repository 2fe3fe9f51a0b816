#include "run/record_plan.h"

#include "kernels/shader_source.h"

namespace sinter::run {

void RecordPlan(gpu::Device& device, const kernels::KernelPlan& plan,
                std::span<const gpu::Buffer> buffers, gpu::CommandList& list,
                std::string_view label) {
  const wgsl::Shader spec = kernels::ExpandPlan(plan);
  const gpu::Pipeline pipeline = device.GetPipelines({&spec, 1})[0];
  std::vector<gpu::Binding> bindings;
  if (!plan.params.empty())
    bindings.push_back({0, device.CreateUniformBuffer(plan.params, plan.variant + ".params")});
  for (size_t i = 0; i < buffers.size(); ++i) {
    if (buffers[i]) bindings.push_back({static_cast<uint32_t>(i + 1), buffers[i]});
  }
  list.Dispatch(pipeline, bindings, plan.workgroups, label);
}

}  // namespace sinter::run
