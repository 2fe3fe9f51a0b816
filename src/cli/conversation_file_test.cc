#include "cli/conversation_file.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

namespace sinter::cli {
namespace {

TEST(ConversationFile, IsWhatMessagesReads) {
  EXPECT_EQ(ConversationText({}, ""), "[]\n");
  const std::string first = R"({"role":"user","content":"a\nb"})", second = R"({"role":"tool"})";
  EXPECT_EQ(ConversationText({first, second}, ""), "[\n" + first + ",\n" + second + "\n]\n");
  const auto json = nlohmann::json::parse(ConversationText({first}, R"([{"name": "f"}])"));
  EXPECT_EQ(json["messages"][0]["content"], "a\nb");
  EXPECT_EQ(json["tools"][0]["name"], "f");
  EXPECT_EQ(nlohmann::json::parse(ConversationText({}, "[]"))["messages"].size(), 0u);
}

TEST(ConversationFile, HasContents) {
  char name[] = "/tmp/sinter-conversation-XXXXXX";
  const std::filesystem::path folder = mkdtemp(name);
  EXPECT_FALSE(HasContents(folder / "a"));
  std::ofstream(folder / "a").close();
  EXPECT_FALSE(HasContents(folder / "a"));
  std::ofstream(folder / "a") << "x";
  EXPECT_TRUE(HasContents(folder / "a"));
  EXPECT_TRUE(HasContents(folder));
  // A link that leads nowhere is not taken for a new file.
  std::filesystem::create_symlink("nowhere", folder / "link");
  EXPECT_TRUE(HasContents(folder / "link"));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace sinter::cli
