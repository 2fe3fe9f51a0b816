// Tests sequences of models whose prompts must each be one run of exactly their tokens: here the
// mean over the new tokens, and a number made of the past's length, are parts of the logits.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "engine/sequence.h"
#include "interpret/interpreter.h"
#include "onnx/writer.h"
#include "passes/specialize.h"
#include "support/engine.h"

namespace sinter::engine {
namespace {

using graph::Graph;
using graph::Node;
using graph::Value;
using interpret::HostTensors;

constexpr int64_t kMaxLength = 64;

support::ModelSpec Spec() { return support::ModelNamed("qwen3_f32"); }

// x / (1 + past) - mean over the tokens of x / (1 + past), before the product that gives the
// logits.
void MixTokens(Graph& graph) {
  Node* head = graph.FindValue("logits")->producer();
  const auto op = [&](const char* name, std::vector<Value*> inputs) {
    Value* output = graph.AddValue(name);
    graph.AddNode(name, "", name, std::move(inputs), {output}, head);
    return output;
  };
  const auto number = [&](graph::Shape shape, int64_t value) {
    return graph.AddConstant("number", graph::Tensor::FromInts(DType::kI64, std::move(shape),
                                                               std::vector<int64_t>{value}));
  };
  Value* shape = op("Shape", {graph.FindValue("past_key_values.0.key")});
  Value* divisor = op("Cast", {op("Add", {op("Gather", {shape, number({}, 2)}), number({}, 1)})});
  divisor->producer()->attributes["to"] = static_cast<int64_t>(DType::kF32);
  Value* scaled = op("Div", {head->input(0), divisor});
  Value* mean = op("ReduceMean", {scaled, number({1}, 1)});
  mean->producer()->attributes["keepdims"] = int64_t{1};
  graph.SetInput(head, 0, op("Sub", {scaled, mean}));
}

// The model on real lengths, interpreted: each call is one run.
class Reference {
 public:
  explicit Reference(const Graph& graph) : graph_(graph) {
    for (int64_t layer = 0; layer < Spec().layers; ++layer) {
      for (const char* what : {"key", "value"})
        caches_[fmt::format(".{}.{}", layer, what)] = {
            DType::kF32, {1, Spec().kv_heads, 0, Spec().head_size}, {}, {}};
    }
  }

  std::vector<float> Run(const std::vector<int32_t>& tokens) {
    const auto n = static_cast<int64_t>(tokens.size()), total = past_ + n;
    const auto graph = passes::Specialize(graph_, {{"batch_size", 1},
                                                   {"sequence_length", n},
                                                   {"past_sequence_length", past_},
                                                   {"total_sequence_length", total}});
    HostTensors inputs;
    inputs["input_ids"] = {DType::kI64, {1, n}, {tokens.begin(), tokens.end()}, {}};
    inputs["attention_mask"] = {
        DType::kI64, {1, total}, std::vector<double>(static_cast<size_t>(total), 1), {}};
    for (const auto& [name, cache] : caches_) inputs["past_key_values" + name] = cache;
    HostTensors outputs = interpret::Interpret(*graph, inputs);
    for (auto& [name, cache] : caches_) cache = outputs.at("present" + name);
    past_ = total;
    const std::vector<double>& logits = outputs.at("logits").values;
    return {logits.end() - Spec().vocab, logits.end()};
  }

 private:
  const Graph& graph_;
  std::map<std::string, interpret::HostTensor> caches_;
  int64_t past_ = 0;
};

class ExactRuns : public ::testing::Test {
 protected:
  ExactRuns() {
    const support::TempFolder folder;
    support::WriteModelFolder(Spec(), folder.path());
    graph_ = support::ReadGraph(folder.path());
    MixTokens(*graph_);
    onnx::WriteModel(*graph_, folder.path() / "model.onnx");
    model_ = Model::Load(folder.path(), support::SharedDevice());
  }

  std::unique_ptr<Graph> graph_;
  std::shared_ptr<Model> model_;
};

TEST_F(ExactRuns, GiveTheModelsLogits) {
  EXPECT_TRUE(model_->run_form().exact);
  EXPECT_NE(model_->run_form().reason.find("node 'Cast'"), std::string::npos)
      << model_->run_form().reason;
  const std::vector<int32_t> tokens = support::RandomTokens(kMaxLength, 5);
  for (const int64_t length : {1, 21}) {
    // A prompt is one run whatever the chunk is.
    Sequence sequence(model_, {.max_length = kMaxLength, .chunk = 4});
    EXPECT_EQ(sequence.chunk(), kMaxLength);
    Reference reference(*graph_);
    int64_t at = 0;
    for (const int64_t count : {length, int64_t{1}, int64_t{1}, int64_t{6}, int64_t{1}}) {
      const std::vector<int32_t> part(tokens.begin() + at, tokens.begin() + at + count);
      sequence.Append(part);
      support::ExpectNear(sequence.Logits(), reference.Run(part));
      at += count;
    }
  }
}

TEST_F(ExactRuns, GenerateTheModelsTokens) {
  const std::vector<int32_t> prompt = support::RandomTokens(9, 7);
  Sequence sequence(model_, {.max_length = kMaxLength});
  sequence.Append(prompt);
  const std::vector<int32_t> got = support::Generate(sequence, 6);
  Reference reference(*graph_);
  std::vector<int32_t> want;
  std::vector<int32_t> next = prompt;
  while (want.size() < got.size()) {
    const std::vector<float> logits = reference.Run(next);
    want.push_back(static_cast<int32_t>(std::ranges::max_element(logits) - logits.begin()));
    next = {want.back()};
  }
  EXPECT_EQ(got, want);
}

TEST_F(ExactRuns, KeepOneProgramOfAPrompt) {
  Sequence sequence(model_, {.max_length = kMaxLength});
  const int64_t capacity = sequence.cache()->capacity();
  const auto has = [&](int64_t rows) {
    return model_->programs().Peek({rows, capacity, {}, false}) != nullptr;
  };
  sequence.Append(support::RandomTokens(5, 1));
  sequence.Append(support::RandomTokens(1, 2));
  EXPECT_TRUE(has(5) && has(1));
  sequence.Append(support::RandomTokens(7, 3));
  EXPECT_TRUE(has(7) && has(1));
  EXPECT_FALSE(has(5));
}

}  // namespace
}  // namespace sinter::engine
