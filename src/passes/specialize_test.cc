// Tests the binding of dimensions, folding, and the choice of branches.
#include "passes/specialize.h"

#include "base/error.h"
#include "passes/pass_testing.h"

namespace sinter::passes {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

void ExpectSpecialized(const std::string& before, const DimBinding& dims, const std::string& after,
                       const DimBinding& branch_dims = {}) {
  const auto graph = ParseBody(before);
  const std::string untouched = graph::Print(*graph);
  const auto program = Specialize(*graph, dims, branch_dims);
  graph::Verify(*program);
  EXPECT_EQ(graph::Print(*program), graph::Print(*ParseBody(after)));
  EXPECT_EQ(graph::Print(*graph), untouched);
}

std::string ErrorOf(const std::string& body, const DimBinding& dims) {
  try {
    Specialize(*ParseBody(body), dims);
  } catch (const Error& error) {
    return error.what();
  }
  return "fine";
}

TEST(Specialize, BindsDimensionsAndInfers) {
  ExpectSpecialized(R"(input %x: f16[batch, sequence, 4]
                       const %w: f16[4, 6] = zeros
                       %a = ai.onnx::MatMul(%x, %w)
                       %y: f16[wrong, hints, 6] = ai.onnx::Relu(%a)
                       return %y)",
                    {{"batch", 1}, {"sequence", 7}, {"unused", 3}},
                    R"(input %x: f16[1, 7, 4]
                       const %w: f16[4, 6] = zeros
                       %a: f16[1, 7, 6] = ai.onnx::MatMul(%x, %w)
                       %y: f16[1, 7, 6] = ai.onnx::Relu(%a)
                       return %y)");
}

TEST(Specialize, FoldsArithmeticOnShapes) {
  ExpectSpecialized(R"(input %x: f16[batch, sequence, 8]
                       const %one: i64[] = [1]
                       const %list: i64[1] = [0]
                       const %tail: i64[1] = [-1]
                       %shape = ai.onnx::Shape(%x)
                       %length = ai.onnx::Gather(%shape, %one)
                       %heads = ai.onnx::Mul(%length, %one)
                       %listed = ai.onnx::Unsqueeze(%heads, %list)
                       %target = ai.onnx::Concat(%listed, %tail) {axis = 0}
                       %y = ai.onnx::Reshape(%x, %target)
                       return %y)",
                    {{"batch", 2}, {"sequence", 3}},
                    R"(input %x: f16[2, 3, 8]
                       const %target: i64[2] = [3, -1]
                       %y: f16[3, 16] = ai.onnx::Reshape(%x, %target)
                       return %y)");
}

TEST(Specialize, AnOutputMayBeAConstant) {
  ExpectSpecialized("input %x: f16[n, 8] %y: i64[2] = ai.onnx::Shape(%x) return %y", {{"n", 5}},
                    "input %x: f16[5, 8] const %y: i64[2] = [5, 8] return %y");
}

TEST(Specialize, BigResultsStayNodes) {
  // 2^24 elements of 4 bytes are above 16 MiB.
  const auto graph = ParseBody(
      "const %s: i64[1] = [16777216] %y: f32[16777216] = ai.onnx::ConstantOfShape(%s) return %y");
  EXPECT_EQ(Specialize(*graph, {})->num_nodes(), 1u);
}

TEST(Specialize, EveryDimensionMustBeBound) {
  const char* body = "input %x: f16[batch, sequence] %y = ai.onnx::Relu(%x) return %y";
  EXPECT_EQ(ErrorOf(body, {{"batch", 1}}),
            "[graph] input 'x': dimension 'sequence' is not bound to a number");
  EXPECT_THAT(ErrorOf(body, {{"batch", 1}, {"sequence", -2}}), HasSubstr("got -2, want a number"));
  EXPECT_THAT(ErrorOf(body, {{"batch", int64_t{1} << 62}, {"sequence", 4}}), HasSubstr("2^63"));
  EXPECT_THAT(ErrorOf(body, {{"batch", int64_t{1} << 62}, {"sequence", 1}}), HasSubstr("2^56"));
  EXPECT_THAT(ErrorOf("input %x: f16[?] return %x", {}), HasSubstr("got neither number nor name"));
  EXPECT_THAT(ErrorOf("input %x: f16[*] return %x", {}), HasSubstr("got no shape, want one"));
  EXPECT_THAT(ErrorOf("input %x: ?[2] return %x", {}), HasSubstr("got no type, want one"));
}

