// Types and shapes of the attention operators, and the nodes that inference refuses.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "graph/attention.h"
#include "graph/ops.h"
#include "graph/text.h"

namespace sinter::graph {
namespace {

using ::testing::HasSubstr;

// Returns the output types of the last node, or the error's text.
std::string Infer(const std::string& body, int opset = 24) {
  const auto graph =
      Parse(fmt::format("graph g {{ opset ai.onnx {} opset com.microsoft 1 {} }}", opset, body));
  const auto& node = graph->nodes().back();
  try {
    InferNode(*node);
  } catch (const Error& error) {
    return error.what();
  }
  std::string types;
  for (const Value* value : node->outputs()) {
    types += fmt::format("{}[{}] ", DTypeName(value->dtype), fmt::join(value->shape(), ", "));
  }
  return types;
}

// Returns an Attention node in the layout [batch, rows, heads * head_size]: 2 sequences of 3 rows,
// 4 query heads and 2 key heads of size 8, 5 keys. `more` lists further inputs.
std::string ByRow(const std::string& declarations = "", const std::string& more = "",
                  const std::string& attributes = "q_num_heads = 4, kv_num_heads = 2",
                  const std::string& outputs = "%y, %pk, %pv") {
  return fmt::format(
      "input %q: f16[2, 3, 32] input %k: f16[2, 5, 16] input %v: f16[2, 5, 16] {} {} = "
      "ai.onnx::Attention (%q, %k, %v{}) {{{}}}",
      declarations, outputs, more, attributes);
}

std::string ByHead(const std::string& declarations = "", const std::string& more = "",
                   const std::string& attributes = "", const std::string& k = "2, 2, 5, 8") {
  return fmt::format(
      "input %q: f32[2, 4, 3, 8] input %k: f32[{0}] input %v: f32[{0}] {1} %y, %pk, %pv = "
      "ai.onnx::Attention (%q, %k, %v{2}) {{{3}}}",
      k, declarations, more, attributes);
}

TEST(Attention, Infers) {
  EXPECT_EQ(Infer(ByRow()), "f16[2, 3, 32] f16[2, 2, 5, 8] f16[2, 2, 5, 8] ");
  EXPECT_EQ(Infer(ByRow(), 23), "f16[2, 3, 32] f16[2, 2, 5, 8] f16[2, 2, 5, 8] ");
  EXPECT_EQ(Infer(ByHead()), "f32[2, 4, 3, 8] f32[2, 2, 5, 8] f32[2, 2, 5, 8] ");
  const std::string past = "input %a: f32[2, 2, 6, 8] input %b: f32[2, 2, 6, 8]";
  EXPECT_EQ(Infer(ByHead(past, ", _, %a, %b", "is_causal = 1, scale = 0.5f, softcap = 2f")),
            "f32[2, 4, 3, 8] f32[2, 2, 11, 8] f32[2, 2, 11, 8] ");
  EXPECT_EQ(Infer(ByRow("", "", "q_num_heads = 4, kv_num_heads = 2, softmax_precision = 1", "%y")),
            "f16[2, 3, 32] ");
}

TEST(Attention, TakesMasksThatBroadcast) {
  for (const char* mask : {"f32[3, 5]", "bool[1, 5]", "bool[4, 3, 5]", "f32[2, 1, 1, 5]",
                           "bool[2, 4, 3, 2]", "f32[1, 1]"}) {
    EXPECT_THAT(Infer(ByHead(fmt::format("input %m: {}", mask), ", %m")), HasSubstr("f32[2, 4,"))
        << mask;
  }
  for (const char* mask :
       {"f32[2, 5]", "bool[3, 6]", "bool[2, 3, 5]", "f32[3, 1, 3, 5]", "f32[3, 0]"}) {
    EXPECT_THAT(Infer(ByHead(fmt::format("input %m: {}", mask), ", %m")),
                HasSubstr("want one that broadcasts to [2, 4, 3, 5]"))
        << mask;
  }
  EXPECT_THAT(Infer(ByHead("input %m: f32[5]", ", %m")), HasSubstr("want 2 to 4 dimensions"));
  EXPECT_THAT(Infer(ByHead("input %m: f16[3, 5]", ", %m")),
              HasSubstr("(attn_mask, 'm'): got type f16, want bool or f32"));
}

TEST(Attention, TakesLengthsFromOpset24On) {
  const std::string body = ByHead("input %n: i64[2]", ", _, _, _, %n", "is_causal = 1");
  EXPECT_THAT(Infer(body), HasSubstr("f32[2, 4, 3, 8]"));
  EXPECT_THAT(Infer(body, 23), HasSubstr("got input 6 ('n'), want at most 6"));
  EXPECT_THAT(Infer(ByHead("input %n: i64[3]", ", _, _, _, %n")),
              HasSubstr("input 6: got shape [3], want [2]"));
  EXPECT_THAT(Infer(ByHead("input %n: i32[2]", ", _, _, _, %n")), HasSubstr("got type i32"));
}

TEST(Attention, Refuses) {
  EXPECT_THAT(Infer(ByRow(), 22), HasSubstr("got 22, want 23 to 25"));
  EXPECT_THAT(Infer(ByRow("", "", "q_num_heads = 4, kv_num_heads = 2", "%y, _, _, %qk")),
              HasSubstr("output 3 (qk_matmul_output): got 'qk', want none: it is not implemented"));
  EXPECT_THAT(Infer(ByRow("", "", "q_num_heads = 4, kv_num_heads = 2, softmax_precision = 11")),
              HasSubstr("'softmax_precision': got 11, want 1 or 10 or 16"));
  EXPECT_THAT(Infer(ByRow("", "", "q_num_heads = 4")),
              HasSubstr("'kv_num_heads': got 0, want the heads of input 1"));
  EXPECT_THAT(Infer(ByRow("", "", "q_num_heads = 5, kv_num_heads = 2")),
              HasSubstr("input 0: got shape [2, 3, 32], want 5 heads"));
  EXPECT_THAT(Infer(ByRow("", "", "q_num_heads = 4, kv_num_heads = 4")),
              HasSubstr("input 1: got head size 4, want 8 as the queries have"));
  EXPECT_THAT(Infer(ByHead("", "", "q_num_heads = 3")), HasSubstr("want 3 heads"));
  EXPECT_THAT(Infer(ByHead("", "", "", "2, 3, 5, 8")),
              HasSubstr("got 4 heads, want a multiple of the keys' 3"));
  EXPECT_THAT(Infer(ByHead("", "", "", "3, 2, 5, 8")),
              HasSubstr("input 1: got shape [3, 2, 5, 8], want [2, 2, 5, 8]"));
  EXPECT_THAT(Infer(ByHead("", "", "", "2, 2, 0, 8")), HasSubstr("got 0 keys and no past"));
  EXPECT_THAT(Infer(ByHead("", "", "", "2, 8")), HasSubstr("want 3 or 4 dimensions"));
  EXPECT_THAT(Infer(ByHead("", "", "kv_num_heads = 2", "2, 5, 16")),
              HasSubstr("want 4 dimensions like input 0"));
  EXPECT_THAT(Infer(ByHead("", "", "", "2, 2, 4294967296, 8")), HasSubstr("4294967296 keys"));
  EXPECT_THAT(Infer(ByHead("", "", "", "2, 4294967296, 5, 8")),
              HasSubstr("input 1: got shape [2, 4294967296, 5, 8]"));
  const auto with_past = [](const char* key, const char* more) {
    return Infer(ByHead(fmt::format("input %a: f32[{}]", key), more));
  };
  EXPECT_THAT(with_past("2, 2, 6, 8", ", _, %a"), HasSubstr("got one of them, want both or none"));
  EXPECT_THAT(with_past("2, 2, 6, 9", ", _, %a, %a"), HasSubstr("want [2, 2, 6, 8]"));
  EXPECT_THAT(with_past("6, 8", ", _, %a, %a"), HasSubstr("want 4 dimensions"));
  // Values whose head size differs from the keys'.
  EXPECT_THAT(Infer("input %q: f32[1, 1, 2, 8] input %v: f32[1, 1, 2, 4] %y = ai.onnx::Attention "
                    "(%q, %q, %v)"),
              HasSubstr("input 2: got shape [1, 1, 2, 4], want [1, 1, 2, 8]"));
}

std::string MultiHead(const std::string& declarations = "", const std::string& more = "",
                      const std::string& attributes = "num_heads = 4", const char* q = "2, 3, 32",
                      const char* k = "2, 5, 32") {
  return fmt::format(
      "input %q: f32[{}] input %k: f32[{}] {} %y, %pk, %pv = com.microsoft::MultiHeadAttention "
      "(%q, %k, %k{}) {{{}}}",
      q, k, declarations, more, attributes);
}

TEST(MultiHeadAttention, Infers) {
  const std::string types = "f32[2, 3, 32] f32[2, 4, 5, 8] f32[2, 4, 5, 8] ";
  EXPECT_EQ(Infer(MultiHead()), types);
  EXPECT_EQ(Infer(MultiHead("", "", "num_heads = 4", "2, 3, 32", "2, 4, 5, 8")), types);
  EXPECT_EQ(Infer(MultiHead("input %b: f32[96] input %m: i32[2]", ", %b, %m")), types);
  EXPECT_EQ(Infer(MultiHead("input %m: i32[2, 5]", ", _, %m",
                            "num_heads = 4, unidirectional = 0, mask_filter_value = -10000f")),
            types);
  EXPECT_EQ(Infer(MultiHead("", "", "num_heads = 4, unidirectional = 1", "2, 5, 32", "2, 5, 32")),
            "f32[2, 5, 32] f32[2, 4, 5, 8] f32[2, 4, 5, 8] ");
  EXPECT_EQ(Infer(MultiHead("", "", "num_heads = 4, unidirectional = 1", "2, 1, 32", "2, 5, 32")),
            "f32[2, 1, 32] f32[2, 4, 5, 8] f32[2, 4, 5, 8] ");
  EXPECT_EQ(Infer(MultiHead("input %m: i32[2, 3, 5]", ", _, %m")), types);
  EXPECT_EQ(Infer(MultiHead("input %m: i32[2] input %a: f32[1, 4, 3, 5]", ", _, %m, %a")), types);
  EXPECT_EQ(Infer(MultiHead("input %p: f32[2, 4, 6, 8]", ", _, _, _, %p, %p")),
            "f32[2, 3, 32] f32[2, 4, 11, 8] f32[2, 4, 11, 8] ");
}

TEST(MultiHeadAttention, Refuses) {
  EXPECT_THAT(
      Infer(MultiHead("", "", "num_heads = 4, unidirectional = 1")),
      HasSubstr("'unidirectional': got 3 rows and 5 new keys, want no more keys than rows"));
  EXPECT_THAT(Infer(MultiHead("input %b: f32[95]", ", %b")), HasSubstr("want [96]"));
  EXPECT_THAT(Infer(MultiHead("input %m: i32[2, 4]", ", _, %m")),
              HasSubstr("input 4: got shape [2, 4], want [2], [2, 5] or [2, 3, 5]"));
  EXPECT_THAT(Infer(MultiHead("input %m: f32[2, 5]", ", _, %m")), HasSubstr("got type f32"));
  EXPECT_THAT(Infer(MultiHead("input %a: f32[1, 4, 1, 5]", ", _, _, %a")),
              HasSubstr("want [batch or 1, heads or 1, 3, 5]"));
  EXPECT_THAT(Infer(MultiHead("input %m: i32[2, 5] input %a: f32[1, 4, 3, 5]", ", _, %m, %a")),
              HasSubstr("both together are not implemented"));
  EXPECT_THAT(Infer(MultiHead("input %m: i32[2] input %p: f32[2, 4, 6, 8]", ", _, %m, _, %p, %p")),
              HasSubstr("got lengths with a past, want a mask [2, 11]"));
  EXPECT_THAT(Infer(MultiHead("", "", "num_heads = 4, mask_filter_value = -1f")),
              HasSubstr("'mask_filter_value': got -1, want at most -1000"));
  EXPECT_THAT(Infer(MultiHead("", "", "num_heads = 4", "2, 4, 3, 8", "2, 4, 5, 8")),
              HasSubstr("input 0: got shape [2, 4, 3, 8], want 3 dimensions"));
  EXPECT_THAT(
      Infer(MultiHead("input %b: f32[96]", ", %b", "num_heads = 4", "2, 3, 32", "2, 4, 5, 8")),
      HasSubstr("got one with keys of 4 dimensions"));
  EXPECT_THAT(Infer("input %q: f32[2, 3, 4, 3, 8] %y = com.microsoft::MultiHeadAttention (%q) "
                    "{num_heads = 4}"),
              HasSubstr("input 1 (key) is missing"));
}

}  // namespace
}  // namespace sinter::graph
