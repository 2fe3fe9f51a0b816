#include "passes/fuse_rms_norm.h"

#include <fmt/format.h>

#include "passes/pass_testing.h"

namespace sinter::passes {
namespace {

std::string Body(const std::string& dtype, const std::string& before, const std::string& after) {
  return fmt::format(R"(input %x: f16[2, 4] input %gamma: f16[4] const %axis: i64[1] = [1]
    const %two: {0}[] = [2] const %eps: {0}[] = [0.25] {1}
    %s: {0}[2, 4] = ai.onnx::Pow (%t, %two)
    %m: {0}[2, 1] = ai.onnx::ReduceMean (%s, %axis)
    %e: {0}[2, 1] = ai.onnx::Add (%eps, %m)
    %r: {0}[2, 1] = ai.onnx::Sqrt (%e)
    %i: {0}[2, 1] = ai.onnx::Reciprocal (%r) {2} return %y)",
                     dtype, before, after);
}

std::string Inputs(const std::string& dtype) {
  return fmt::format(R"(input %x: f16[2, 4] input %gamma: f16[4] const %axis: i64[1] = [1]
    const %two: {0}[] = [2] const %eps: {0}[] = [0.25] )",
                     dtype);
}

constexpr char kNegated[] = "%t: f16[2, 4] = ai.onnx::Neg (%x)";

TEST(FuseRmsNorm, MakesOneNode) {
  ExpectRewrite(FuseRmsNorm, {},
                Body("f16", kNegated,
                     "%n: f16[2, 4] = ai.onnx::Mul (%t, %i) "
                     "%y: f16[2, 4] = ai.onnx::Mul @norm (%gamma, %n)"),
                Inputs("f16") + kNegated +
                    "%y: f16[2, 4] = ai.onnx::SimplifiedLayerNormalization @norm (%t, %gamma) "
                    "{axis = -1, epsilon = 0.25f} return %y",
                1);
}

// Transformers' form: the norm is in f32, its result is cast back before the scale.
TEST(FuseRmsNorm, TakesTheCastsAroundIt) {
  constexpr char kCast[] = "%t: f32[2, 4] = ai.onnx::Cast (%x) {to = 1}";
  ExpectRewrite(FuseRmsNorm, {},
                Body("f32", kCast,
                     "%n: f32[2, 4] = ai.onnx::Mul (%t, %i) "
                     "%h: f16[2, 4] = ai.onnx::Cast (%n) {to = 10} "
                     "%y: f16[2, 4] = ai.onnx::Mul @norm (%gamma, %h)"),
                Inputs("f32") + kCast +
                    "%y: f16[2, 4] = ai.onnx::SimplifiedLayerNormalization @norm (%t, %gamma) "
                    "{axis = -1, epsilon = 0.25f} return %y",
                1);
}

// Others read the quotient and the root, which stay.
TEST(FuseRmsNorm, KeepsWhatOthersRead) {
  ExpectRewrite(
      FuseRmsNorm, {},
      Body("f16", kNegated,
           "%n: f16[2, 4] = ai.onnx::Mul @norm (%t, %i) %z: f16[2, 4] = ai.onnx::Mul (%n, %r) "
           "%y: f16[2, 4] = ai.onnx::Add (%n, %z)"),
      fmt::format("{} {} const %ones: f16[4] = [1, 1, 1, 1] "
                  "%s: f16[2, 4] = ai.onnx::Pow (%t, %two) "
                  "%m: f16[2, 1] = ai.onnx::ReduceMean (%s, %axis) "
                  "%e: f16[2, 1] = ai.onnx::Add (%eps, %m) "
                  "%r: f16[2, 1] = ai.onnx::Sqrt (%e) "
                  "%n: f16[2, 4] = ai.onnx::SimplifiedLayerNormalization @norm (%t, %ones) "
                  "{{axis = -1, epsilon = 0.25f}} "
                  "%z: f16[2, 4] = ai.onnx::Mul (%n, %r) "
                  "%y: f16[2, 4] = ai.onnx::Add (%n, %z) return %y",
                  Inputs("f16"), kNegated),
      1);
}

TEST(FuseRmsNorm, LeavesOthers) {
  // The quotient is of another value, and the mean is a sum.
  ExpectUnchanged(FuseRmsNorm, {}, Body("f16", kNegated, "%y: f16[2, 4] = ai.onnx::Mul (%x, %i)"));
  std::string sum = Body("f16", kNegated, "%y: f16[2, 4] = ai.onnx::Mul (%t, %i)");
  sum.replace(sum.find("ReduceMean"), 10, "ReduceSum");
  ExpectUnchanged(FuseRmsNorm, {}, sum);
}

}  // namespace
}  // namespace sinter::passes
