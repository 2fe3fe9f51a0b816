#include "onnx/external_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "onnx/test_messages.h"

namespace sinter::onnx {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// Returns a model whose only value is the u8 initializer 'w' in external data. It is the model's
// output.
Proto ModelWith(std::initializer_list<int64_t> dims,
                std::initializer_list<std::pair<std::string_view, std::string_view>> entries) {
  return Model(Proto()
                   .Sub(proto::graph::kInitializer, ExternalTensor("w", 2, dims, entries))
                   .Sub(proto::graph::kOutput, ValueInfo("w", 2)));
}

class ExternalDataTest : public testing::Test {
 protected:
  std::string Read(const Proto& model) {
    const auto graph = ReadBytes(model.bytes, folder_.path());
    const auto bytes = graph->FindValue("w")->constant->bytes;
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  std::string Error(const Proto& model) { return ReadError(model, folder_.path()); }

  TempFolder folder_;
};

TEST_F(ExternalDataTest, ReadsTheRange) {
  folder_.Write("data", "0123456789");
  EXPECT_EQ(Read(ModelWith({4}, {{"location", "data"}, {"offset", "3"}, {"length", "4"}})), "3456");
  EXPECT_EQ(Read(ModelWith({4}, {{"location", "data"}, {"offset", "6"}})), "6789");
  EXPECT_EQ(Read(ModelWith({10}, {{"location", "data"}, {"checksum", "ignored"}, {"other", "?"}})),
            "0123456789");
  EXPECT_EQ(Read(ModelWith({0}, {{"location", "data"}, {"offset", "10"}})), "");
}

TEST_F(ExternalDataTest, ReadsFromASubfolder) {
  std::filesystem::create_directory(folder_ / "sub");
  folder_.Write("sub/data", "ab");
  EXPECT_EQ(Read(ModelWith({2}, {{"location", "sub/data"}})), "ab");
  EXPECT_EQ(Read(ModelWith({2}, {{"location", "./sub/data"}})), "ab");
}

// Download caches fill a model's folder with links into their storage.
TEST_F(ExternalDataTest, FollowsLinks) {
  TempFolder storage;
  std::filesystem::create_symlink(storage.Write("blob", "ab"), folder_ / "data");
  EXPECT_EQ(Read(ModelWith({2}, {{"location", "data"}})), "ab");
}

TEST_F(ExternalDataTest, MapsAFileOnceAndKeepsIt) {
  folder_.Write("data", "ab");
  const Proto model = Model(
      Proto()
          .Sub(proto::graph::kInitializer, ExternalTensor("v", 2, {1}, {{"location", "data"}}))
          .Sub(proto::graph::kInitializer,
               ExternalTensor("w", 2, {1}, {{"location", "data"}, {"offset", "1"}})));
  const auto graph = ReadBytes(model.bytes, folder_.path());
  std::filesystem::remove(folder_ / "data");
  const auto& v = *graph->FindValue("v")->constant;
  const auto& w = *graph->FindValue("w")->constant;
  EXPECT_EQ(v.owner, w.owner);
  EXPECT_EQ(v.bytes.data() + 1, w.bytes.data());
  EXPECT_EQ(w.ToInts(), std::vector<int64_t>{'b'});
}

TEST_F(ExternalDataTest, MissingFile) {
  EXPECT_THAT(Error(ModelWith({2}, {{"location", "none"}})),
              AllOf(HasSubstr("[onnx] model: tensor 'w': external data: [file] cannot open"),
                    HasSubstr("/none': got no such file")));
}

TEST_F(ExternalDataTest, ShorterFileThanDeclared) {
  folder_.Write("data", "0123456789");
  EXPECT_EQ(
      Error(ModelWith({4}, {{"location", "data"}, {"offset", "7"}, {"length", "4"}})),
      "[onnx] model: tensor 'w': file 'data' is too short: got 10 bytes, want 4 bytes at offset 7");
  EXPECT_THAT(Error(ModelWith({11}, {{"location", "data"}})),
              HasSubstr("got 10 bytes, want 11 bytes at offset 0"));
  EXPECT_THAT(Error(ModelWith({1}, {{"location", "data"}, {"offset", "18446744073709551615"}})),
              HasSubstr("too short"));
  EXPECT_THAT(
      Error(ModelWith({1ll << 50}, {{"location", "data"}, {"offset", "18446744073709551615"}})),
      HasSubstr("too short"));
  folder_.Write("empty", "");
  EXPECT_THAT(Error(ModelWith({1}, {{"location", "empty"}})), HasSubstr("got 0 bytes"));
}

TEST_F(ExternalDataTest, LengthThatTypeAndShapeContradict) {
  folder_.Write("data", "0123456789");
  EXPECT_EQ(Error(ModelWith({4}, {{"location", "data"}, {"length", "5"}})),
            "[onnx] model: tensor 'w': length in 'data': got 5 bytes, want 4 by type and shape");
}

TEST_F(ExternalDataTest, NumbersThatAreNone) {
  folder_.Write("data", "0123456789");
  for (const char* number : {"-1", "", "1x", " 1", "+1", "0x1", "18446744073709551616", "1\n"}) {
    EXPECT_THAT(Error(ModelWith({1}, {{"location", "data"}, {"offset", number}})),
                HasSubstr("want a number >= 0"));
    EXPECT_THAT(Error(ModelWith({1}, {{"location", "data"}, {"length", number}})),
                HasSubstr("want a number >= 0"));
  }
}

TEST_F(ExternalDataTest, LocationOutsideTheFolder) {
  using std::string_view_literals::operator""sv;
  for (const std::string_view location : {""sv, "/etc/passwd"sv, "../data"sv, "sub/../../data"sv,
                                          "sub/.."sv, "data\0/../x"sv, "da\nta"sv, "\xff"sv}) {
    EXPECT_THAT(Error(ModelWith({1}, {{"location", location}})),
                HasSubstr("want a file in the model's folder"));
  }
  EXPECT_THAT(Error(ModelWith({1}, {})), HasSubstr("location of external data: got ''"));
}

TEST_F(ExternalDataTest, LocationThatIsNoFile) {
  std::filesystem::create_directory(folder_ / "sub");
  EXPECT_THAT(Error(ModelWith({1}, {{"location", "sub"}})),
              HasSubstr("got a directory, want a regular file"));
  EXPECT_THAT(Error(ModelWith({1}, {{"location", "."}})),
              HasSubstr("got a directory, want a regular file"));
}

TEST_F(ExternalDataTest, ModelWithoutFolder) {
  EXPECT_EQ(
      ReadError(ModelWith({1}, {{"location", "data"}})),
      "[onnx] model: tensor 'w': got external data in 'data', want a model that is read from a "
      "folder");
}

}  // namespace
}  // namespace sinter::onnx
