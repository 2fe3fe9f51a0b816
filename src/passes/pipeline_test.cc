// Tests the driver: order, switches, reports, and the check after each pass.
#include "passes/pipeline.h"

#include "base/error.h"
#include "passes/pass_testing.h"

namespace sinter::passes {
namespace {

constexpr char kBody[] = R"(
  input %attention_mask: i64[1, 512]
  const %one: i64[1] = [1]
  %cast: i64[1, 512] = ai.onnx::Cast(%attention_mask) {to = 7}
  %sum: i64[1] = ai.onnx::ReduceSum(%cast, %one) {keepdims = 0}
  %same: i64[1] = ai.onnx::Identity(%sum)
  %y: i64[1] = ai.onnx::Sub(%same, %one)
  %unread: i64[1] = ai.onnx::Neg(%y)
  return %y)";

TEST(Pipeline, RunsEveryPassAndReportsIt) {
  const auto graph = ParseBody(kBody);
  const std::vector<PassReport> reports = RunPasses(*graph, Stage::kProgram, {});
  ASSERT_EQ(reports.size(), Passes(Stage::kProgram).size());
  for (size_t i = 0; i < reports.size(); ++i) {
    EXPECT_EQ(reports[i].name, Passes(Stage::kProgram)[i].name);
    EXPECT_GE(reports[i].milliseconds, 0);
  }
  EXPECT_EQ(graph::Print(*graph), graph::Print(*ParseBody(
                                      R"(input %sinter.total_length: i64[1]
                                         const %one: i64[1] = [1]
                                         %y: i64[1] = ai.onnx::Sub(%sinter.total_length, %one)
                                         return %y)")));
}

TEST(Pipeline, EachPassCanBeSwitchedOff) {
  for (const Stage stage : {Stage::kModel, Stage::kProgram}) {
    for (const Pass& pass : Passes(stage)) {
      PassOptions options;
      options.disabled = {std::string(pass.name)};
      const auto graph = ParseBody(kBody);
      for (const PassReport& report : RunPasses(*graph, stage, options)) {
        EXPECT_NE(report.name, pass.name);
      }
    }
  }
  PassOptions all_off;
  for (const Pass& pass : Passes(Stage::kProgram)) all_off.disabled.emplace(pass.name);
  const auto graph = ParseBody(kBody);
  EXPECT_TRUE(RunPasses(*graph, Stage::kProgram, all_off).empty());
  EXPECT_EQ(graph::Print(*graph), graph::Print(*ParseBody(kBody)));
}

TEST(Pipeline, AnUnknownPassIsAnError) {
  PassOptions options;
  options.disabled = {"no_such_pass"};
  const auto graph = ParseBody(kBody);
  try {
    RunPasses(*graph, Stage::kProgram, options);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "[passes] disabled pass: got 'no_such_pass', want the name of a pass");
  }
}

}  // namespace
}  // namespace sinter::passes
