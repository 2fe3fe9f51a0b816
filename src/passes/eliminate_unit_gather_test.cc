#include "passes/eliminate_unit_gather.h"

#include "passes/pass_testing.h"

namespace sinter::passes {
namespace {

TEST(EliminateUnitGather, RemovesTheChoiceOfTheOnlyRow) {
  ExpectRewrite(EliminateUnitGather, {},
                R"(input %x: f16[1, 1, 4] input %row: i64[1]
                   %a: f16[1, 1, 4] = ai.onnx::Gather(%x, %row) {axis = 1}
                   %y: f16[1, 1, 4] = ai.onnx::Neg(%a)
                   return %y)",
                R"(input %x: f16[1, 1, 4] input %row: i64[1]
                   %y: f16[1, 1, 4] = ai.onnx::Neg(%x)
                   return %y)",
                1);
}

TEST(EliminateUnitGather, LeavesChoicesAndChangesOfShape) {
  for (const char* body : {
           // There are two rows to choose from.
           "input %x: f16[1, 2, 4] input %i: i64[1] "
           "%y: f16[1, 1, 4] = ai.onnx::Gather(%x, %i) {axis = 1} %z = ai.onnx::Neg(%y) return %z",
           // The gather takes the row twice.
           "input %x: f16[1, 1, 4] input %i: i64[2] "
           "%y: f16[1, 2, 4] = ai.onnx::Gather(%x, %i) {axis = 1} %z = ai.onnx::Neg(%y) return %z",
           // A scalar index removes the axis.
           "input %x: f16[1, 1, 4] input %i: i64[] "
           "%y: f16[1, 4] = ai.onnx::Gather(%x, %i) {axis = 1} %z = ai.onnx::Neg(%y) return %z",
           // The gather copies a graph input to a graph output, and both names must stay.
           "input %x: f16[1, 1, 4] input %i: i64[1] "
           "%y: f16[1, 1, 4] = ai.onnx::Gather(%x, %i) {axis = 1} return %y",
       }) {
    ExpectUnchanged(EliminateUnitGather, {}, body);
  }
}

}  // namespace
}  // namespace sinter::passes