TEST(Specialize, ShapesThatHangOnDataAreErrors) {
  EXPECT_THAT(
      ErrorOf("input %x: f16[2] input %s: i64[1] %y = ai.onnx::Reshape @r (%x, %s) return %y", {}),
      HasSubstr("node 'r' (ai.onnx::Reshape, version 23): input 1 (shape, 's')"));
}

TEST(Specialize, TypesThatDoNotFitAreErrors) {
  EXPECT_THAT(ErrorOf("input %x: f16[n] %y: f32[n] = ai.onnx::Relu @r (%x) return %y", {{"n", 1}}),
              HasSubstr("node 'r' (ai.onnx::Relu, version 23): output 'y': declared f32"));
  EXPECT_THAT(ErrorOf("input %x: f16[n] %y: i32[1] = ai.onnx::Shape @s (%x) return %y", {{"n", 1}}),
              HasSubstr("output 'y': declared i32, but the operator gives i64"));
}

// Graph with a short and a long table, as the model builder writes LongRoPE.
constexpr char kChoice[] = R"(
  input %mask: i64[batch, total]
  input %x: f16[2]
  const %one: i64[] = [1]
  const %limit: i64[] = [4]
  %shape = ai.onnx::Shape(%mask)
  %length = ai.onnx::Gather(%shape, %one)
  %is_long = ai.onnx::Greater(%length, %limit)
  %table = ai.onnx::If @choice (%is_long) {
    then_branch = graph { const %big: f16[2] = [7, 8] return %big },
    else_branch = graph { capture %x %small = ai.onnx::Neg @inner (%x) return %small }}
  %y = ai.onnx::Add(%x, %table)
  return %y)";

TEST(Specialize, PutsTheBranchInPlaceOfTheIf) {
  ExpectSpecialized(kChoice, {{"batch", 1}, {"total", 5}},
                    R"(input %mask: i64[1, 5] input %x: f16[2]
                       const %big: f16[2] = [7, 8]
                       %y: f16[2] = ai.onnx::Add(%x, %big)
                       return %y)");
  ExpectSpecialized(kChoice, {{"batch", 1}, {"total", 4}},
                    R"(input %mask: i64[1, 4] input %x: f16[2]
                       %small: f16[2] = ai.onnx::Neg @inner (%x)
                       %y: f16[2] = ai.onnx::Add(%x, %small)
                       return %y)");
}

TEST(Specialize, BranchDimensionsDecideBranchesOnly) {
  ExpectSpecialized(kChoice, {{"batch", 1}, {"total", 100}},
                    R"(input %mask: i64[1, 100] input %x: f16[2]
                       %small: f16[2] = ai.onnx::Neg @inner (%x)
                       %y: f16[2] = ai.onnx::Add(%x, %small)
                       return %y)",
                    {{"total", 3}});
}

TEST(Specialize, BranchesOnOutputsAndCaptures) {
  // Both outputs are the same outer value, and graph outputs. One of them becomes the value's name,
  // the other one an Identity.
  ExpectSpecialized(R"(input %x: f16[n] const %yes: bool[1] = [1]
                       %a = ai.onnx::Neg(%x)
                       %y, %z, _ = ai.onnx::If(%yes) {
                         then_branch = graph { capture %a return %a, %a, %a },
                         else_branch = graph { capture %x return %x, %x, %x }}
                       return %y, %z)",
                    {{"n", 1}},
                    R"(input %x: f16[1]
                       %y: f16[1] = ai.onnx::Neg(%x)
                       %z: f16[1] = ai.onnx::Identity(%y)
                       return %y, %z)");
}

