#include "passes/fold_last_position.h"

#include "passes/pass_testing.h"

namespace sinter::passes {
namespace {

const std::string kTotal = "input %sinter.total_length: i64[1] ";
const std::string kSub = "%d: i64[1] = ai.onnx::Sub(%sinter.total_length, %one) ";
const std::string kCast = "%y: i32[1] = ai.onnx::Cast(%d) {to = 6} return %y";

TEST(FoldLastPosition, ReadsItFromOutside) {
  for (const char* one : {"const %one: i64[1] = [1] ", "const %one: i64[] = [1] "}) {
    ExpectRewrite(FoldLastPosition, {}, kTotal + one + kSub + kCast,
                  "input %sinter.last_position: i64[1] "
                  "%y: i32[1] = ai.onnx::Cast(%sinter.last_position) {to = 6} return %y",
                  1);
  }
}

TEST(FoldLastPosition, KeepsATotalThatIsReadElsewhere) {
  const std::string rest =
      "%y: i64[1] = ai.onnx::Neg(%sinter.total_length) %z: i64[1] = "
      "ai.onnx::Neg(";
  ExpectRewrite(FoldLastPosition, {},
                kTotal + "const %one: i64[1] = [1] " + kSub + rest + "%d) return %y, %z",
                kTotal + "input %sinter.last_position: i64[1] " + rest +
                    "%sinter.last_position) return %y, %z",
                1);
}

TEST(FoldLastPosition, LeavesOtherDifferences) {
  const std::string one = "const %one: i64[1] = [1] ";
  // Cases in order: another subtrahend, a vector of two elements, swapped operands, another
  // minuend, and a total that is not an input.
  ExpectUnchanged(FoldLastPosition, {}, kTotal + "const %one: i64[1] = [2] " + kSub + kCast);
  ExpectUnchanged(FoldLastPosition, {},
                  kTotal +
                      "const %one: i64[2] = [1, 1] "
                      "%d: i64[2] = ai.onnx::Sub(%sinter.total_length, %one) return %d");
  ExpectUnchanged(FoldLastPosition, {},
                  kTotal + one + "%d: i64[1] = ai.onnx::Sub(%one, %sinter.total_length) " + kCast);
  ExpectUnchanged(FoldLastPosition, {},
                  "input %x: i64[1] " + one + "%d: i64[1] = ai.onnx::Sub(%x, %one) " + kCast);
  ExpectUnchanged(FoldLastPosition, {},
                  "input %x: i64[1] " + one + "%sinter.total_length: i64[1] = ai.onnx::Neg(%x) " +
                      kSub + kCast);
  // The difference is a graph output.
  ExpectUnchanged(FoldLastPosition, {}, kTotal + one + kSub + "return %d");
  // Two differences have different shapes: only the first is replaced.
  ExpectRewrite(FoldLastPosition, {},
                kTotal + one + "const %wide: i64[1, 1] = [1] " + kSub +
                    "%w: i64[1, 1] = ai.onnx::Sub(%sinter.total_length, %wide) "
                    "%y: i64[1] = ai.onnx::Neg(%d) return %y, %w",
                kTotal +
                    "input %sinter.last_position: i64[1] const %wide: i64[1, 1] = [1] "
                    "%w: i64[1, 1] = ai.onnx::Sub(%sinter.total_length, %wide) "
                    "%y: i64[1] = ai.onnx::Neg(%sinter.last_position) return %y, %w",
                1);
}

}  // namespace
}  // namespace sinter::passes
