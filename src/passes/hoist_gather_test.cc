#include "passes/hoist_gather.h"

#include <string>
#include <vector>

#include "passes/pass_testing.h"

namespace sinter::passes {
namespace {

constexpr char kInputs[] =
    "input %row: i64[1] input %h: f16[1, 8, 64] input %a: f16[1, 8, 32] "
    "const %g: f16[64] = elided const %w: f16[32, 64] = elided const %s: f16[] = elided "
    "const %q: u8[48, 2, 16] = elided const %qs: f16[48, 2] = elided ";

void Expect(const std::string& before, const std::string& after, int changes = 1) {
  ExpectRewrite(HoistGather, {}, kInputs + before, kInputs + after, changes);
}

TEST(HoistGather, ALayersEndIsForTheRowsThatAreRead) {
  Expect(R"(%o: f16[1, 8, 64] = ai.onnx::MatMul(%a, %w)
            %n: f16[1, 8, 64], _, _, %sum: f16[1, 8, 64] =
                com.microsoft::SkipSimplifiedLayerNormalization(%h, %o, %g)
            %p: f16[1, 8, 48] = com.microsoft::MatMulNBits(%n, %q, %qs)
                {K = 64, N = 48, bits = 4, block_size = 32}
            %t: f16[1, 8, 48] = ai.onnx::Sigmoid(%p)
            %m: f16[1, 8, 48] = ai.onnx::Mul(%p, %t)
            %u: f16[1, 8, 48] = ai.onnx::Div(%m, %s)
            %x: f16[1, 1, 48] = ai.onnx::Gather(%u, %row) {axis = 1}
            %f: f16[1, 1, 64] = ai.onnx::Gather(%sum, %row) {axis = -2}
            %y: f16[1, 1, 48] = ai.onnx::Neg(%x)
            %z: f16[1, 1, 64] = ai.onnx::Neg(%f)
            return %y, %z)",
         // Both gathers depend on the norm node, so neither can move above it. The first moves up
         // to it.
         R"(%o: f16[1, 8, 64] = ai.onnx::MatMul(%a, %w)
            %n: f16[1, 8, 64], _, _, %sum: f16[1, 8, 64] =
                com.microsoft::SkipSimplifiedLayerNormalization(%h, %o, %g)
            %n.rows: f16[1, 1, 64] = ai.onnx::Gather(%n, %row) {axis = 1}
            %p: f16[1, 1, 48] = com.microsoft::MatMulNBits(%n.rows, %q, %qs)
                {K = 64, N = 48, bits = 4, block_size = 32}
            %t: f16[1, 1, 48] = ai.onnx::Sigmoid(%p)
            %m: f16[1, 1, 48] = ai.onnx::Mul(%p, %t)
            %u: f16[1, 1, 48] = ai.onnx::Div(%m, %s)
            %f: f16[1, 1, 64] = ai.onnx::Gather(%sum, %row) {axis = -2}
            %y: f16[1, 1, 48] = ai.onnx::Neg(%u)
            %z: f16[1, 1, 64] = ai.onnx::Neg(%f)
            return %y, %z)");
  Expect(R"(%o: f16[1, 8, 64] = ai.onnx::MatMul(%a, %w)
            %n: f16[1, 8, 64], _, _, %sum: f16[1, 8, 64] =
                com.microsoft::SkipSimplifiedLayerNormalization(%h, %o, %g)
            %m: f16[1, 8, 64] = ai.onnx::Mul(%n, %s)
            %e: f16[1, 8, 64] = ai.onnx::Add(%sum, %m)
            %x: f16[1, 1, 64] = ai.onnx::Gather(%e, %row) {axis = 1}
            %y: f16[1, 1, 64] = ai.onnx::Neg(%x)
            return %y)",
         R"(%a.rows: f16[1, 1, 32] = ai.onnx::Gather(%a, %row) {axis = 1}
            %o: f16[1, 1, 64] = ai.onnx::MatMul(%a.rows, %w)
            %h.rows: f16[1, 1, 64] = ai.onnx::Gather(%h, %row) {axis = 1}
            %n: f16[1, 1, 64], _, _, %sum: f16[1, 1, 64] =
                com.microsoft::SkipSimplifiedLayerNormalization(%h.rows, %o, %g)
            %m: f16[1, 1, 64] = ai.onnx::Mul(%n, %s)
            %e: f16[1, 1, 64] = ai.onnx::Add(%sum, %m)
            %y: f16[1, 1, 64] = ai.onnx::Neg(%e)
            return %y)");
}

