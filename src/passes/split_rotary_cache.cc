// GroupQueryAttention(..., %cos, %sin)
//   ->
// %long = Greater(Gather(Shape(%attention_mask), 1), N)
// %c, %s = If(%long) {then: Slice(%cos, N:), Slice(%sin, N:)
//                     else: Slice(%cos, :N), Slice(%sin, :N)}
// GroupQueryAttention(..., %c, %s)
//
// The rewrite applies to RotaryEmbedding too. N = options.multi_rotary_offset, and the caches must
// be constants.
//
// Models with LongRoPE that are built for graph capture contain no If: ONNX Runtime's WebGPU
// provider adds N to each position once the total length is greater than N. Specialize() decides
// the added If, and the slices become views of the cache.
#include "passes/split_rotary_cache.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/error.h"
#include "graph/tensor.h"

namespace sinter::passes {
namespace {

using graph::Graph;
using graph::Node;
using graph::Tensor;
using graph::Value;

// Returns the index of the input that holds the cosine cache (the sine cache is the next one), or
// -1 if the node rotates nothing.
int CosInput(const Node& node) {
  if (node.domain() == "com.microsoft" && node.op() == "GroupQueryAttention") {
    return node.Int("do_rotary", 0) != 0 ? 7 : -1;
  }
  if (node.op() != "RotaryEmbedding") return -1;
  if (node.domain() == "com.microsoft") return 2;
  // Without position ids, the caches hold one row per token, and there is nothing to choose.
  return node.domain().empty() && node.input(3) != nullptr ? 1 : -1;
}

Value* AddInts(Graph& graph, std::string_view name, const std::vector<int64_t>& values,
               graph::Shape shape) {
  return graph.AddConstant(name, Tensor::FromInts(DType::kI64, std::move(shape), values));
}

std::shared_ptr<Graph> MakeBranch(const Graph& outer, std::string_view name, const Value& cos,
                                  const Value& sin, int64_t start, int64_t end) {
  auto branch = std::make_shared<Graph>();
  branch->name = name;
  branch->opsets = outer.opsets;
  Value* starts = AddInts(*branch, "", {start}, {1});
  Value* ends = AddInts(*branch, "", {end}, {1});
  Value* axes = AddInts(*branch, "", {0}, {1});
  for (const Value* cache : {&cos, &sin}) {
    Value* captured = branch->FindValue(cache->name());
    if (captured == nullptr) captured = branch->AddCapture(cache->name());
    Value* rows = branch->AddValue(fmt::format("{}.{}", cache->name(), name));
    branch->AddNode(fmt::format("{}/{}", cache->name(), name), "", "Slice",
                    {captured, starts, ends, axes}, {rows});
    branch->AddOutput(rows);
  }
  return branch;
}

// Adds nodes that compute whether the total length is greater than `offset`, and returns their
// result.
Value* AddCondition(Graph& graph, const PassOptions& options, int64_t offset) {
  Value* mask = graph.FindValue(options.attention_mask);
  const auto& inputs = graph.inputs();
  if (mask == nullptr || std::find(inputs.begin(), inputs.end(), mask) == inputs.end() ||
      !mask->dims || mask->dims->size() != 2) {
    throw Error(
        "graph",
        "input '{}': got no such input of two dimensions, want one to choose the rotary cache by",
        options.attention_mask);
  }
  Node* first = graph.nodes().front().get();
  Value* shape = graph.AddValue("sinter.mask_shape");
  graph.AddNode("sinter/mask_shape", "", "Shape", {mask}, {shape}, first);
  Value* length = graph.AddValue("sinter.mask_length");
  graph.AddNode("sinter/mask_length", "", "Gather", {shape, AddInts(graph, "", {1}, {})}, {length},
                first);
  Value* is_long = graph.AddValue("sinter.is_long");
  graph.AddNode("sinter/is_long", "", "Greater", {length, AddInts(graph, "", {offset}, {})},
                {is_long}, first);
  return is_long;
}

}  // namespace

int SplitRotaryCache(Graph& graph, const PassOptions& options) {
  if (!options.multi_rotary_offset) return 0;
  const int64_t offset = *options.multi_rotary_offset;
  std::vector<std::pair<Node*, int>> readers;
  for (const auto& node : graph.nodes()) {
    const int cos = CosInput(*node);
    // Skips a computed cache (from an If, say): its table is chosen elsewhere.
    if (cos >= 0 && node->input(cos) != nullptr && node->input(cos + 1) != nullptr &&
        node->input(cos)->constant && node->input(cos + 1)->constant) {
      readers.emplace_back(node.get(), cos);
    }
  }
  Value* condition = nullptr;
  std::map<std::pair<Value*, Value*>, std::pair<Value*, Value*>> chosen;
  for (const auto& [node, index] : readers) {
    Value* cos = node->input(index);
    Value* sin = node->input(index + 1);
    auto& [new_cos, new_sin] = chosen[{cos, sin}];
    if (new_cos == nullptr) {
      for (const Value* cache : {cos, sin}) {
        const int64_t rows = cache->shape().empty() ? 0 : cache->shape()[0];
        if (offset <= 0 || offset >= rows) {
          throw Error("graph",
                      "{}: rotary cache '{}': got {} rows for an offset of {}, want more rows than "
                      "it and it > 0",
                      node->Describe(), cache->name(), rows, offset);
        }
      }
      if (condition == nullptr) condition = AddCondition(graph, options, offset);
      new_cos = graph.AddValue(fmt::format("{}.chosen", cos->name()));
      new_sin = graph.AddValue(fmt::format("{}.chosen", sin->name()));
      Node* choice = graph.AddNode("sinter/choose_rotary_cache", "", "If", {condition},
                                   {new_cos, new_sin}, node);
      choice->attributes["then_branch"] =
          MakeBranch(graph, "long", *cos, *sin, offset, cos->shape()[0]);
      choice->attributes["else_branch"] = MakeBranch(graph, "short", *cos, *sin, 0, offset);
    }
    graph.SetInput(node, index, new_cos);
    graph.SetInput(node, index + 1, new_sin);
  }
  return static_cast<int>(readers.size());
}

}  // namespace sinter::passes
