#include "convert/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "convert/json.h"
#include "convert/testing.h"

namespace sinter::convert {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr char kTwo[] =
    R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
    R"("b":{"dtype":"BF16","shape":[1,2],"data_offsets":[8,12]},"__metadata__":{"format":"pt"}})";

std::string ErrorFor(const std::string& header, const std::string& data) {
  TestFolder folder;
  folder.Write("x.safetensors", SafetensorsBytes(header, data));
  return ErrorOf([&] { ReadSafetensors(folder / "x.safetensors"); });
}

TEST(Safetensors, ReadsTensors) {
  TestFolder folder;
  folder.Write("x.safetensors", SafetensorsBytes(kTwo, "abcdefghijkl"));
  const CheckpointTensors tensors = ReadSafetensors(folder / "x.safetensors");
  ASSERT_EQ(tensors.size(), 2u);
  const CheckpointTensor& b = tensors.at("b");
  EXPECT_EQ(b.dtype, DType::kBF16);
  EXPECT_EQ(b.shape, (graph::Shape{1, 2}));
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(b.bytes.data()), b.bytes.size()), "ijkl");
}

TEST(Safetensors, RefusesTruncatedFiles) {
  TestFolder folder;
  const std::string whole = SafetensorsBytes(kTwo, "abcdefghijkl");
  for (size_t size = 0; size < whole.size(); ++size) {
    folder.Write("x.safetensors", whole.substr(0, size));
    EXPECT_THAT(ErrorOf([&] { ReadSafetensors(folder / "x.safetensors"); }),
                AllOf(HasSubstr("[convert] "), HasSubstr("x.safetensors: ")))
        << size;
  }
}

TEST(Safetensors, RefusesTensorsOfTheSameName) {
  const std::string entry = R"({"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  EXPECT_THAT(ErrorFor("{\"a\":" + entry + ",\"a\":" + entry + "}", "x"),
              HasSubstr("header: line 1, column 56: got the key \"a\" twice in an object"));
}

TEST(Safetensors, RefusesNumbersBeyondInt64) {
  EXPECT_THAT(
      ErrorFor(R"({"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,1]}})", "x"),
      HasSubstr("tensor 'a': shape: got an array, want a list of integers"));
}

TEST(Safetensors, RefusesDamagedHeaders) {
  const auto one = [](const std::string& entry) { return R"({"a":)" + entry + "}"; };
  EXPECT_THAT(ErrorFor("[]", ""), HasSubstr("header: got an array, want an object"));
  EXPECT_THAT(ErrorFor("{", ""), HasSubstr("header: line 1, column 1: got no valid JSON"));
  EXPECT_THAT(ErrorFor(one("{}"), ""), HasSubstr("tensor 'a': dtype: got none, want a string"));
  EXPECT_THAT(ErrorFor(one(R"({"dtype":"F5","shape":[],"data_offsets":[0,0]})"), ""),
              HasSubstr("tensor 'a': got type 'F5', want a type of safetensors"));
  EXPECT_THAT(ErrorFor(one(R"({"dtype":"U8","shape":2,"data_offsets":[0,0]})"), ""),
              HasSubstr("tensor 'a': shape: got 2, want a list of integers"));
  EXPECT_THAT(ErrorFor(one(R"({"dtype":"U8","shape":[-1],"data_offsets":[0,0]})"), ""),
              HasSubstr("tensor 'a': got a dimension of -1"));
  EXPECT_THAT(
      ErrorFor(one(R"({"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]})"), ""),
      HasSubstr("want a shape that fits the file"));
  EXPECT_THAT(ErrorFor(one(R"({"dtype":"U8","shape":[1],"data_offsets":[1,0]})"), "x"),
              HasSubstr("tensor 'a': data_offsets: got [1, 0]"));
  EXPECT_THAT(ErrorFor(one(R"({"dtype":"U8","shape":[1],"data_offsets":[0]})"), "x"),
              HasSubstr("tensor 'a': data_offsets: got [0]"));
  EXPECT_THAT(
      ErrorFor(one(R"({"dtype":"U8","shape":[2],"data_offsets":[0,2]})"), "x"),
      HasSubstr("tensor 'a': got an end at byte 2, want at most 1 (is the file truncated?)"));
  EXPECT_THAT(ErrorFor(one(R"({"dtype":"F16","shape":[2],"data_offsets":[0,2]})"), "xy"),
              HasSubstr("tensor 'a': got 2 bytes, want 4 for F16 [2]"));
}

