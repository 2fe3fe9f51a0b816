#include "compile/lower/context.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/check.h"
#include "base/error.h"
#include "graph/fused.h"
#include "kernels/strided_copy/strided_copy.h"

namespace sinter::compile {
namespace {

// Kernels of which a variant can be forced: the names that lowerings pass to variant().
constexpr std::string_view kKernels[] = {"binary",
                                         "cast",
                                         "gated_activation",
                                         "gather",
                                         "gather_block_quantized",
                                         "group_query_attention",
                                         "group_query_attention_decode",
                                         "group_query_attention_prepare",
                                         "layer_norm",
                                         "matmul",
                                         "matmul_nbits",
                                         "layer_chain",
                                         "qmoe",
                                         "reduce",
                                         "rms_norm",
                                         "rotary_embedding",
                                         "softmax",
                                         "strided_copy",
                                         "unary",
                                         "where"};

bool IsQuantizedProduct(const graph::Node& node) {
  return graph::IsFusedProduct(node) ||
         (node.domain() == "com.microsoft" && node.op() == "MatMulNBits");
}

}  // namespace

bool IsKernel(std::string_view name) {
  return std::ranges::find(kKernels, name) != std::end(kKernels);
}

std::span<const std::string_view> Kernels() { return kKernels; }

LowerContext::LowerContext(const graph::Graph& graph, const Caps& caps,
                           const ExternalPlaces& places, const LowerOptions& options)
    : caps_(caps), places_(places), options_(options) {
  lowered_.page_entries = options.page_entries;
  for (const auto& node : graph.nodes()) {
    if (IsQuantizedProduct(*node)) continue;
    for (const graph::Value* value : node->inputs()) {
      if (value != nullptr && value->constant)
        read_by_others_.insert(value->constant->bytes.data());
    }
  }
}

void LowerContext::Begin(const graph::Node& node, size_t index) {
  node_ = &node;
  index_ = index;
}

void LowerContext::AddEmptyOutputs(const graph::Graph& graph) {
  for (const graph::Value* value : graph.outputs()) {
    if (!value->constant && graph::NumElements(value->shape()) == 0) BufferOf(value);
  }
}

bool LowerContext::wants(size_t output) const {
  const graph::Value* value = node_->output(output);
  return value != nullptr && (!value->uses().empty() || value->is_graph_output());
}

uint64_t LowerContext::DeviceBytes(const graph::Value* value) const {
  const DType device = kernels::DeviceDType(caps_, value->dtype);
  return DTypeBytes(device, static_cast<size_t>(graph::NumElements(value->shape())));
}

int LowerContext::AddBuffer(BufferInfo info) {
  lowered_.buffers.push_back(std::move(info));
  return static_cast<int>(lowered_.buffers.size()) - 1;
}

int LowerContext::BufferOf(const graph::Value* value) {
  if (const auto it = buffer_of_.find(value); it != buffer_of_.end()) return it->second;
  int buffer = -1;
  if (value->constant) {
    buffer = WeightBuffer({*value->constant}, {kernels::DeviceDType(caps_, value->dtype)},
                          value->name());
  } else {
    const bool external = value->producer() == nullptr || value->is_graph_output();
    const auto kind = external ? BufferInfo::Kind::kExternal : BufferInfo::Kind::kIntermediate;
    const auto place = external ? places_.find(value->name()) : places_.end();
    BufferInfo info = {.kind = kind, .name = value->name(), .bytes = DeviceBytes(value)};
    if (place == places_.end()) {
      buffer = AddBuffer(std::move(info));
    } else {
      const auto [it, fresh] = buffer_at_.try_emplace(place->second, -1);
      info.place = place->second;
      if (fresh) it->second = AddBuffer(std::move(info));
      buffer = it->second;
    }
  }
  buffer_of_[value] = buffer;
  return buffer;
}

std::optional<LowerContext::Bounds> LowerContext::Int64Bounds(size_t input) const {
  const graph::Value* value = node_->input(input);
  if (value == nullptr || !value->constant || value->dtype != DType::kI64 ||
      value->constant->num_elements() == 0) {
    return std::nullopt;
  }
  const std::vector<int64_t> elements = value->constant->ToInts();
  const auto [least, largest] = std::ranges::minmax(elements);
  return Bounds{least, largest};
}

BufferRef LowerContext::In(size_t input) {
  if (const std::optional<Bounds> bounds = Int64Bounds(input)) {
    if (bounds->least < INT32_MIN || bounds->largest > INT32_MAX) {
      throw Error("compile",
                  "{}: input '{}': got the int64 constant {}, want {} to {}: on the GPU integers "
                  "have 32 bits",
                  node_->Describe(), node_->input(input)->name(),
                  bounds->least < INT32_MIN ? bounds->least : bounds->largest, INT32_MIN,
                  INT32_MAX);
    }
  }
  return InSaturated(input);
}

BufferRef LowerContext::InSaturated(size_t input) {
  const graph::Value* value = node_->input(input);
  return value == nullptr ? BufferRef{} : BufferRef{BufferOf(value)};
}

int LowerContext::WeightBuffer(std::vector<graph::Tensor> tensors, const WeightForm& form,
                               std::string_view name) {
  const auto [it, fresh] = weight_of_.try_emplace(KeyOf(tensors, form), -1);
  if (fresh) {
    uint64_t bytes = 0;
    for (const graph::Tensor& tensor : tensors) bytes += compile::DeviceBytes(tensor, form.dtype);
    it->second =
        AddBuffer({BufferInfo::Kind::kWeight, std::string(name), bytes, std::move(tensors), form});
  }
  return it->second;
}

std::vector<graph::Tensor> LowerContext::Constants(std::span<const size_t> inputs) const {
  std::vector<graph::Tensor> tensors;
  for (const size_t input : inputs) {
    const graph::Value* value = node_->input(input);
    if (value == nullptr) return {};
    if (!value->constant) {
      throw Error("compile",
                  "{}: input '{}': got a value computed at run time, want a constant weight",
                  node_->Describe(), value->name());
    }
    const graph::Tensor& tensor = *value->constant;
    // Consecutive parts of one tensor are joined to that tensor again.
    if (!tensors.empty()) {
      graph::Tensor& last = tensors.back();
      if (last.dtype == tensor.dtype && last.owner == tensor.owner &&
          last.bytes.data() + last.bytes.size() == tensor.bytes.data()) {
        last.shape = {last.num_elements() + tensor.num_elements()};
        last.bytes = {last.bytes.data(), last.bytes.size() + tensor.bytes.size()};
        continue;
      }
    }
    tensors.push_back(tensor);
  }
  return tensors;
}

BufferRef LowerContext::Joined(std::span<const size_t> inputs, DType device_dtype, uint64_t rows,
                               uint64_t unit) {
  std::vector<graph::Tensor> tensors = Constants(inputs);
  if (tensors.empty()) return {};
  WeightForm form = {device_dtype};
  if (unit > 0) {
    uint64_t bytes = 0;
    for (const graph::Tensor& tensor : tensors) bytes += compile::DeviceBytes(tensor, device_dtype);
    form.row_bytes = bytes / rows;
    form.unit_bytes = unit * (device_dtype == DType::kU8 ? 1 : DTypeBytes(device_dtype, 1));
  }
  return {WeightBuffer(std::move(tensors), form, node_->input(inputs[0])->name())};
}

BufferRef LowerContext::InJoined(std::span<const size_t> inputs, uint64_t rows, uint64_t unit) {
  const graph::Value* first = node_->input(inputs[0]);
  if (first == nullptr) return {};
  return Joined(inputs, kernels::DeviceDType(caps_, first->dtype), rows, unit);
}

BufferRef LowerContext::InJoinedRaw(std::span<const size_t> inputs, uint64_t rows, uint64_t unit) {
  return Joined(inputs, DType::kU8, rows, unit);
}

bool LowerContext::IsOfProductsOnly(size_t input) const {
  const graph::Value* value = node_->input(input);
  return value == nullptr ||
         (value->constant && !read_by_others_.contains(value->constant->bytes.data()));
}

BufferRef LowerContext::InRaw(size_t input) { return InJoinedRaw(std::span(&input, 1)); }

BufferRef LowerContext::Out(size_t output) {
  return wants(output) ? BufferRef{BufferOf(node_->output(output))} : BufferRef{};
}

BufferRef LowerContext::Rows(BufferRef ref, uint64_t begin, uint64_t count, uint64_t row_bytes) {
  if (!ref) return ref;
  // Bindings are whole words. Buffers are padded to 16 bytes, so the rounded size stays inside.
  return {ref.buffer, ref.offset + begin * row_bytes, (count * row_bytes + 3) / 4 * 4};
}

BufferRef LowerContext::Scratch(uint64_t bytes, std::string_view what) {
  return {AddBuffer(
      {BufferInfo::Kind::kIntermediate, fmt::format("{}.{}", node_->name(), what), bytes})};
}

BufferRef LowerContext::Constant(graph::Tensor tensor, std::string_view what) {
  const DType device = kernels::DeviceDType(caps_, tensor.dtype);
  return {WeightBuffer({std::move(tensor)}, {device}, fmt::format("{}.{}", node_->name(), what))};
}

BufferRef LowerContext::Counters(uint64_t words) {
  const uint64_t bytes = words * sizeof(uint32_t);
  for (size_t i = 0; i < lowered_.buffers.size(); ++i) {
    BufferInfo& info = lowered_.buffers[i];
    if (info.kind != BufferInfo::Kind::kCounters) continue;
    info.bytes = std::max(info.bytes, bytes);
    return {static_cast<int>(i), 0, bytes};
  }
  lowered_.buffers.push_back({BufferInfo::Kind::kCounters, "counters", bytes});
  return {static_cast<int>(lowered_.buffers.size()) - 1, 0, bytes};
}

void LowerContext::InPages(size_t past, size_t present) {
  if (page_entries() == 0) return;
  const graph::Value* value = node_->input(past);
  if (value->producer() != nullptr || value->constant) {
    throw Error("compile",
                "{}: '{}': got a computed KV cache, want a graph input for caches in pages",
                node_->Describe(), value->name());
  }
  const graph::Shape shape = value->shape();
  if (shape[2] % kernels::kPageRows != 0) {
    throw Error("compile", "{}: '{}': got a KV cache of {} rows, want a multiple of {} (a page)",
                node_->Describe(), value->name(), shape[2], kernels::kPageRows);
  }
  for (const graph::Value* cache :
       {value, static_cast<const graph::Value*>(node_->output(present))}) {
    if (cache == nullptr) continue;
    for (const auto& [reader, index] : cache->uses()) {
      if (reader->op() == node_->op()) continue;
      throw Error("compile",
                  "{}: got a reader of the KV cache '{}', want only {} for caches in pages",
                  reader->Describe(), cache->name(), node_->op());
    }
  }
  BufferInfo& info = lowered_.buffers[static_cast<size_t>(BufferOf(value))];
  info.bytes = DeviceBytes(value) / static_cast<uint64_t>(shape[0]);
}

BufferRef LowerContext::PageTable(uint32_t batch) {
  if (page_entries() == 0) return {};
  const auto it = std::ranges::find(lowered_.buffers, kPageTable, &BufferInfo::name);
  if (it != lowered_.buffers.end()) return {static_cast<int>(it - lowered_.buffers.begin())};
  BufferInfo info = {.kind = BufferInfo::Kind::kExternal,
                     .name = std::string(kPageTable),
                     .bytes = uint64_t{batch} * page_entries() * sizeof(int32_t)};
  const auto place = places_.find(info.name);
  if (place != places_.end()) info.place = place->second;
  return {AddBuffer(std::move(info))};
}

BufferRef LowerContext::Faults() {
  const auto it = std::ranges::find(lowered_.buffers, BufferInfo::Kind::kFaults, &BufferInfo::kind);
  if (it != lowered_.buffers.end())
    return {static_cast<int>(it - lowered_.buffers.begin()), 0, sizeof(uint32_t)};
  return {AddBuffer({BufferInfo::Kind::kFaults, "faults", sizeof(uint32_t)}), 0, sizeof(uint32_t)};
}

std::string_view LowerContext::variant(std::string_view kernel) const {
  SINTER_CHECK(IsKernel(kernel), "kernel '{}' is not in the list of kernels", kernel);
  return ForcedVariant(options_.variants, kernel);
}

Dispatch& LowerContext::Emit(TunedPlan plan, std::vector<Operand> operands) {
  std::erase_if(operands, [](const Operand& operand) { return !operand.buffer; });
  Dispatch dispatch{std::move(plan)};
  dispatch.operands = std::move(operands);
  dispatch.nodes = {index_};
  dispatch.label = fmt::format("{} {}", node_->op(), node_->name());
  lowered_.dispatches.push_back(std::move(dispatch));
  return lowered_.dispatches.back();
}

void LowerContext::Alias(size_t output, size_t input) {
  if (!wants(output)) return;
  const graph::Value* to = node_->output(output);
  const int from = In(input).buffer;
  if (!to->is_graph_output()) {
    buffer_of_[to] = from;
    return;
  }
  const int64_t elems = graph::NumElements(to->shape());
  if (elems == 0) return;
  const kernels::StridedCopyShape copy =
      kernels::ExpandCopy(to->dtype, std::vector{elems}, std::vector{elems});
  using Roles = kernels::StridedCopyRoles;
  Emit(kernels::PlanStridedCopy(caps_, copy), {{Roles::kX, {from}}, {Roles::kY, Out(output)}});
}

void LowerContext::InPlace(size_t output, size_t input) {
  if (!wants(output)) return;
  const graph::Value* to = node_->output(output);
  const int from = In(input).buffer;
  if (const auto it = buffer_of_.find(to); it != buffer_of_.end()) {
    SINTER_CHECK(it->second == from, "{}: output {} has memory of its own", node_->Describe(),
                 output);
    return;
  }
  if (!to->is_graph_output()) {
    buffer_of_[to] = from;
    return;
  }
  if (BufferOf(to) != from) {
    throw Error("compile", "{}: '{}' and '{}': got two buffers, want one that is updated in place",
                node_->Describe(), node_->input(input)->name(), to->name());
  }
}

std::vector<int64_t> LowerContext::ConstantInts(size_t input) const {
  const graph::Value* value = node_->input(input);
  if (value == nullptr) return {};
  if (!value->constant) {
    throw Error("compile", "{}: input '{}': got a value computed at run time, want a constant",
                node_->Describe(), value->name());
  }
  return value->constant->ToInts();
}

}  // namespace sinter::compile
