#include "compile/work.h"

#include <algorithm>
#include <map>

#include "graph/fused.h"
#include "graph/gqa_inputs.h"
#include "kernels/common/kv_pages.h"

namespace sinter::compile {
namespace {

bool IsAttention(const graph::Node& node) {
  return node.op() == "GroupQueryAttention" && node.input(graph::kPastKey) != nullptr;
}

double Elems(const graph::Value* value) {
  return value == nullptr || !value->has_static_shape()
             ? 0
             : static_cast<double>(graph::NumElements(value->shape()));
}

// Returns the rows that a sequence can have in a KV cache with `capacity` rows in a head.
double RowsOf(const Lowered& lowered, int64_t capacity) {
  return kernels::SequenceRows(static_cast<uint32_t>(capacity), lowered.page_entries);
}

// Returns the rows of KV caches that all sequences together can have, per row in memory: in pages,
// sequences have less than the whole memory, or share rows.
double CacheShare(const graph::Node& attention, const Lowered& lowered) {
  if (lowered.page_entries == 0) return 1;
  const graph::Shape past = attention.input(graph::kPastKey)->shape();
  return static_cast<double>(past[0]) * RowsOf(lowered, past[2]) / static_cast<double>(past[2]);
}

// Multiplications and additions of a whole node. `attention` assumes that the whole cache is
// visible.
struct NodeFlops {
  double product = 0, attention = 0;
};

// Returns the input index of the first layer of a mixture's experts; 0 for other operators.
size_t FirstLayerOf(const graph::Node& node) {
  if (node.op() == "NormQMoE") return graph::kMoeFc1;
  return node.op() == "QMoE" ? 2 : 0;
}

NodeFlops FlopsOf(const graph::Node& node, const Lowered& lowered) {
  if (graph::IsFusedProduct(node)) {
    const graph::FusedProduct product = graph::ReadFused(node);
    return {2 * Elems(node.input(0)) * static_cast<double>(product.n()), 0};
  }
  if (node.op() == "MatMulNBits")
    return {2 * Elems(node.input(0)) * static_cast<double>(node.Int("N", 0)), 0};
  if (node.op() == "MatMul") {
    const graph::Shape a = node.input(0)->shape();
    return {a.empty() ? 0 : 2 * Elems(node.output(0)) * static_cast<double>(a.back()), 0};
  }
  if (const size_t first = FirstLayerOf(node); first != 0) {
    // Every token goes through k experts and both of their products. The first product may compute
    // gate and up together.
    const graph::Shape fc1 = node.input(first)->shape();
    const auto k = static_cast<double>(node.Int("k", 1));
    const double intermediate =
        static_cast<double>(fc1[1]) / (node.String("activation_type", "relu") == "swiglu" ? 2 : 1);
    return {2 * Elems(node.input(0)) * k * (static_cast<double>(fc1[1]) + intermediate), 0};
  }
  if (IsAttention(node)) {
    // Scores and their weighted sum of values: two products of each query row with each row of the
    // cache.
    return {0,
            4 * Elems(node.output(0)) * RowsOf(lowered, node.input(graph::kPastKey)->shape()[2])};
  }
  return {};
}

// Returns the share of its constants that a node reads: for a mixture of experts, the experts that
// are chosen.
double WeightShare(const graph::Node& node) {
  const size_t first = FirstLayerOf(node);
  if (first == 0) return 1;
  const graph::Shape x = node.input(0)->shape();
  const double tokens = Elems(node.input(0)) / static_cast<double>(x.back());
  return std::min(1.0, tokens * static_cast<double>(node.Int("k", 1)) /
                           static_cast<double>(node.input(first)->shape()[0]));
}

}  // namespace

std::vector<Work> WorkOf(const graph::Graph& graph, const Lowered& lowered,
                         const std::function<bool(const std::string& name)>& is_cache) {
  std::vector<const graph::Node*> nodes;
  for (const auto& node : graph.nodes()) nodes.push_back(node.get());
  // Weight bytes of a node over all its dispatches: a product may be split by rows of the weight.
  std::map<size_t, double> node_weight_bytes;
  std::vector<Work> works;
  for (const Dispatch& dispatch : lowered.dispatches) {
    Work work;
    double written = 0, rows = 0;
    for (const Operand& operand : dispatch.operands) {
      const BufferInfo& info = lowered.buffers[static_cast<size_t>(operand.buffer.buffer)];
      const auto bytes = static_cast<double>(
          operand.buffer.bytes != 0 ? operand.buffer.bytes : info.bytes - operand.buffer.offset);
      const bool cache = info.kind == BufferInfo::Kind::kExternal && is_cache(info.name);
      // A run touches little of its scratch.
      if (operand.role.access == kernels::Access::kScratch) continue;
      if (info.kind == BufferInfo::Kind::kWeight) {
        (operand.role.access == kernels::Access::kReadRows ? rows : work.weight_bytes) += bytes;
      } else if (!cache) {
        (operand.writes() ? written : work.other_bytes) += bytes;
      } else if (operand.role.access != kernels::Access::kWrite) {
        work.cache_bytes += bytes;
      }
    }
    if (!dispatch.is_chain()) work.weight_bytes *= WeightShare(*nodes[dispatch.nodes[0]]);
    // The rows read from a table have as many bytes as the output, or as the input if the output is
    // the cache.
    for (const size_t node : dispatch.nodes) {
      if (!IsAttention(*nodes[node])) continue;
      work.cache_bytes *= CacheShare(*nodes[node], lowered);
      break;
    }
    work.weight_bytes += std::min(rows, written > 0 ? written : work.other_bytes);
    work.other_bytes += written;
    if (!dispatch.is_chain()) node_weight_bytes[dispatch.nodes[0]] += work.weight_bytes;
    works.push_back(work);
  }
  for (size_t i = 0; i < works.size(); ++i) {
    Work& work = works[i];
    const Dispatch& dispatch = lowered.dispatches[i];
    for (const size_t node : dispatch.nodes) {
      const NodeFlops flops = FlopsOf(*nodes[node], lowered);
      // A chain computes whole nodes. So does a product without weights, whose operands are both
      // computed.
      const double all = dispatch.is_chain() ? 0 : node_weight_bytes[node];
      work.flops += all > 0 ? flops.product * work.weight_bytes / all : flops.product;
      if (work.cache_bytes > 0) work.attention_flops += flops.attention;
    }
  }
  return works;
}

}  // namespace sinter::compile
