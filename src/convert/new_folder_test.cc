#include "convert/new_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <optional>

#include "convert/testing.h"

namespace sinter::convert {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

// What a killed process left behind goes; what a process is writing, or what only looks alike,
// stays.
TEST(NewFolder, RemovesAbandonedOnes) {
  TestFolder folder;
  const fs::path abandoned = folder / "out.part123", empty = folder / "out.part124",
                 mine = folder / "out.part7", other = folder / "out.party1";
  std::optional<NewFolder> live(std::in_place, folder / "out");
  live->Write("file", "text");
  for (const fs::path& path : {abandoned, other}) fs::copy(live->path(), path);
  fs::create_directory(empty);
  fs::create_directory(mine);
  std::ofstream(mine / "file") << "mine";
  fs::create_directory_symlink(mine, folder / "out.part8");
  const fs::path being_written = live->path();
  // A second folder of this process would have the same name, so the first one is renamed.
  const fs::path renamed = folder / "out.part99999999";
  fs::rename(being_written, renamed);
  EXPECT_THAT(ErrorOf([&] { NewFolder(folder / "out"); }),
              HasSubstr("/out': got a folder that another conversion is writing"));
  EXPECT_TRUE(fs::exists(renamed / "file"));
  live.reset();
  {
    NewFolder next(folder / "out");
    EXPECT_FALSE(fs::exists(renamed)) << "nobody holds it any more";
    EXPECT_FALSE(fs::exists(abandoned));
    EXPECT_FALSE(fs::exists(empty));
    EXPECT_TRUE(fs::exists(mine / "file"));
    EXPECT_TRUE(fs::exists(folder / "out.part8"));
    EXPECT_TRUE(fs::exists(other));
    next.Write("a", "bc");
    EXPECT_EQ(next.Finish(), 2u);
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(folder / "out"), {}), 1) << "no mark";
  fs::remove_all(folder / "out");
  { NewFolder next(folder / "out"); }
  EXPECT_FALSE(fs::exists(folder / "out"));
}

TEST(NewFolder, RefusesWhatIsThere) {
  TestFolder folder;
  const auto error = [&](const char* name) { return ErrorOf([&] { NewFolder(folder / name); }); };
  folder.Write("file", "");
  fs::create_directory_symlink("nowhere", folder / "dangling");
  fs::create_directory(folder / "empty");
  fs::create_directory_symlink("empty", folder / "link");
  for (const char* name : {"file", "dangling", "link"})
    EXPECT_THAT(error(name), HasSubstr("got an existing file or folder, want a new name")) << name;
  EXPECT_EQ(error("empty"), "no error");
  folder.Write("file", "");
  EXPECT_THAT(error("file/out"), AllOf(HasSubstr("cannot create the folder"), HasSubstr("/out':")));
  EXPECT_EQ(error("none/or/two/out"), "no error");
  // A folder that takes the name in the meantime stays.
  NewFolder late(folder / "late");
  fs::create_directory(folder / "late");
  std::ofstream(folder / "late" / "file") << "mine";
  EXPECT_THAT(ErrorOf([&] { late.Finish(); }), HasSubstr("/late': got a folder that something"));
  EXPECT_TRUE(fs::exists(folder / "late" / "file"));
}

TEST(NewFolder, CopiesRegularFilesOnly) {
  TestFolder folder;
  NewFolder out(folder / "out");
  folder.Write("tokenizer.json", "text");
  out.Copy(folder / "tokenizer.json");
  EXPECT_EQ(ReadSmallFile(out.path() / "tokenizer.json", "a", "b"), "text");
  ASSERT_EQ(mkfifo((folder / "fifo").c_str(), 0600), 0);
  EXPECT_THAT(ErrorOf([&] { out.Copy(folder / "fifo"); }), HasSubstr("fifo: got a special file"));
  folder.Write("sparse", "");
  fs::resize_file(folder / "sparse", uint64_t{1} << 40);
  EXPECT_THAT(ErrorOf([&] { out.Copy(folder / "sparse"); }), HasSubstr("want at most 268435456"));
}

}  // namespace
}  // namespace sinter::convert
