#include "wgsl/preprocessor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/error.h"

namespace sinter::wgsl {
namespace {

using ::testing::HasSubstr;

class WgslPreprocessorTest : public ::testing::Test {
 protected:
  ExpandedWgsl Expand(std::vector<std::string> defines = {}, std::string_view prelude = {},
                      std::vector<std::string> extensions = {}) {
    const SourceResolver resolve = [this](std::string_view path) -> std::optional<std::string> {
      const auto found = files_.find(path);
      if (found == files_.end()) return std::nullopt;
      return found->second;
    };
    return ExpandWgsl(resolve, "root.wgsl", defines, prelude, extensions);
  }

  void ExpectError(const std::string& root, const std::string& text) {
    files_["root.wgsl"] = root;
    try {
      Expand({"on"});
      FAIL() << "no error for: " << root;
    } catch (const Error& error) {
      EXPECT_EQ(error.area(), "wgsl");
      EXPECT_THAT(error.what(), HasSubstr(text));
    }
  }

  // file:line of each line of the result.
  static std::vector<std::string> Origins(const ExpandedWgsl& wgsl) {
    std::vector<std::string> out;
    for (const auto& origin : wgsl.origins)
      out.push_back(fmt::format("{}:{}", wgsl.files[origin.file], origin.line));
    return out;
  }

