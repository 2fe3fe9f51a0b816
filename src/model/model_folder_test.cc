// Tests which graphs a model folder may contain.

#include "model/model_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
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

}  // namespace
}  // namespace sinter::model
