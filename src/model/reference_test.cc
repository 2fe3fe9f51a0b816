#include "model/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "support/model_builder.h"

namespace sinter::model {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

json Good() {
  return json::parse(R"({"logits_file": "reference.f32", "logits_shape": [2, 2, 3],
    "cases": [{"prompt": [0, 1], "tokens": [2]}, {"prompt": [2], "tokens": [1, 0]}]})");
}

template <typename Read>
std::string ErrorOf(Read read) {
  try {
    read();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Reference, ReadsCasesAndLogits) {
  const support::TempFolder folder;
  std::ofstream(folder.path() / "reference.json") << Good();
  const std::vector<float> logits = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  const auto write = [&](size_t count) {
    std::ofstream(folder.path() / "reference.f32", std::ios::binary)
        .write(reinterpret_cast<const char*>(logits.data()),
               static_cast<std::streamsize>(count * sizeof(float)));
  };
  write(12);
  const ReferenceLogits read = ReadReference(folder.path());
  EXPECT_EQ(read.reference.steps, 2u);
  EXPECT_EQ(read.reference.vocab, 3u);
  EXPECT_THAT(read.reference.cases[1].tokens, ElementsAre(1, 0));
  EXPECT_THAT(read.Row(1, 0), ElementsAre(6, 7, 8));
  write(11);
  EXPECT_THAT(ErrorOf([&] { ReadReference(folder.path()); }),
              HasSubstr("reference.f32: got 44 bytes, want [2, 2, 3] numbers of 4 bytes"));
  std::filesystem::remove(folder.path() / "reference.f32");
  EXPECT_THAT(ErrorOf([&] { ReadReference(folder.path()); }), HasSubstr("got no such file"));
}

TEST(Reference, ErrorsNameTheField) {
  const auto error = [](const char* pointer, const json& value) {
    json bad = Good();
    bad[json::json_pointer(pointer)] = value;
    return ErrorOf([&] { ParseReference(bad.dump(), "r.json"); });
  };
  const std::string no_shape = ", want the numbers of cases, steps and vocabulary, none of them 0";
  EXPECT_EQ(error("/logits_shape", json::array({2, 2})),
            "[verify] r.json: logits_shape: got [2, 2]" + no_shape);
  EXPECT_EQ(error("/logits_shape/1", 0), "[verify] r.json: logits_shape: got [2, 0, 3]" + no_shape);
  EXPECT_EQ(error("/logits_shape", "big"),
            "[verify] r.json: logits_shape: got \"big\", want a list of integers");
  for (const json& size :
       {json(-1), json(int64_t{1} << 62), json(UINT64_MAX), json(1.5), json("2")}) {
    EXPECT_THAT(error("/logits_shape/2", size), HasSubstr("logits_shape: got " + size.dump() +
                                                          ", want integers from 0 to 2147483647"));
  }
  for (const char* name : {"/etc/passwd", "../reference.f32", "", "a\nb"}) {
    EXPECT_THAT(error("/logits_file", name),
                HasSubstr("want the name of a file in the same folder"));
  }
  EXPECT_THAT(error("/logits_file", std::string("reference.f32\0x", 15)), HasSubstr("\\x00x"));
  EXPECT_THAT(error("/logits_file", 7), HasSubstr("logits_file: got 7, want the name"));
  EXPECT_EQ(error("/cases", json::array()),
            "[verify] r.json: cases: got 0, want a list of 2 (logits_shape)");
  EXPECT_THAT(error("/cases", 3), HasSubstr("cases: got 3, want a list of 2"));
  EXPECT_THAT(error("/cases/0", 3), HasSubstr("prompt: got 3, want an object with this field"));
  EXPECT_THAT(
      error("/cases/0/prompt", json::array()),
      HasSubstr("cases: got one of 0 prompt tokens and 1 tokens, want a prompt and 1 tokens"));
  EXPECT_THAT(error("/cases/1/tokens", json::array()), HasSubstr("1 prompt tokens and 0 tokens"));
  for (const json& token : {json(3), json(-1), json(UINT64_MAX), json("a")}) {
    EXPECT_THAT(error("/cases/0/tokens/0", token),
                HasSubstr("tokens: got " + token.dump() + ", want integers from 0 to 2"));
  }
  EXPECT_THAT(error("/cases/0/prompt", std::string(1'000'000, 'x')),
              testing::SizeIs(testing::Lt(300)));
  EXPECT_THAT(ErrorOf([] { ParseReference("[]", "r.json"); }),
              HasSubstr("logits_file: got [], want an object with this field"));
  EXPECT_THAT(ErrorOf([] { ParseReference("{", "r.json"); }), HasSubstr("r.json: line 1"));
}

}  // namespace
}  // namespace sinter::model
