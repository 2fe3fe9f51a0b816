#include "compile/lowering.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/check.h"
#include "base/error.h"
#include "compile/chain.h"
#include "compile/lower/ops.h"
#include "graph/fused.h"
#include "kernels/cast/cast.h"
#include "kernels/strided_copy/strided_copy.h"

namespace sinter::compile {
namespace {

using LowerFunction = void (*)(LowerContext&);

struct OpLowering {
  std::string_view domain, op;
  LowerFunction lower;
};

constexpr std::string_view kMicrosoft = "com.microsoft";
constexpr std::string_view kFused = graph::kFusedDomain;

// One line an operator; several names may share a lowering. Operators that only compute shapes
// (Shape, Range, If, ...) are folded away before lowering.
constexpr OpLowering kLowerings[] = {
    {kMicrosoft, "MatMulNBits", LowerMatMulNBits},
    {kFused, "MatMulNBitsQkv", LowerFusedProduct},
    {kFused, "NormMatMulNBits", LowerFusedProduct},
    {kFused, "MatMulNBitsMlp", LowerFusedProduct},
    {kFused, "MatMulNBitsAdd", LowerFusedProduct},
    {kFused, "NormQMoE", LowerNormQMoE},
    {kMicrosoft, "GatherBlockQuantized", LowerGatherBlockQuantized},
    {kMicrosoft, "QMoE", LowerQMoE},
    {kMicrosoft, "GroupQueryAttention", LowerGroupQueryAttention},
    {kMicrosoft, "MultiHeadAttention", LowerAttention},
    {"", "Attention", LowerAttention},
    {kMicrosoft, "RotaryEmbedding", LowerRotaryEmbedding},
    {"", "RotaryEmbedding", LowerOnnxRotaryEmbedding},
    {kMicrosoft, "SkipSimplifiedLayerNormalization", LowerSkipSimplifiedLayerNormalization},
    {kMicrosoft, "SimplifiedLayerNormalization", LowerSimplifiedLayerNormalization},
    {"", "SimplifiedLayerNormalization", LowerSimplifiedLayerNormalization},
    {"", "RMSNormalization", LowerSimplifiedLayerNormalization},
    {"", "MatMul", LowerMatMul},
    {"", "Gather", LowerGather},
    {"", "Softmax", LowerSoftmax},
    {"", "Cast", LowerCast},
    {"", "Where", LowerWhere},
    {"", "ReduceSum", LowerReduce},
    {"", "ReduceMax", LowerReduce},
    {"", "ReduceMean", LowerReduce},
    {"", "ReduceMin", LowerReduce},
    {"", "ReduceProd", LowerReduce},
    {"", "ReduceL2", LowerReduce},
    {"", "ReduceSumSquare", LowerReduce},
    {"", "Identity", LowerView},
    {"", "Reshape", LowerView},
    {"", "Flatten", LowerView},
    {"", "Squeeze", LowerView},
    {"", "Unsqueeze", LowerView},
    {"", "Transpose", LowerTranspose},
    {"", "Slice", LowerSlice},
    {"", "Split", LowerSplit},
    {"", "Concat", LowerConcat},
    {"", "Expand", LowerExpand},
    {kMicrosoft, "QuickGelu", LowerUnary},
    {kMicrosoft, "FastGelu", LowerFastGelu},
    {kMicrosoft, "Gelu", LowerUnary},
};

// What a variant can be forced of: the names by which lowerings ask for theirs.
constexpr std::string_view kKernels[] = {"binary",
                                         "cast",
                                         "gated_activation",
                                         "gather",
                                         "gather_block_quantized",
                                         "group_query_attention",
                                         "group_query_attention_decode",
                                         "group_query_attention_prepare",
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

bool IsKernel(std::string_view name) {
  return std::find(std::begin(kKernels), std::end(kKernels), name) != std::end(kKernels);
}

bool IsQuantizedProduct(const graph::Node& node) {
  return graph::IsFusedProduct(node) || (node.domain() == kMicrosoft && node.op() == "MatMulNBits");
}

LowerFunction FindLowering(std::string_view domain, std::string_view op) {
  for (const OpLowering& lowering : kLowerings) {
    if (lowering.domain == domain && lowering.op == op) return lowering.lower;
  }
  return domain.empty() ? FindElementwiseLowering(op) : nullptr;
}

}  // namespace

bool CanLower(std::string_view domain, std::string_view op) {
  return FindLowering(domain, op) != nullptr;
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
    const auto place = external ? places_->find(value->name()) : places_->end();
    BufferInfo info = {.kind = kind, .name = value->name(), .bytes = DeviceBytes(value)};
    if (place == places_->end()) {
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

BufferRef LowerContext::In(size_t input) {
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
    // Halves of one tensor are that tensor again.
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
  // Bindings are whole words; buffers are padded to 16 bytes, so rounding up stays inside.
  return {ref.buffer, ref.offset + begin * row_bytes, (count * row_bytes + 3) / 4 * 4};
}

BufferRef LowerContext::Scratch(uint64_t bytes, std::string_view what) {
  return {AddBuffer(
      {BufferInfo::Kind::kIntermediate, fmt::format("{}.{}", node_->name(), what), bytes})};
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

std::string_view LowerContext::variant(std::string_view kernel) const {
  SINTER_CHECK(IsKernel(kernel), "kernel '{}' is not in the list of kernels", kernel);
  const auto it = variants_.find(kernel);
  return it == variants_.end() ? std::string_view{} : std::string_view(it->second);
}

std::string_view LowerContext::chosen(std::string_view guess) const {
  const auto it = choices_.find(guess);
  return it == choices_.end() ? std::string_view{} : std::string_view(it->second);
}

void LowerContext::Offer(std::string_view guess,
                         std::function<std::vector<Alternative>()> alternatives) {
  lowered_.dispatches.back().choice = guess;
  lowered_.dispatches.back().alternatives = std::move(alternatives);
}

void LowerContext::OfferToChain(const kernels::MatMulNBitsShape& product) {
  lowered_.dispatches.back().product = product;
}

void LowerContext::OfferToChain(const kernels::GroupQueryAttentionDecodeShape& attention) {
  lowered_.dispatches.back().attention = attention;
}

void LowerContext::OfferToChain(const kernels::ChainTable& table) {
  lowered_.dispatches.back().table = table;
}

void LowerContext::Emit(kernels::KernelPlan plan, std::vector<BufferRef> operands,
                        std::initializer_list<size_t> written) {
  Dispatch dispatch;
  dispatch.plan = std::move(plan);
  dispatch.writes.resize(operands.size());
  for (const size_t i : written) dispatch.writes[i] = true;
  dispatch.operands = std::move(operands);
  dispatch.label = fmt::format("{} {}", node_->op(), node_->name());
  lowered_.dispatches.push_back(std::move(dispatch));
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
  Emit(kernels::PlanStridedCopy(caps_, copy), {{from}, Out(output)}, {1});
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

Lowered Lower(const graph::Graph& graph, const Caps& caps, const ExternalPlaces& places,
              const ForcedVariants& variants, const Choices& choices, bool chain) {
  for (const auto& [kernel, variant] : variants) {
    if (!IsKernel(kernel)) {
      throw Error("compile", "forced variant: got kernel '{}', want one of: {}", kernel,
                  fmt::join(kKernels, ", "));
    }
  }
  LowerContext context(caps, variants, choices);
  context.places_ = &places;
  for (const auto& node : graph.nodes()) {
    if (IsQuantizedProduct(*node)) continue;
    for (const graph::Value* value : node->inputs()) {
      if (value != nullptr && value->constant)
        context.read_by_others_.insert(value->constant->bytes.data());
    }
  }
  for (const auto& node : graph.nodes()) {
    const LowerFunction lower = FindLowering(node->domain(), node->op());
    if (lower == nullptr) {
      throw Error("compile",
                  "{}: got an operator without a GPU kernel, want one that is folded or has one",
                  node->Describe());
    }
    context.node_ = node.get();
    try {
      lower(context);
    } catch (const Error& error) {
      // Kernels know no nodes: say which one asked.
      if (std::string_view(error.what()).find(node->name()) != std::string_view::npos) throw;
      throw Error("compile", "{}: {}", node->Describe(), error.what());
    }
  }
  Lowered lowered = context.Take();
  if (chain) ChainProducts(lowered, caps, variants, choices);
  return lowered;
}

}  // namespace sinter::compile
