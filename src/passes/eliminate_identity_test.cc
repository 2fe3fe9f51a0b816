#include "passes/eliminate_identity.h"

#include "passes/pass_testing.h"

namespace sinter::passes {
namespace {

void Expect(const std::string& before, const std::string& after, int changes) {
  ExpectRewrite(EliminateIdentity, {}, before, after, changes);
}

TEST(EliminateIdentity, RemovesIdentityAndCastsToTheSameType) {
  Expect(R"(input %x: f16[2]
            %a: f16[2] = ai.onnx::Identity(%x)
            %b: f16[2] = ai.onnx::Cast(%a) {to = 10}
            %y: f16[2] = ai.onnx::Add(%b, %a)
            return %y)",
         R"(input %x: f16[2]
            %y: f16[2] = ai.onnx::Add(%x, %x)
            return %y)",
         2);
}

TEST(EliminateIdentity, AnOutputKeepsItsName) {
  Expect(R"(input %x: f16[2]
            %a: f16[2] = ai.onnx::Neg(%x)
            %y: f16[2] = ai.onnx::Identity(%a)
            %z: f16[2] = ai.onnx::Neg(%a)
            return %y, %z)",
         R"(input %x: f16[2]
            %y: f16[2] = ai.onnx::Neg(%x)
            %z: f16[2] = ai.onnx::Neg(%y)
            return %y, %z)",
         1);
}

TEST(EliminateIdentity, SubgraphsFollow) {
  Expect(R"(input %c: bool[] input %x: f16[2]
            %a: f16[2] = ai.onnx::Identity(%x)
            %y = ai.onnx::If(%c) {then_branch = graph { capture %a return %a },
                                  else_branch = graph { capture %x return %x }}
            return %y)",
         R"(input %c: bool[] input %x: f16[2]
            %y = ai.onnx::If(%c) {then_branch = graph { capture %x return %x },
                                  else_branch = graph { capture %x return %x }}
            return %y)",
         1);
}

TEST(EliminateIdentity, LeavesWhatChangesTheTypeOrCannotBeRenamed) {
  for (const char* body : {
           "input %x: f16[2] %y: f32[2] = ai.onnx::Cast(%x) {to = 1} return %y",
           "input %x: f16[2] %y: f16[2] = ai.onnx::Identity(%x) return %y",
           "input %x: f16[2] %a: f16[2] = ai.onnx::Neg(%x) %y: f16[2] = ai.onnx::Identity(%a) "
           "return %a, %y",
       }) {
    ExpectUnchanged(EliminateIdentity, {}, body);
  }
}

}  // namespace
}  // namespace sinter::passes
