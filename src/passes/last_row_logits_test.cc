#include "passes/last_row_logits.h"

#include "passes/pass_testing.h"

namespace sinter::passes {
namespace {

constexpr char kInputs[] =
    "input %x: f16[batch, sequence, 4] "
    "const %w: f16[4, 3] = elided const %b: f16[3] = elided const %s: f16[] = elided ";

void Expect(const std::string& before, const std::string& after) {
  ExpectRewrite(LastRowLogits, {}, kInputs + before, kInputs + after, 1);
}

TEST(LastRowLogits, CutsTheProductDown) {
  Expect(R"(%logits: f16[batch, sequence, 3] = ai.onnx::MatMul(%x, %w)
            return %logits)",
         R"(input %sinter.last_row: i64[1]
            %x.last_row: f16[*] = ai.onnx::Gather(%x, %sinter.last_row) {axis = 1}
            %logits: f16[batch, 1, 3] = ai.onnx::MatMul(%x.last_row, %w)
            return %logits)");
}

TEST(LastRowLogits, BiasSoftcapAndCastFollow) {
  Expect(R"(%p: f16[batch, sequence, 3] = ai.onnx::MatMul(%x, %w)
            %q: f16[batch, sequence, 3] = ai.onnx::Add(%p, %b)
            %r: f16[batch, sequence, 3] = ai.onnx::Div(%q, %s)
            %t: f16[batch, sequence, 3] = ai.onnx::Tanh(%r)
            %logits: f32[batch, sequence, 3] = ai.onnx::Cast(%t) {to = 1}
            return %logits)",
         R"(input %sinter.last_row: i64[1]
            %x.last_row: f16[*] = ai.onnx::Gather(%x, %sinter.last_row) {axis = 1}
            %p: f16[*] = ai.onnx::MatMul(%x.last_row, %w)
            %q: f16[*] = ai.onnx::Add(%p, %b)
            %r: f16[*] = ai.onnx::Div(%q, %s)
            %t: f16[*] = ai.onnx::Tanh(%r)
            %logits: f32[batch, 1, 3] = ai.onnx::Cast(%t) {to = 1}
            return %logits)");
}

TEST(LastRowLogits, LeavesWhatNeedsAllRows) {
  for (const char* body : {
           // The product has another reader.
           "%p: f16[batch, sequence, 3] = ai.onnx::MatMul(%x, %w) "
           "%logits: f16[batch, sequence, 3] = ai.onnx::Add(%p, %b) "
           "%other: f16[batch, sequence, 3] = ai.onnx::Neg(%p) return %logits, %other",
           // A node in between combines rows.
           "%p: f16[batch, sequence, 3] = ai.onnx::MatMul(%x, %w) "
           "%logits: f16[batch, sequence, 3] = ai.onnx::Softmax(%p) {axis = 1} return %logits",
           // The output has another name.
           "%scores: f16[batch, sequence, 3] = ai.onnx::MatMul(%x, %w) return %scores",
           // There is no product.
           "%logits: f16[batch, sequence, 4] = ai.onnx::Neg(%x) return %logits",
           // The product's second operand is not a constant.
           "input %y: f16[batch, 4, 3] "
           "%logits: f16[batch, sequence, 3] = ai.onnx::MatMul(%x, %y) return %logits",
           // The logits have no dimension for the sequence.
           "input %v: f16[batch, 4] "
           "%logits: f16[batch, 3] = ai.onnx::MatMul(%v, %w) return %logits",
       }) {
    ExpectUnchanged(LastRowLogits, {}, std::string(kInputs) + body);
  }
}

TEST(LastRowLogits, TakesTheNameFromTheOptions) {
  const auto graph = ParseBody(std::string(kInputs) +
                               "%scores: f16[batch, sequence, 3] = ai.onnx::MatMul(%x, %w) "
                               "return %scores");
  PassOptions options;
  options.logits = "scores";
  EXPECT_EQ(LastRowLogits(*graph, options), 1);
}

}  // namespace
}  // namespace sinter::passes