TEST(HoistGather, ExpertsAreForTheRowsThatAreRead) {
  const std::string weights = R"(
      const %wr: u8[4, 2, 16] = elided const %sr: f16[4, 2] = elided
      const %target: i64[2] = [-1, 4]
      const %w1: u8[4, 96, 32] = elided const %s1: f16[4, 96, 2] = elided
      const %w2: u8[4, 64, 24] = elided const %s2: f16[4, 64, 2] = elided )";
  const std::string qmoe = R"({activation_type = "swiglu", block_size = 32,
      expert_weight_bits = 4, k = 2, normalize_routing_weights = 1, swiglu_fusion = 1} )";
  Expect(weights + R"(
      %n: f16[1, 8, 64] = ai.onnx::RMSNormalization(%h, %g)
      %r: f16[1, 8, 4] = com.microsoft::MatMulNBits(%n, %wr, %sr)
          {K = 64, N = 4, bits = 4, block_size = 32}
      %l: f16[8, 4] = ai.onnx::Reshape(%r, %target)
      %e: f16[1, 8, 64] = com.microsoft::QMoE(%n, %l, %w1, %s1, _, %w2, %s2) )" +
             qmoe + R"(
      %b: f16[1, 8, 64] = ai.onnx::Add(%h, %e)
      %x: f16[1, 1, 64] = ai.onnx::Gather(%b, %row) {axis = 1}
      %y: f16[1, 1, 64] = ai.onnx::Neg(%x)
      return %y)",
         weights + R"(
      %h.rows: f16[1, 1, 64] = ai.onnx::Gather(%h, %row) {axis = 1}
      %n: f16[1, 1, 64] = ai.onnx::RMSNormalization(%h.rows, %g)
      %r: f16[1, 1, 4] = com.microsoft::MatMulNBits(%n, %wr, %sr)
          {K = 64, N = 4, bits = 4, block_size = 32}
      %l: f16[1, 4] = ai.onnx::Reshape(%r, %target)
      %e: f16[1, 1, 64] = com.microsoft::QMoE(%n, %l, %w1, %s1, _, %w2, %s2) )" +
             qmoe + R"(
      %b: f16[1, 1, 64] = ai.onnx::Add(%h.rows, %e)
      %y: f16[1, 1, 64] = ai.onnx::Neg(%b)
      return %y)");
}

TEST(HoistGather, AValueThatIsReadTwiceIsGatheredOnce) {
  Expect(R"(%b: f16[1, 8, 64] = ai.onnx::Add(%h, %h)
            %c: f16[1, 8, 64] = ai.onnx::Mul(%b, %h)
            %x: f16[1, 1, 64] = ai.onnx::Gather(%c, %row) {axis = 1}
            %y: f16[1, 1, 64] = ai.onnx::Neg(%x)
            return %y)",
         R"(%h.rows: f16[1, 1, 64] = ai.onnx::Gather(%h, %row) {axis = 1}
            %b: f16[1, 1, 64] = ai.onnx::Add(%h.rows, %h.rows)
            %c: f16[1, 1, 64] = ai.onnx::Mul(%b, %h.rows)
            %y: f16[1, 1, 64] = ai.onnx::Neg(%c)
            return %y)");
}

