#include "run/compiled_program.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "kernels/shader_source.h"

namespace sinter::run {

using compile::BufferInfo;
using Kind = BufferInfo::Kind;

CompiledProgram::CompiledProgram(std::shared_ptr<gpu::Device> device, WeightStore& weights,
                                 const graph::Graph& graph, compile::Lowered lowered)
    : device_(std::move(device)),
      lowered_(std::move(lowered)),
      memory_(compile::PlanMemory(lowered_)) {
  for (const graph::Value* input : graph.inputs()) inputs_.insert(input->name());
  inputs_.emplace(compile::kPageTable);
  CheckBindingSizes();
  std::vector<wgsl::Shader> shaders;
  for (const compile::Dispatch& dispatch : lowered_.dispatches)
    shaders.push_back(kernels::ExpandPlan(dispatch.plan));
  pipelines_ = device_->GetPipelines(shaders);

  std::vector<gpu::Buffer> slots;
  for (size_t i = 0; i < memory_.slot_bytes.size(); ++i) {
    slots.push_back(device_->CreateBuffer(memory_.slot_bytes[i], fmt::format("workspace {}", i)));
  }
  for (size_t i = 0; i < lowered_.buffers.size(); ++i) {
    const BufferInfo& info = lowered_.buffers[i];
    gpu::BufferRange buffer;
    if (info.kind == Kind::kWeight) {
      buffer = weights.Get(info.tensors, info.form, info.name);
    } else if (info.kind == Kind::kIntermediate) {
      if (memory_.slot_of[i] >= 0) buffer = slots[static_cast<size_t>(memory_.slot_of[i])];
    } else if (info.kind == Kind::kCounters) {
      buffer = device_->CreateBuffer(info.bytes, info.name);
      device_->Upload(buffer.buffer, 0,
                      std::vector<std::byte>(kernels::kCounterWords * sizeof(uint32_t)));
    } else if (info.kind == Kind::kRows) {
      buffer = MakeRows(info);
    } else if (info.kind == Kind::kFaults) {
      buffer = faults_ = device_->CreateBuffer(info.bytes, info.name);
      device_->Upload(faults_, 0, std::vector<std::byte>(info.bytes));
    }
    buffers_.push_back(std::move(buffer));
  }

  const uint64_t alignment = device_->caps().limits.min_uniform_offset_alignment;
  std::vector<std::byte> params;
  for (const compile::Dispatch& dispatch : lowered_.dispatches) {
    params.resize((params.size() + alignment - 1) / alignment * alignment);
    params_offset_.push_back(params.size());
    params.insert(params.end(), dispatch.plan.params.begin(), dispatch.plan.params.end());
  }
  params_ = device_->CreateUniformBuffer(params, "params");
}

void CompiledProgram::CheckBindingSizes() const {
  const uint64_t limit = device_->caps().limits.max_storage_binding_bytes;
  for (const compile::Dispatch& dispatch : lowered_.dispatches) {
    for (const compile::Operand& operand : dispatch.operands) {
      const BufferInfo& info = lowered_.buffers[static_cast<size_t>(operand.buffer.buffer)];
      const uint64_t bytes = operand.buffer.bytes != 0 ? operand.buffer.bytes : info.bytes;
      if (bytes > limit) {
        throw gpu::ResourceError(
            "run",
            "{}: buffer '{}': got {} bytes, want at most {} (this adapter's largest "
            "storage binding)",
            dispatch.label, info.name, bytes, limit);
      }
    }
  }
}

gpu::Buffer CompiledProgram::MakeRows(const BufferInfo& info) const {
  gpu::Buffer rows = device_->CreateBuffer(info.bytes, info.name);
  gpu::CommandList clear(*device_);
  clear.Clear(rows, 0, rows.size_bytes());
  device_->Submit(clear);
  return rows;
}

gpu::Buffer CompiledProgram::rows() const {
  for (size_t i = 0; i < lowered_.buffers.size(); ++i) {
    if (lowered_.buffers[i].kind == Kind::kRows) return buffers_[i].buffer;
  }
  return {};
}

bool CompiledProgram::has_chains() const {
  return std::ranges::any_of(lowered_.dispatches, &compile::Dispatch::is_chain);
}

void UploadWeights(const compile::Lowered& lowered, WeightStore& weights) {
  for (const BufferInfo& info : lowered.buffers) {
    if (info.kind == Kind::kWeight) weights.Get(info.tensors, info.form, info.name);
  }
}

}  // namespace sinter::run