TEST(Specialize, BranchesNestAndHangOnEachOther) {
  const char* body = R"(
    input %x: f16[n]
    const %zero: i64[] = [0]
    %shape = ai.onnx::Shape(%x)
    %n = ai.onnx::Gather(%shape, %zero)
    const %two: i64[] = [2]
    const %four: i64[] = [4]
    %above_two = ai.onnx::Greater(%n, %two)
    %limit = ai.onnx::If @outer (%above_two) {
      then_branch = graph {
        capture %n capture %four
        %above_four = ai.onnx::Greater(%n, %four)
        %inner_limit = ai.onnx::If @inner (%above_four) {
          then_branch = graph { capture %four return %four },
          else_branch = graph { const %three: i64[] = [3] return %three }}
        return %inner_limit },
      else_branch = graph { capture %two return %two }}
    %at_limit = ai.onnx::Equal(%n, %limit)
    %y: bool[] = ai.onnx::If @last (%at_limit) {
      then_branch = graph { capture %at_limit return %at_limit },
      else_branch = graph { capture %at_limit %no = ai.onnx::Identity(%at_limit) return %no }}
    return %y)";
  const std::pair<int64_t, int> cases[] = {{1, 0}, {2, 1}, {3, 1}, {4, 0}, {5, 0}};
  for (const auto& [n, at_limit] : cases) {
    ExpectSpecialized(
        body, {{"n", n}},
        fmt::format("input %x: f16[{}] const %y: bool[] = [{}] return %y", n, at_limit));
  }
  EXPECT_THAT(BranchDecisions(*ParseBody(body), {{"n", 3}}), ElementsAre(true, true));
  EXPECT_THAT(BranchDecisions(*ParseBody(body), {{"n", 5}}), ElementsAre(true, false));
}

TEST(Specialize, NamesThatStandTwiceAreKeptApart) {
  ExpectSpecialized(R"(input %x: f16[n] const %yes: bool[1] = [1]
                       %a = ai.onnx::Neg(%x)
                       %b = ai.onnx::If(%yes) {
                         then_branch = graph { capture %x %a = ai.onnx::Relu(%x) return %a },
                         else_branch = graph { capture %x return %x }}
                       %y = ai.onnx::Add(%a, %b)
                       return %y)",
                    {{"n", 1}},
                    R"(input %x: f16[1]
                       %a: f16[1] = ai.onnx::Neg(%x)
                       %a.0: f16[1] = ai.onnx::Relu(%x)
                       %y: f16[1] = ai.onnx::Add(%a, %a.0)
                       return %y)");
  EXPECT_THAT(ErrorOf(R"(input %x: f16[1] const %yes: bool[1] = [1]
                         %a = ai.onnx::Neg(%x)
                         %y = ai.onnx::If @outer (%yes) {
                           then_branch = graph {
                             capture %x capture %yes
                             %a = ai.onnx::Relu(%x)
                             %c = ai.onnx::If(%yes) {
                               then_branch = graph { capture %a return %a },
                               else_branch = graph { capture %a return %a }}
                             return %c },
                           else_branch = graph { capture %a return %a }}
                         return %y)",
                      {}),
              HasSubstr("node 'outer' (ai.onnx::If, version 23): value 'a' is defined both"));
}

TEST(Specialize, ConditionsOnDataAreErrors) {
  const std::string branches =
      "{then_branch = graph { capture %x return %x }, else_branch = graph { capture %x return %x "
      "}}";
  EXPECT_THAT(
      ErrorOf(
          "input %c: bool[1] input %x: f16[1] %y = ai.onnx::If @i (%c) " + branches + "return %y",
          {}),
      HasSubstr("node 'i' (ai.onnx::If, version 23): its condition 'c' is known only when"));
  EXPECT_THAT(ErrorOf("input %x: f16[1] const %c: i64[1] = [1] %y = ai.onnx::If @i (%c) " +
                          branches + "return %y",
                      {}),
              HasSubstr("condition: got i64[1], want one bool"));
  EXPECT_THAT(ErrorOf("input %x: f16[1] const %c: bool[2] = [1, 1] %y = ai.onnx::If @i (%c) " +
                          branches + "return %y",
                      {}),
              HasSubstr("condition: got bool[2], want one bool"));
}

TEST(Specialize, BranchesTakeNoInputs) {
  EXPECT_THAT(ErrorOf(R"(const %c: bool[1] = [1] %y = ai.onnx::If @i (%c) {
                           then_branch = graph { input %in: f16[1] return %in },
                           else_branch = graph { const %k: f16[1] = [1] return %k }} return %y)",
                      {}),
              HasSubstr("its branch has 1 inputs"));
}

