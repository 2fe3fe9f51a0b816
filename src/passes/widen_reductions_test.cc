#include "passes/widen_reductions.h"

#include "passes/pass_testing.h"

namespace sinter::passes {
namespace {

TEST(WidenReductions, ComputesInF32FromTheElementwiseOperatorOn) {
  ExpectRewrite(WidenReductions, {},
                R"(input %x: f16[2, 4] const %two: f16[] = [2] const %axis: i64[1] = [-1]
                %s: f16[2, 4] = ai.onnx::Pow @square (%x, %two)
                %m: f16[2, 1] = ai.onnx::ReduceSum @sum (%s, %axis)
                %r: f16[2, 1] = ai.onnx::Sqrt @root (%m)
                %y: f16[2, 4] = ai.onnx::Div @quotient (%x, %r) return %y)",
                R"(input %x: f16[2, 4] const %two: f16[] = [2] const %axis: i64[1] = [-1]
                const %two.1: f32[] = [2]
                %x.0: f32[2, 4] = ai.onnx::Cast @x (%x) {to = 1}
                %s: f32[2, 4] = ai.onnx::Pow @square (%x.0, %two.1)
                %m: f32[2, 1] = ai.onnx::ReduceSum @sum (%s, %axis)
                %r: f32[2, 1] = ai.onnx::Sqrt @root (%m)
                %y.2: f32[2, 4] = ai.onnx::Div @quotient (%x.0, %r)
                %y: f16[2, 4] = ai.onnx::Cast @y.2 (%y.2) {to = 10} return %y)",
                4);
}

// The product has another reader, so that the sum gets it in f16; what follows the sum is in f32.
TEST(WidenReductions, KeepsWhatOthersRead) {
  ExpectRewrite(WidenReductions, {},
                R"(input %x: f16[2, 4] %p: f16[2, 4] = ai.onnx::Mul (%x, %x)
                %m: f16[1, 1] = ai.onnx::ReduceSum @sum (%p)
                %r: f16[1, 1] = ai.onnx::Neg @neg (%m) return %r, %p, %m)",
                R"(input %x: f16[2, 4] %p: f16[2, 4] = ai.onnx::Mul (%x, %x)
                %p.0: f32[2, 4] = ai.onnx::Cast @p (%p) {to = 1}
                %m.1: f32[1, 1] = ai.onnx::ReduceSum @sum (%p.0)
                %m: f16[1, 1] = ai.onnx::Cast @m.1 (%m.1) {to = 10}
                %r.2: f32[1, 1] = ai.onnx::Neg @neg (%m.1)
                %r: f16[1, 1] = ai.onnx::Cast @r.2 (%r.2) {to = 10} return %r, %p, %m)",
                2);
}

TEST(WidenReductions, FeedsNorms) {
  ExpectRewrite(WidenReductions, {},
                R"(input %x: f16[2, 4] input %s: f16[4]
                %p: f16[2, 4] = ai.onnx::Mul @product (%x, %x)
                %y: f16[2, 4] = ai.onnx::LayerNormalization (%p, %s) return %y)",
                R"(input %x: f16[2, 4] input %s: f16[4]
                %x.0: f32[2, 4] = ai.onnx::Cast @x (%x) {to = 1}
                %p: f32[2, 4] = ai.onnx::Mul @product (%x.0, %x.0)
                %y: f16[2, 4] = ai.onnx::LayerNormalization (%p, %s) return %y)",
                1);
  // A sum of two numbers does not grow.
  ExpectUnchanged(WidenReductions, {}, R"(input %x: f16[2, 4] input %s: f16[4]
                %p: f16[2, 4] = ai.onnx::Add (%x, %x)
                %y: f16[2, 4] = ai.onnx::LayerNormalization (%p, %s) return %y)");
}

TEST(WidenReductions, LeavesOtherTypesAndReductionsWithoutNeighbours) {
  ExpectUnchanged(WidenReductions, {},
                  "input %x: f32[2, 4] %p: f32[2, 4] = ai.onnx::Mul (%x, %x) "
                  "%y: f32[1, 1] = ai.onnx::ReduceSum (%p) return %y");
  ExpectUnchanged(WidenReductions, {},
                  "input %x: f16[2, 4] %y: f16[1, 1] = ai.onnx::ReduceSum (%x) return %y");
  ExpectUnchanged(WidenReductions, {},
                  "input %x: f16[2, 4] %y: f16[2, 4] = ai.onnx::Mul (%x, %x) return %y");
}

}  // namespace
}  // namespace sinter::passes
