// Tests which graphs a model folder may contain.

#include "model/model_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "base/error.h"
#include "graph/gqa_inputs.h"
#include "graph/text.h"
#include "onnx/writer.h"
#include "support/model_builder.h"

namespace sinter::model {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Reads a folder whose graph has these nodes and returns the error message.
std::string ErrorOf(const std::string& nodes) {
  const support::TempFolder folder;
  support::WriteModelFolder(support::ModelNamed("phi3"), folder.path());
  const auto graph =
      graph::Parse("graph g { opset ai.onnx 21 opset com.microsoft 1 input %x: f32[2, 2] " + nodes);
  onnx::WriteModel(*graph, folder.path() / "model.onnx");
  try {
    ModelFolder::Read(folder.path());
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

constexpr char kExperts[] =
    "const %fc1: f32[2, 4, 2] = zeros const %fc2: f32[2, 2, 4] = zeros "
    "%y: f32[2, 2] = com.microsoft::MoE @the_experts (%x, %x, %fc1, _, %fc2) {k = 1} ";

TEST(ModelFolder, RefusesAnOperatorWithoutAKernel) {
  const auto refused = AllOf(HasSubstr("node 'the_experts' (com.microsoft::MoE, version 1)"),
                             HasSubstr("got an operator without a GPU kernel"));
  EXPECT_THAT(ErrorOf(std::string(kExperts) + "return %y }"), refused);
  // The check covers branches too.
  EXPECT_THAT(ErrorOf("const %yes: bool[] = [1] %z: f32[2, 2] = ai.onnx::If (%yes) {"
                      "then_branch = graph { capture %x " +
                      std::string(kExperts) +
                      "return %y }, else_branch = graph { capture %x return %x }} return %z }"),
              refused);
}

TEST(ModelFolder, TakesOperatorsThatAreOnlyFolded) {
  // The nodes pass: the error is the missing logits, which are checked after the nodes.
  EXPECT_THAT(ErrorOf("const %zero: i64[] = [0] const %one: i64[] = [1] const %yes: bool[] = [1] "
                      "%shape: i64[2] = ai.onnx::Shape (%x) "
                      "%rows: i64[] = ai.onnx::Gather (%shape, %zero) {axis = 0} "
                      "%range: i64[2] = ai.onnx::Range (%zero, %rows, %one) "
                      "%y: i64[2] = ai.onnx::If (%yes) {"
                      "then_branch = graph { capture %range return %range }, "
                      "else_branch = graph { capture %shape return %shape }} return %y }"),
              HasSubstr("graph output 'logits'"));
}

// Reads the folder of a model after `edit` has changed its graph, and returns the error message.
std::string ErrorOfEdited(const std::function<void(graph::Graph&)>& edit) {
  const support::TempFolder folder;
  support::WriteModelFolder(support::ModelNamed("phi3"), folder.path());
  const std::unique_ptr<graph::Graph> graph = support::ReadGraph(folder.path());
  edit(*graph);
  onnx::WriteModel(*graph, folder.path() / "model.onnx");
  try {
    ModelFolder::Read(folder.path());
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

// Inserts a Cast of the logits to `dtype`, the operator, if there is one, and a Cast back.
void InsertInType(graph::Graph& graph, DType dtype, const std::string& op) {
  graph::Value* logits = graph.FindValue("logits");
  graph::Value* value = graph.AddValue("before");
  graph.SetOutput(logits->producer(), 0, value);
  const auto add = [&](const std::string& name, std::vector<graph::Value*> inputs,
                       graph::Value* y = nullptr) {
    if (y == nullptr) y = graph.AddValue("");
    graph::Node* node = graph.AddNode("the_" + name, "", name, std::move(inputs), {y});
    return std::pair(node, y);
  };
  const auto cast = [&](graph::Value* from, DType to, graph::Value* y = nullptr) {
    const auto [node, result] = add("Cast", {from}, y);
    node->attributes["to"] = static_cast<int64_t>(to);
    return result;
  };
  const auto ints = [&](std::vector<int64_t> values) {
    return graph.AddConstant(
        "", graph::Tensor::FromInts(DType::kI64, {static_cast<int64_t>(values.size())}, values));
  };
  value = cast(value, dtype);
  if (op == "Where") {
    value = add(op, {cast(value, DType::kBool), value, value}).second;
  } else if (op == "Transpose") {
    const auto [node, result] = add(op, {value});
    node->attributes["perm"] = std::vector<int64_t>{0, 1, 2};
    value = result;
  } else if (op == "Slice") {
    value = add(op, {value, ints({0}), ints({INT64_MAX})}).second;
  } else if (op == "Concat") {
    const auto [node, result] = add(op, {value});
    node->attributes["axis"] = int64_t{0};
    value = result;
  } else if (op == "Expand") {
    value = add(op, {value, ints({1, 1, 1})}).second;
  } else if (op == "Gather") {
    value = add(op, {value, ints({0})}).second;
  } else if (!op.empty()) {
    value = add(op, {value}).second;
  }
  cast(value, logits->dtype, logits);
}

// Returns the error of a model whose logits go through the operator, if there is one, in `dtype`.
std::string ErrorOfType(DType dtype, const std::string& op) {
  return ErrorOfEdited([&](graph::Graph& graph) { InsertInType(graph, dtype, op); });
}

// What the operator table takes is refused at load if no kernel can do it.
TEST(ModelFolder, RefusesTypesWithoutAKernel) {
  const std::vector<std::string> moves = {"Where",  "Transpose", "Slice",
                                          "Concat", "Expand",    "Gather"};
  EXPECT_EQ(ErrorOfType(DType::kF32, ""), "");
  for (const DType dtype : {DType::kU8, DType::kF64, DType::kBF16, DType::kI8, DType::kU64}) {
    EXPECT_THAT(ErrorOfType(dtype, ""),
                AllOf(HasSubstr("node 'the_Cast'"), HasSubstr(DTypeName(dtype))));
  }
  for (const std::string& op : moves) {
    EXPECT_EQ(ErrorOfType(DType::kI64, op), "");
    EXPECT_THAT(ErrorOfType(DType::kU8, op), HasSubstr("got u8"));
  }
  // Operators of the table whose kernels take other types.
  EXPECT_THAT(ErrorOfType(DType::kF64, "Neg"), HasSubstr("got f64"));
  EXPECT_THAT(ErrorOfType(DType::kF64, "ReduceMax"), HasSubstr("got f64"));
}

TEST(ModelFolder, RefusesInputsThatTheConfigurationDoesNotName) {
  const auto add = [](graph::Graph& graph, bool read) {
    graph::Value* input = graph.AddInput("token_type_ids", DType::kI64,
                                         graph::Dims{graph::Dim(1), graph::Dim("sequence_length")});
    if (!read) return;
    graph::Node* gather = graph.nodes().front().get();
    graph.SetInput(gather, 1, input);
  };
  EXPECT_THAT(ErrorOfEdited([&](graph::Graph& graph) { add(graph, true); }),
              HasSubstr("[model] graph input 'token_type_ids': got an input that "
                        "genai_config.json does not name, want only 'input_ids'"));
  // One that no node reads does no harm.
  EXPECT_EQ(ErrorOfEdited([&](graph::Graph& graph) { add(graph, false); }), "");
}

TEST(ModelFolder, RefusesACacheThatIsNotUpdatedInPlace) {
  const auto concat = [](graph::Graph& graph) {
    graph::Value* present = graph.FindValue("present.1.value");
    graph::Value* past = graph.FindValue("past_key_values.1.value");
    graph::Node* attention = present->producer();
    graph.SetOutput(attention, 2, nullptr);
    graph.AddNode("joined", "", "Concat", {past, past}, {present})->attributes["axis"] = int64_t{2};
  };
  EXPECT_THAT(ErrorOfEdited(concat),
              HasSubstr("[model] graph output 'present.1.value': got node 'joined' "
                        "(ai.onnx::Concat, version 21), want a GroupQueryAttention that updates "
                        "the cache 'past_key_values.1.value' in place"));
  // The past of another layer is not this layer's cache.
  EXPECT_THAT(ErrorOfEdited([](graph::Graph& graph) {
                graph.SetInput(graph.FindValue("present.1.key")->producer(), graph::kPastKey,
                               graph.FindValue("past_key_values.0.key"));
              }),
              HasSubstr("graph output 'present.1.key'"));
}

}  // namespace
}  // namespace sinter::model