TEST(Specialize, CyclesAreErrors) {
  // These graphs are not verified, because Verify would refuse them.
  const auto plain = graph::Parse(R"(graph { opset ai.onnx 21 %a = ai.onnx::Neg @one (%b)
                                     %b = ai.onnx::Neg @two (%a) return %a })");
  EXPECT_THROW(Specialize(*plain, {}), Error);
  const auto condition = graph::Parse(R"(graph { opset ai.onnx 21
      %a = ai.onnx::Not @one (%b) %b = ai.onnx::Not @two (%a)
      %y = ai.onnx::If(%a) {then_branch = graph { capture %a return %a },
                            else_branch = graph { capture %a return %a }} return %y })");
  EXPECT_THROW(BranchDecisions(*condition, {}), Error);
  EXPECT_THROW(Specialize(*condition, {}), Error);
  const auto captured = graph::Parse(R"(graph { opset ai.onnx 21 const %k: bool[1] = [1]
      %y = ai.onnx::If(%k) {then_branch = graph { capture %b return %b },
                            else_branch = graph { capture %b return %b }}
      %b = ai.onnx::Not(%y)
      %z = ai.onnx::If(%b) {then_branch = graph { capture %k return %k },
                            else_branch = graph { capture %k return %k }} return %z })");
  EXPECT_THROW(BranchDecisions(*captured, {}), Error);
}

TEST(Specialize, ValuesThatNobodyMakesAreErrors) {
  // These graphs are not verified either.
  const auto loose = graph::Parse(
      "graph { opset ai.onnx 21 value %x: f16[n] %y = ai.onnx::Relu @r (%x) return %y }");
  EXPECT_THROW(Specialize(*loose, {}), Error);
  const auto missing = graph::Parse(R"(graph { opset ai.onnx 21 const %k: bool[1] = [1]
      %y = ai.onnx::If(%k) {then_branch = graph { capture %b return %b },
                            else_branch = graph { capture %b return %b }} return %y })");
  EXPECT_THROW(Specialize(*missing, {}), Error);
  const auto outer = graph::Parse("graph { opset ai.onnx 21 capture %x return %x }");
  EXPECT_THROW(Specialize(*outer, {}), Error);
}

TEST(BranchDecisions, AreEmptyWithoutIf) {
  EXPECT_THAT(BranchDecisions(*ParseBody("input %x: f16[n] return %x"), {}), IsEmpty());
}

TEST(BranchDecisions, NeedOnlyWhatTheConditionReads) {
  const auto graph = ParseBody(kChoice);
  EXPECT_THAT(BranchDecisions(*graph, {{"batch", 1}, {"total", 4}}), ElementsAre(false));
  EXPECT_THAT(BranchDecisions(*graph, {{"batch", 1}, {"total", 5}}), ElementsAre(true));
  EXPECT_THROW(BranchDecisions(*graph, {{"batch", 1}}), Error);
}

TEST(BranchDecisions, ConditionsOfNothingAreErrors) {
  // These graphs are not verified, because Verify would refuse the first one.
  for (const char* head : {"capture %c: bool[1]", "input %c", "input %c: bool[*]"}) {
    const auto graph = graph::Parse(
        fmt::format("graph {{ opset ai.onnx 21 {} %y = ai.onnx::If(%c) {{then_branch = graph {{ "
                    "capture %c return %c }}, else_branch = graph {{ capture %c return %c }}}} "
                    "return %y }}",
                    head));
    EXPECT_THROW(BranchDecisions(*graph, {}), Error) << head;
  }
}

TEST(BranchDecisions, LongChainsDoNotExhaustTheStack) {
  std::string body = "input %x: f16[n] %v0 = ai.onnx::Shape(%x) const %one: i64[1] = [1] ";
  constexpr int kLength = 20000;
  for (int i = 0; i < kLength; ++i) {
    body += fmt::format("%v{} = ai.onnx::Add(%v{}, %one) ", i + 1, i);
  }
  body += fmt::format(
      "%c = ai.onnx::Greater(%v{}, %one) %y = ai.onnx::If(%c) {{then_branch = graph "
      "{{ capture %x return %x }}, else_branch = graph {{ capture %x return %x }}}} "
      "return %y",
      kLength);
  const auto graph = graph::Parse("graph { opset ai.onnx 21 " + body + "}");
  EXPECT_THAT(BranchDecisions(*graph, {{"n", 1}}), ElementsAre(true));
}

}  // namespace
}  // namespace sinter::passes
