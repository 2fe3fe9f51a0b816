#include "compile/work.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "compile/chain.h"
#include "graph/fused.h"

namespace sinter::compile {
namespace {

double Elems(const graph::Value* value) {
  return value == nullptr || !value->has_static_shape()
             ? 0
             : static_cast<double>(graph::NumElements(value->shape()));
}

// Multiplications and additions of a whole node, resp. (attention) of one that sees the whole
// cache.
struct NodeFlops {
  double product = 0, attention = 0;
};

// The input that has the first layer of a mixture's experts; 0 for other operators.
size_t FirstLayerOf(const graph::Node& node) {
  if (node.op() == "NormQMoE") return graph::kMoeFc1;
  return node.op() == "QMoE" ? 2 : 0;
}

NodeFlops FlopsOf(const graph::Node& node) {
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
    // Every token goes through k experts: both products, of which the first may be gate and up in
    // one.
    const graph::Shape fc1 = node.input(first)->shape();
    const auto k = static_cast<double>(node.Int("k", 1));
    const double intermediate =
        static_cast<double>(fc1[1]) / (node.String("activation_type", "relu") == "swiglu" ? 2 : 1);
    return {2 * Elems(node.input(0)) * k * (static_cast<double>(fc1[1]) + intermediate), 0};
  }
  if (node.op() == "GroupQueryAttention" && node.input(3) != nullptr) {
    // Scores and their weighted sum of values: two products of each query's row with each row of
    // the cache.
    return {0, 4 * Elems(node.output(0)) * static_cast<double>(node.input(3)->shape()[2])};
  }
  return {};
}

// The share of its constants that a node needs: of a mixture of experts those that are chosen.
double WeightShare(const graph::Node& node) {
  const size_t first = FirstLayerOf(node);
  if (first == 0) return 1;
  const graph::Shape x = node.input(0)->shape();
  const double tokens = Elems(node.input(0)) / static_cast<double>(x.back());
  return std::min(1.0, tokens * static_cast<double>(node.Int("k", 1)) /
                           static_cast<double>(node.input(first)->shape()[0]));
}

bool ReadsByRow(const std::string& variant) {
  return variant.starts_with("gather") || variant.starts_with("rotary_embedding") ||
         variant.starts_with("group_query_attention");
}

// Whether the kernel reads the whole cache that it appends to.
bool ReadsWrittenCache(const std::string& variant) {
  return variant.starts_with("group_query_attention_decode") || variant.starts_with("layer_chain");
}

}  // namespace

std::vector<Work> WorkOf(const graph::Graph& graph, const Lowered& lowered,
                         const std::function<bool(const std::string& name)>& is_cache) {
  // By the label that lowering gives a node's dispatches; null where two nodes have it.
  std::map<std::string, const graph::Node*> nodes;
  for (const auto& node : graph.nodes()) {
    const auto [it, fresh] =
        nodes.try_emplace(fmt::format("{} {}", node->op(), node->name()), node.get());
    if (!fresh) it->second = nullptr;
  }
  const auto find = [&](const std::string& label) {
    const auto it = nodes.find(label);
    return it == nodes.end() ? nullptr : it->second;
  };
  // A node's products may be split over several dispatches, by rows of the weights.
  std::map<const graph::Node*, double> node_weight_bytes;
  std::vector<Work> works;
  std::vector<const graph::Node*> owners;
  for (const Dispatch& dispatch : lowered.dispatches) {
    const graph::Node* node = find(dispatch.label);
    Work work;
    double written = 0, weights = 0;
    for (size_t i = 0; i < dispatch.operands.size(); ++i) {
      const BufferRef& ref = dispatch.operands[i];
      if (!ref) continue;
      const BufferInfo& info = lowered.buffers[static_cast<size_t>(ref.buffer)];
      const auto bytes = static_cast<double>(ref.bytes != 0 ? ref.bytes : info.bytes - ref.offset);
      const bool cache = info.kind == BufferInfo::Kind::kExternal && is_cache(info.name);
      if (info.kind == BufferInfo::Kind::kCounters || info.kind == BufferInfo::Kind::kRows) {
        continue;  // Scratch, most of which a run does not touch.
      }
      if (info.kind == BufferInfo::Kind::kWeight) {
        weights += dispatch.is_chain() && IsTableOfChain(i) ? 0 : bytes;
      } else if (!cache) {
        (dispatch.writes[i] ? written : work.other_bytes) += bytes;
      } else if (!dispatch.writes[i] || ReadsWrittenCache(dispatch.plan.variant)) {
        work.cache_bytes += bytes;
      }
    }
    if (ReadsByRow(dispatch.plan.variant)) {
      // Into the cache as many bytes go as come in.
      weights = std::min(weights, written > 0 ? written : work.other_bytes);
    } else if (node != nullptr) {
      weights *= WeightShare(*node);
    }
    for (const std::string& part : dispatch.parts) {
      const graph::Node* of = find(part);
      if (of == nullptr) continue;
      work.flops += FlopsOf(*of).product;
      work.attention_flops += FlopsOf(*of).attention;
    }
    work.weight_bytes = weights;
    work.other_bytes += written;
    works.push_back(work);
    owners.push_back(node);
    node_weight_bytes[node] += weights;
  }
  for (size_t i = 0; i < works.size(); ++i) {
    if (owners[i] == nullptr) continue;
    const NodeFlops flops = FlopsOf(*owners[i]);
    if (works[i].cache_bytes > 0) works[i].attention_flops = flops.attention;
    if (node_weight_bytes[owners[i]] > 0) {
      works[i].flops = flops.product * works[i].weight_bytes / node_weight_bytes[owners[i]];
    } else {
      works[i].flops = flops.product;  // both operands are computed: one dispatch
    }
  }
  return works;
}

}  // namespace sinter::compile
