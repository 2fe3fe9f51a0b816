#include "cli/model_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/error.h"

namespace sinter::cli {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class ModelNamesTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "names_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    temp_ = pattern;
    own_ = temp_ / "own";
    fs::create_directory(own_);
  }
  void TearDown() override { fs::remove_all(temp_); }

  fs::path MakeModel(const fs::path& folder, std::string_view data = "12345") {
    fs::create_directories(folder);
    std::ofstream(folder / "genai_config.json") << "{}";
    std::ofstream(folder / "model.onnx.data") << data;
    return folder;
  }
  std::vector<std::string> Names(const std::vector<fs::path>& further = {}) {
    std::vector<std::string> names;
    for (const NamedModel& model : ListModels(own_, further))
      names.push_back(model.name + (model.own ? "" : "*"));
    return names;
  }
  std::string RemoveError(const std::string& name) {
    try {
      RemoveOwnModel(own_, name);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  fs::path temp_, own_;
};

TEST_F(ModelNamesTest, ListsFoldersWithAConfiguration) {
  EXPECT_THAT(Names(), ElementsAre());
  MakeModel(own_ / "qwen");
  MakeModel(own_ / "llama");
  MakeModel(own_ / ".hidden");
  fs::create_directory(own_ / "phi.part123");
  std::ofstream(own_ / "notes.txt") << "hi";
  fs::create_directory_symlink("nowhere", own_ / "dangling");
  MakeModel(temp_ / "data" / "phi");
  MakeModel(temp_ / "data" / "qwen");
  EXPECT_THAT(Names(), ElementsAre("llama", "qwen"));
  EXPECT_THAT(Names({temp_ / "data", temp_ / "absent", temp_ / "data" / "phi"}),
              ElementsAre("llama", "qwen", "phi*", "qwen*", "phi*"));
  EXPECT_TRUE(ListModels("", {}).empty());
}

TEST_F(ModelNamesTest, APathThatExistsWinsOverAName) {
  const fs::path qwen = MakeModel(own_ / "qwen");
  const std::vector<fs::path> further = {temp_ / "data", temp_ / "alone"};
  MakeModel(temp_ / "data" / "qwen");
  MakeModel(temp_ / "data" / "phi");
  MakeModel(temp_ / "alone");
  const auto resolve = [&](const std::string& given) { return ResolveModel(given, own_, further); };
  EXPECT_EQ(resolve("qwen"), qwen) << "the own folder is the first";
  EXPECT_EQ(resolve("phi"), temp_ / "data" / "phi");
  EXPECT_EQ(resolve("alone"), temp_ / "alone");
  for (const char* same : {"absent", "", ".", "..", "../own/qwen", "own/qwen", ".hidden"})
    EXPECT_EQ(resolve(same), same);
  const fs::path before = fs::current_path();
  fs::current_path(temp_);
  fs::create_directory("qwen");
  EXPECT_EQ(resolve("qwen"), "qwen");
  fs::current_path(before);
}

TEST_F(ModelNamesTest, NamesOfCheckpoints) {
  EXPECT_EQ(NameForCheckpoint("/x/Qwen3-0.6B"), "qwen3-0.6b");
  EXPECT_EQ(NameForCheckpoint("/x/Qwen3-0.6B/"), "qwen3-0.6b");
  EXPECT_EQ(NameForCheckpoint("/x/y/../My model (2)"), "my-model--2-");
  EXPECT_EQ(NameForCheckpoint("/x/.cache"), "cache");
  EXPECT_EQ(NameForCheckpoint("/"), "model");
  EXPECT_EQ(NameForCheckpoint("/hub/models--meta-llama--Llama-3.2-1B/snapshots/0a1b2c"),
            "llama-3.2-1b");
  EXPECT_EQ(NameForCheckpoint("/hub/snapshots/0a1b2c"), "0a1b2c");
  fs::create_directory(temp_ / "Model_A");
  const fs::path before = fs::current_path();
  fs::current_path(temp_ / "Model_A");
  EXPECT_EQ(NameForCheckpoint("."), "model_a");
  fs::current_path(before);
}

TEST_F(ModelNamesTest, RemovesOnlyModelsOfItsOwn) {
  MakeModel(own_ / "qwen");
  MakeModel(temp_ / "outside");
  EXPECT_EQ(RemoveError("qwen"), "");
  EXPECT_FALSE(fs::exists(own_ / "qwen"));
  for (const char* path : {"../outside", "", ".", "..", "a/b", "/", ".."})
    EXPECT_THAT(RemoveError(path), HasSubstr("got a path, want the name of a model")) << path;
  EXPECT_THAT(RemoveError((temp_ / "outside").string()), HasSubstr("got a path"));
  EXPECT_THAT(RemoveError("outside"), HasSubstr("got no model of that name"));
  fs::create_directory(own_ / "notes");
  EXPECT_THAT(RemoveError("notes"), HasSubstr("got something without a file of a model"));
  EXPECT_TRUE(fs::exists(own_ / "notes"));
  EXPECT_TRUE(fs::exists(temp_ / "outside" / "genai_config.json"));
  EXPECT_THROW(FindOwnModel("", "qwen"), Error);
}

TEST_F(ModelNamesTest, BrokenModelsAreListedAndRemoved) {
  MakeModel(own_ / "qwen");
  for (const fs::path& folder : {own_ / "broken", own_ / "new.part7", temp_ / "other/checkpoint"}) {
    fs::create_directories(folder);
    std::ofstream(folder / "config.json") << "{}";
  }
  std::ofstream(own_ / "new.part7" / ".sinter-unfinished");
  EXPECT_THAT(Names({temp_ / "other"}), ElementsAre("broken", "qwen"));
  EXPECT_EQ(ResolveModel("broken", own_, {}), "broken") << "it cannot be used";
  EXPECT_THAT(RemoveError("new.part7"), HasSubstr("want a model folder"));
  EXPECT_EQ(RemoveError("broken"), "");
  EXPECT_FALSE(fs::exists(own_ / "broken"));
}

TEST_F(ModelNamesTest, RemovesLinksAndNotWhatTheyLeadTo) {
  const fs::path outside = MakeModel(temp_ / "outside");
  fs::create_directory_symlink(outside, own_ / "link");
  EXPECT_EQ(RemoveError("link"), "");
  EXPECT_FALSE(fs::exists(fs::symlink_status(own_ / "link")));
  EXPECT_TRUE(fs::exists(outside / "model.onnx.data"));

  const fs::path inner = MakeModel(own_ / "inner");
  fs::create_directory_symlink(outside, inner / "folder");
  fs::create_symlink(outside / "model.onnx.data", inner / "file");
  EXPECT_EQ(RemoveError("inner"), "");
  EXPECT_TRUE(fs::exists(outside / "model.onnx.data"));
}

TEST_F(ModelNamesTest, BytesOfAFolder) {
  const fs::path model = MakeModel(own_ / "qwen", "0123456789");
  EXPECT_EQ(FolderBytes(model), 12u);
  MakeModel(temp_ / "outside", "0123456789");
  fs::create_symlink(temp_ / "outside" / "model.onnx.data", model / "file");
  fs::create_directory_symlink(temp_ / "outside", model / "folder");
  EXPECT_EQ(FolderBytes(model), 22u);
  EXPECT_EQ(FolderBytes(temp_ / "absent"), 0u);
}

}  // namespace
}  // namespace sinter::cli