TEST(HoistGather, LeavesWhatNeedsAllRows) {
  const std::string gather =
      "%x: f16[1, 1, 64] = ai.onnx::Gather(%b, %row) {axis = 1} "
      "%y: f16[1, 1, 64] = ai.onnx::Neg(%x) ";
  for (const std::string& body : std::vector<std::string>{
           // The value has another reader, or is a graph output.
           "%b: f16[1, 8, 64] = ai.onnx::Neg(%h) " + gather +
               "%z: f16[1, 8, 64] = ai.onnx::Neg(%b) return %y, %z",
           "%b: f16[1, 8, 64] = ai.onnx::Neg(%h) " + gather + "return %y, %b",
           // The operator combines rows.
           "%b: f16[1, 8, 64] = ai.onnx::Softmax(%h) {axis = 1} " + gather + "return %y",
           "const %v: f16[8, 8] = elided "
           "%b: f16[1, 8, 64] = ai.onnx::MatMul(%v, %h) " +
               gather + "return %y",
           // Each row has its own part of the constant.
           "const %v: f16[8, 64] = elided "
           "%b: f16[1, 8, 64] = ai.onnx::Add(%h, %v) " +
               gather + "return %y",
           // One row that is not a constant is used for all rows.
           "input %v: f16[1, 1, 64] "
           "%b: f16[1, 8, 64] = ai.onnx::Add(%h, %v) " +
               gather + "return %y",
           // The Reshape's target contains the number of rows, or columns become rows.
           "const %t: i64[2] = [8, 64] %b: f16[8, 64] = ai.onnx::Reshape(%h, %t) "
           "%x: f16[1, 64] = ai.onnx::Gather(%b, %row) {axis = 0} "
           "%y: f16[1, 64] = ai.onnx::Neg(%x) return %y",
           "const %t: i64[3] = [1, -1, 32] %b: f16[1, 16, 32] = ai.onnx::Reshape(%h, %t) "
           "%x: f16[1, 1, 32] = ai.onnx::Gather(%b, %row) {axis = 1} "
           "%y: f16[1, 1, 32] = ai.onnx::Neg(%x) return %y",
           // The index is computed after the node.
           "input %i: i64[1] %b: f16[1, 8, 64] = ai.onnx::Neg(%h) %k: i64[1] = ai.onnx::Neg(%i) "
           "%x: f16[1, 1, 64] = ai.onnx::Gather(%b, %k) {axis = 1} "
           "%y: f16[1, 1, 64] = ai.onnx::Neg(%x) return %y",
           // The gather takes as many rows as there are, or removes the dimension of rows.
           "input %i: i64[8] %b: f16[1, 8, 64] = ai.onnx::Neg(%h) "
           "%x: f16[1, 8, 64] = ai.onnx::Gather(%b, %i) {axis = 1} "
           "%y: f16[1, 8, 64] = ai.onnx::Neg(%x) return %y",
           "input %i: i64[] %b: f16[1, 8, 64] = ai.onnx::Neg(%h) "
           "%x: f16[1, 64] = ai.onnx::Gather(%b, %i) {axis = 1} "
           "%y: f16[1, 64] = ai.onnx::Neg(%x) return %y",
           // The gather takes columns, which a product combines.
           "%b: f16[1, 8, 64] = ai.onnx::MatMul(%a, %w) "
           "%x: f16[1, 8, 1] = ai.onnx::Gather(%b, %row) {axis = 2} "
           "%y: f16[1, 8, 1] = ai.onnx::Neg(%x) return %y",
       }) {
    SCOPED_TRACE(body);
    ExpectUnchanged(HoistGather, {}, kInputs + body);
  }
}

TEST(HoistGather, RowsOfConstantsMayHaveADimensionOfOne) {
  Expect(R"(const %v: f16[1, 64] = elided
            %b: f16[1, 8, 64] = ai.onnx::Add(%v, %h)
            %x: f16[1, 1, 64] = ai.onnx::Gather(%b, %row) {axis = 1}
            %y: f16[1, 1, 64] = ai.onnx::Neg(%x)
            return %y)",
         R"(const %v: f16[1, 64] = elided
            %h.rows: f16[1, 1, 64] = ai.onnx::Gather(%h, %row) {axis = 1}
            %b: f16[1, 1, 64] = ai.onnx::Add(%v, %h.rows)
            %y: f16[1, 1, 64] = ai.onnx::Neg(%b)
            return %y)");
}

}  // namespace
}  // namespace sinter::passes