TEST(Safetensors, RefusesOverlapsAndGaps) {
  const auto two = [](int begin, int end) {
    return fmt::format(R"({{"a":{{"dtype":"U8","shape":[2],"data_offsets":[0,2]}},)"
                       R"("b":{{"dtype":"U8","shape":[{}],"data_offsets":[{},{}]}}}})",
                       end - begin, begin, end);
  };
  EXPECT_THAT(ErrorFor(two(1, 4), "wxyz"),
              HasSubstr("tensor 'b': got a beginning at byte 1, want 2, where 'a' ends"));
  EXPECT_THAT(ErrorFor(two(3, 4), "wxyz"), HasSubstr("got a beginning at byte 3, want 2"));
  EXPECT_THAT(ErrorFor(two(2, 3), "wxyz"), HasSubstr("got 4 bytes of data, want 3"));
}

TEST(Safetensors, ReadsShards) {
  TestTensors tensors;
  for (const char* name : {"a", "b", "c", "d"}) tensors.Add(name, {3, 5}, 1);
  TestFolder one, several;
  one.Write("model.safetensors", tensors.File());
  tensors.WriteShards(several, 3);
  const CheckpointTensors want = ReadCheckpoint(one.path()), got = ReadCheckpoint(several.path());
  ASSERT_EQ(got.size(), 4u);
  for (const auto& [name, tensor] : want) {
    EXPECT_TRUE(std::equal(tensor.bytes.begin(), tensor.bytes.end(), got.at(name).bytes.begin()));
  }
}

TEST(Safetensors, RefusesDamagedIndexes) {
  TestFolder folder;
  const auto error = [&] { return ErrorOf([&] { ReadCheckpoint(folder.path()); }); };
  EXPECT_THAT(error(), HasSubstr("got neither model.safetensors nor model.safetensors.index.json"));
  const std::string index = "model.safetensors.index.json";
  folder.Write(index, "{}");
  EXPECT_THAT(error(), HasSubstr("weight_map: got none, want an object"));
  folder.Write(index, R"({"weight_map":{"a":1}})");
  EXPECT_THAT(error(), HasSubstr("tensor 'a': got a number, want a file's name"));
  folder.Write(index, R"({"weight_map":{"a":"../x"}})");
  EXPECT_THAT(error(), HasSubstr("tensor 'a': got '../x', want a file's name in the same folder"));
  folder.Write(index, R"({"weight_map":{"a":"none.safetensors"}})");
  EXPECT_THAT(error(), HasSubstr("none.safetensors"));
  folder.Write("x.safetensors", SafetensorsBytes(kTwo, "abcdefghijkl"));
  folder.Write(index, R"({"weight_map":{"a":"x.safetensors","c":"x.safetensors"}})");
  EXPECT_THAT(error(), HasSubstr("tensor 'c': got no such tensor, want it, as"));
}

TEST(Json, Fields) {
  const nlohmann::json json = {{"i", 1}, {"s", "x"}, {"null", nullptr}, {"b", true}, {"d", 0.5}};
  EXPECT_EQ(GetInt(json, "i", "f"), 1);
  EXPECT_EQ(GetInt(json, "null", "f", 7), 7);
  EXPECT_EQ(GetString(json, "none", "f", "y"), "y");
  EXPECT_EQ(GetDouble(json, "d", "f", 1), 0.5);
  EXPECT_TRUE(GetBool(json, "b", "f", false));
  EXPECT_EQ(ErrorOf([&] { GetInt(json, "d", "f"); }), "[convert] f: d: got 0.5, want an integer");
  EXPECT_EQ(ErrorOf([&] { GetBool(json, "i", "f", false); }),
            "[convert] f: i: got 1, want true or false");
  EXPECT_EQ(ErrorOf([&] { GetDoubles(json, "s", "f"); }),
            "[convert] f: s: got \"x\", want a list of numbers");
  TestFolder folder;
  EXPECT_THAT(ErrorOf([&] { ReadJson(folder / "none.json"); }), HasSubstr("got no such file"));
}

}  // namespace
}  // namespace sinter::convert
