#include "passes/fuse_layer_norm.h"

#include <fmt/format.h>

#include "passes/pass_testing.h"

namespace sinter::passes {
namespace {

constexpr char kInputs[] = R"(
  input %x: f16[2, 3, 4] input %gamma: f16[4] input %beta: f16[4]
  const %axis: i64[1] = [-1] const %two: f16[] = [2] const %eps: f16[1] = [0.5]
  const %half: f16[] = [0.5] const %minus: f16[] = [-0.5] const %one: f16[] = [1] )";

std::string Body(const std::string& square, const std::string& quotient,
                 const std::string& rest =
                     "%g: f16[2, 3, 4] = ai.onnx::Mul (%n, %gamma) "
                     "%y: f16[2, 3, 4] = ai.onnx::Add @norm (%beta, %g)") {
  return fmt::format(R"({}
    %mu: f16[2, 3, 1] = ai.onnx::ReduceMean (%x, %axis)
    %d: f16[2, 3, 4] = ai.onnx::Sub (%x, %mu)
    %s: f16[2, 3, 4] = {}
    %v: f16[2, 3, 1] = ai.onnx::ReduceMean (%s, %axis)
    %e: f16[2, 3, 1] = ai.onnx::Add (%v, %eps)
    {} {} return %y)",
                     kInputs, square, quotient, rest);
}

constexpr char kSquare[] = "ai.onnx::Pow (%d, %two)";
constexpr char kQuotient[] =
    "%r: f16[2, 3, 1] = ai.onnx::Sqrt (%e) %n: f16[2, 3, 4] = ai.onnx::Div (%d, %r)";

TEST(FuseLayerNorm, KnowsTheForms) {
  const std::string fused = std::string(kInputs) +
                            "%y: f16[2, 3, 4] = ai.onnx::LayerNormalization @norm (%x, %gamma, "
                            "%beta) {axis = -1, epsilon = 0.5f} return %y";
  for (const char* square : {kSquare, "ai.onnx::Mul (%d, %d)"}) {
    for (const char* quotient :
         {kQuotient,
          "%r: f16[2, 3, 1] = ai.onnx::Pow (%e, %half) %n: f16[2, 3, 4] = ai.onnx::Div (%d, %r)",
          "%r: f16[2, 3, 1] = ai.onnx::Sqrt (%e) %i: f16[2, 3, 1] = ai.onnx::Reciprocal (%r) "
          "%n: f16[2, 3, 4] = ai.onnx::Mul (%i, %d)",
          "%r: f16[2, 3, 1] = ai.onnx::Sqrt (%e) %i: f16[2, 3, 1] = ai.onnx::Div (%one, %r) "
          "%n: f16[2, 3, 4] = ai.onnx::Mul (%d, %i)",
          "%r: f16[2, 3, 1] = ai.onnx::Pow (%e, %minus) "
          "%n: f16[2, 3, 4] = ai.onnx::Mul (%d, %r)"}) {
      ExpectRewrite(FuseLayerNorm, {}, Body(square, quotient), fused, 1);
    }
  }
}

TEST(FuseLayerNorm, NeedsNeitherScaleNorBias) {
  const std::string ones = std::string(kInputs) + "const %ones: f16[4] = [1, 1, 1, 1] ";
  ExpectRewrite(FuseLayerNorm, {}, Body(kSquare, kQuotient, "%y: f16[2, 3, 4] = ai.onnx::Neg (%n)"),
                ones +
                    "%n: f16[2, 3, 4] = ai.onnx::LayerNormalization (%x, %ones) {axis = -1, "
                    "epsilon = 0.5f} %y: f16[2, 3, 4] = ai.onnx::Neg (%n) return %y",
                1);
  ExpectRewrite(
      FuseLayerNorm, {},
      Body(kSquare, kQuotient, "%y: f16[2, 3, 4] = ai.onnx::Add @norm (%n, %beta)"),
      ones +
          "%y: f16[2, 3, 4] = ai.onnx::LayerNormalization @norm (%x, %ones, %beta) {axis = "
          "-1, epsilon = 0.5f} return %y",
      1);
}

TEST(FuseLayerNorm, LeavesOthers) {
  // The squares are of another value, the power is another, the distance is turned around, and
  // epsilon is subtracted or not a constant.
  const auto unchanged = [](std::string body, const std::string& from, const std::string& to) {
    if (!from.empty()) body.replace(body.rfind(from), from.size(), to);
    ExpectUnchanged(FuseLayerNorm, {}, body);
  };
  const std::string body = Body(kSquare, kQuotient);
  unchanged(Body("ai.onnx::Pow (%x, %two)", kQuotient), "", "");
  unchanged(Body("ai.onnx::Mul (%d, %x)", kQuotient), "", "");
  unchanged(body, "const %two: f16[] = [2]", "const %two: f16[] = [3]");
  unchanged(body, "%d: f16[2, 3, 4] = ai.onnx::Sub (%x, %mu)",
            "%d: f16[2, 3, 4] = ai.onnx::Sub (%mu, %x)");
  unchanged(body, "ai.onnx::Add (%v, %eps)", "ai.onnx::Sub (%v, %eps)");
  unchanged(body, "const %eps: f16[1] = [0.5]", "input %eps: f16[1]");
}

}  // namespace
}  // namespace sinter::passes
