#include "passes/eliminate_dead.h"

#include "passes/pass_testing.h"

namespace sinter::passes {
namespace {

TEST(EliminateDead, RemovesWhatLeadsNowhere) {
  ExpectRewrite(EliminateDead, {},
                R"(input %x: f16[2] input %unread: f16[2]
                   const %k: f16[2] = [1, 2]
                   const %l: f16[2] = [1, 2]
                   %a: f16[2] = ai.onnx::Add(%x, %k)
                   %b: f16[2] = ai.onnx::Neg(%a)
                   %y: f16[2] = ai.onnx::Add(%x, %l)
                   return %y)",
                R"(input %x: f16[2] input %unread: f16[2]
                   const %l: f16[2] = [1, 2]
                   %y: f16[2] = ai.onnx::Add(%x, %l)
                   return %y)",
                2);
}

TEST(EliminateDead, KeepsNodesOfWhichOneOutputIsReadAndWhatSubgraphsRead) {
  for (const char* body : {
           "input %x: f16[4] %a: f16[2], %b: f16[2] = ai.onnx::Split(%x) {num_outputs = 2} return "
           "%b",
           R"(input %c: bool[] input %x: f16[2] const %k: f16[2] = [1, 2]
              %a: f16[2] = ai.onnx::Add(%x, %k)
              %y = ai.onnx::If(%c) {then_branch = graph { capture %a return %a },
                                    else_branch = graph { capture %k return %k }}
              return %y)",
       }) {
    ExpectUnchanged(EliminateDead, {}, body);
  }
}

}  // namespace
}  // namespace sinter::passes