  std::map<std::string, std::string, std::less<>> files_;
};

TEST_F(WgslPreprocessorTest, PutsExtensionsThenPreludeThenTheFile) {
  files_["root.wgsl"] = "fn main() {}\n";
  const ExpandedWgsl wgsl = Expand({}, "alias act_t = f16;\nconst k = 2u;\n", {"f16", "subgroups"});
  EXPECT_EQ(wgsl.source,
            "enable f16;\nenable subgroups;\nalias act_t = f16;\nconst k = 2u;\nfn main() {}\n");
  EXPECT_THAT(Origins(wgsl), ::testing::ElementsAre("<enable>:1", "<enable>:2", "<prelude>:1",
                                                    "<prelude>:2", "root.wgsl:1"));
}

TEST_F(WgslPreprocessorTest, EndsEveryLineEvenWhereThePreludeAndTheFileDoNot) {
  files_["root.wgsl"] = "b\r\nc";
  const ExpandedWgsl wgsl = Expand({}, "a");
  EXPECT_EQ(wgsl.source, "a\nb\nc\n");
  EXPECT_EQ(wgsl.origins.size(), 3u);
}

TEST_F(WgslPreprocessorTest, IncludesEachFileOnce) {
  files_["root.wgsl"] = "#include \"a.wgsl\"\n  #include \"b.wgsl\" // helpers\nroot\n";
  files_["a.wgsl"] = "#include \"b.wgsl\"\na\n";
  files_["b.wgsl"] = "// #include \"nothing.wgsl\"\nb\n";
  const ExpandedWgsl wgsl = Expand();
  EXPECT_EQ(wgsl.source, "// #include \"nothing.wgsl\"\nb\na\nroot\n");
  EXPECT_THAT(Origins(wgsl),
              ::testing::ElementsAre("b.wgsl:1", "b.wgsl:2", "a.wgsl:2", "root.wgsl:3"));
}

TEST_F(WgslPreprocessorTest, TakesTheBranchesOfItsDefines) {
  files_["root.wgsl"] =
      "#if f16\nhalf\n#else\nfloat\n#endif\n#if !bias // absent\nno bias\n#endif\nend\n";
  EXPECT_EQ(Expand({"f16", "bias"}).source, "half\nend\n");
  EXPECT_EQ(Expand().source, "float\nno bias\nend\n");
  EXPECT_THAT(Origins(Expand()),
              ::testing::ElementsAre("root.wgsl:4", "root.wgsl:7", "root.wgsl:9"));
}

TEST_F(WgslPreprocessorTest, LeavesOutIncludesOfABranchNotTaken) {
  files_["root.wgsl"] = "#if on\n#include \"missing.wgsl\"\n#endif\nend\n";
  EXPECT_EQ(Expand().source, "end\n");
}

TEST_F(WgslPreprocessorTest, LetsAnIncludedFileHaveItsOwnIf) {
  files_["root.wgsl"] = "#if on\n#include \"a.wgsl\"\n#endif\n";
  files_["a.wgsl"] = "#if off\nx\n#else\ny\n#endif\n";
  EXPECT_EQ(Expand({"on"}).source, "y\n");
}

TEST_F(WgslPreprocessorTest, NamesFileAndLineOfEveryMistake) {
  files_["loop.wgsl"] = "\n#include \"root.wgsl\"\n";
  ExpectError("a\n#include \"loop.wgsl\"\n",
              "loop.wgsl:2: include: got a cycle through root.wgsl, want none");
  ExpectError("#include \"root.wgsl\"\n",
              "root.wgsl:1: include: got a cycle through root.wgsl, want none");
  ExpectError("a\n#include \"gone.wgsl\"\n", "root.wgsl:2: file: got no file gone.wgsl, want one");
  ExpectError("#include gone.wgsl\n",
              "root.wgsl:1: #include: got 'gone.wgsl', want a path in quotes");
  ExpectError("#include\n", "root.wgsl:1: #include: got '', want");
  ExpectError("#include \"\"\n", "root.wgsl:1: #include: got '\"\"', want");
  ExpectError("#include \"a\" b\n", "root.wgsl:1: #include: got '\"a\" b', want");
  ExpectError("#if on\n#if off\n#endif\n#endif\n", "root.wgsl:2: #if: got one in that of line 1");
  ExpectError("#if\n#endif\n", "root.wgsl:1: #if: got '', want NAME or !NAME");
  ExpectError("#if a && b\n#endif\n", "root.wgsl:1: #if: got 'a && b', want NAME or !NAME");
  ExpectError("a\n#if on\nb\n", "root.wgsl:2: #if: got no #endif, want one");
  ExpectError("#else\n", "root.wgsl:1: #else: got one without its #if");
  ExpectError("#if on\n#else\n#else\n#endif\n", "root.wgsl:3: #else: got one without its #if");
  ExpectError("#endif\n", "root.wgsl:1: #endif: got one without its #if");
  ExpectError("#if on\n#endif on\n", "root.wgsl:2: after #endif: got 'on', want nothing");
  ExpectError("#define x\n",
              "root.wgsl:1: directive: got '#define', want include, if, else or endif");
  files_.clear();
  EXPECT_THROW(Expand(), Error);
}

TEST_F(WgslPreprocessorTest, MapsMessagesToTheFilesThatWereWritten) {
  files_["root.wgsl"] = "#include \"a.wgsl\"\nfn main() { let x = nope; }\n";
  files_["a.wgsl"] = "#if on\nfn a() {}\n#endif\nfn b() {}\n";
  const ExpandedWgsl wgsl = Expand({}, "const k = 1u;\n", {"f16"});
  // Lines: enable, prelude, b, main.
  EXPECT_EQ(MapMessage(wgsl, ":4:21 error: unresolved value 'nope'\nfn main() { let x = nope; }\n"),
            "root.wgsl:2:21 error: unresolved value 'nope'\nfn main() { let x = nope; }\n");
  EXPECT_EQ(MapMessage(wgsl, "Error while parsing WGSL: :3:4 error: bad"),
            "Error while parsing WGSL: a.wgsl:4:4 error: bad\nfn b() {}\n   ^");
  EXPECT_EQ(MapMessage(wgsl, ":2:7 note: here\n"),
            "<prelude>:1:7 note: here\nconst k = 1u;\n      ^\n");
}

TEST_F(WgslPreprocessorTest, LeavesOtherTextOfMessagesAlone) {
  files_["root.wgsl"] = "a\n";
  const ExpandedWgsl wgsl = Expand();
  for (const char* text :
       {"", "no place", "at :9:1", "at :0:1", "other.wgsl:1:1", ":1", ":1:", ": 1:1", "a\n\nb\n"}) {
    EXPECT_EQ(MapMessage(wgsl, text), text);
  }
}

}  // namespace
}  // namespace sinter::wgsl
