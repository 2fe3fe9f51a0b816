#include "wgsl/preprocessor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/error.h"
#include "wgsl/message.h"

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

  // Returns file:line for each line of the result.
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

TEST_F(WgslPreprocessorTest, RepeatsItsBodyForEachNumberOfARange) {
  files_["root.wgsl"] = "a\n  #repeat i 1..4 // rows\n  b$i = c[$iu];\nd\n  #endrepeat\ne$i\n";
  const ExpandedWgsl wgsl = Expand();
  EXPECT_EQ(wgsl.source, "a\n  b1 = c[1u];\nd\n  b2 = c[2u];\nd\n  b3 = c[3u];\nd\ne$i\n");
  EXPECT_THAT(Origins(wgsl),
              ::testing::ElementsAre("root.wgsl:1", "root.wgsl:3", "root.wgsl:4", "root.wgsl:3",
                                     "root.wgsl:4", "root.wgsl:3", "root.wgsl:4", "root.wgsl:6"));
}

TEST_F(WgslPreprocessorTest, RepeatsForWordsAndForSeveralRanges) {
  files_["root.wgsl"] =
      "#repeat c x y 8..10 3..3 w\n$c\n#endrepeat\n#repeat i 2..2\nno\n#endrepeat";
  EXPECT_EQ(Expand().source, "x\ny\n8\n9\nw\n");
}

TEST_F(WgslPreprocessorTest, TakesTheBoundsOfARangeFromThePrelude) {
  files_["root.wgsl"] = "#repeat i kFirst..kRows\n$i\n#endrepeat\n";
  const char* const prelude = "const kRowsMore = 9u;\nconst kFirst = 1u;\nconst kRows = 3u;\n";
  EXPECT_EQ(Expand({}, prelude).source, prelude + std::string("1\n2\n"));
  EXPECT_THROW(Expand({}, "const kFirst = 1u;\nconst kRows = 2u * kFirst;\n"), Error);
  EXPECT_THROW(Expand({}, "const kFirst = 1u;\nconst kRows = 3.0;\n"), Error);
  EXPECT_THROW(Expand({}, "const kFirst = 1u;\nconst kRows = kFirst;\n"), Error);
  EXPECT_THROW(Expand({}, "const kFirst = 4u;\nconst kRows = 3u;\n"), Error);
}

TEST_F(WgslPreprocessorTest, RepeatsInARepeat) {
  files_["root.wgsl"] = "#repeat r 0..2\n#repeat c $r..2\ns$r$c\n#endrepeat\nrow $r\n#endrepeat\n";
  const ExpandedWgsl wgsl = Expand();
  EXPECT_EQ(wgsl.source, "s00\ns01\nrow 0\ns11\nrow 1\n");
  EXPECT_THAT(Origins(wgsl), ::testing::ElementsAre("root.wgsl:3", "root.wgsl:3", "root.wgsl:5",
                                                    "root.wgsl:3", "root.wgsl:5"));
}

TEST_F(WgslPreprocessorTest, TakesBranchesInEachCopyOfARepeat) {
  files_["root.wgsl"] = "#repeat i 0..3\n#if row_$i\nb$i\n#else\nnone\n#endif\n#endrepeat\n";
  EXPECT_EQ(Expand({"row_1"}).source, "none\nb1\nnone\n");
}

TEST_F(WgslPreprocessorTest, LeavesOutARepeatOfABranchNotTaken) {
  files_["root.wgsl"] = "#if off\n#repeat i 0..kUnknown\n$i\n#endrepeat\n#else\na\n#endif\nb\n";
  const ExpandedWgsl wgsl = Expand();
  EXPECT_EQ(wgsl.source, "a\nb\n");
  EXPECT_THAT(Origins(wgsl), ::testing::ElementsAre("root.wgsl:6", "root.wgsl:8"));
}

TEST_F(WgslPreprocessorTest, NamesFileAndLineOfEveryMistakeInARepeat) {
  const auto expect_bad = [this](const std::string& argument) {
    ExpectError(
        "a\n#repeat " + argument + "\n#endrepeat\n",
        "root.wgsl:2: #repeat: got '" + argument + "', want a new letter and words or ranges");
  };
  for (const char* argument : {"", "i", "ij 0..4", "$ 0..4", "i 4..0", "i 0..", "i ..4", "i 0..4u",
                               "i 0..kNone", "i -1..2", "i 0..99999999999"}) {
    expect_bad(argument);
  }
  ExpectError("a\n#repeat i 0..2\nb\n", "root.wgsl:2: #repeat: got no #endrepeat, want one");
  ExpectError("#repeat i 0..2\n#repeat j 0..2\n#endrepeat\n",
              "root.wgsl:1: #repeat: got no #endrepeat, want one");
  ExpectError("#endrepeat\n", "root.wgsl:1: #endrepeat: got one without its #repeat, want a pair");
  ExpectError("#repeat i 0..2\n\n#include \"a.wgsl\"\n#endrepeat\n",
              "root.wgsl:3: #include: got one inside the #repeat at root.wgsl:1, want no nesting");
  ExpectError("#repeat i 0..1\n#repeat j 0..1\n#repeat k 0..1\n",
              "root.wgsl:3: #repeat: got one inside the #repeat at root.wgsl:1, want no nesting");
  ExpectError("#repeat i 0..2\n#repeat i 0..2\n#endrepeat\n#endrepeat\n",
              "root.wgsl:2: #repeat: got 'i 0..2', want a new letter");
  ExpectError("#repeat i 0..2\n#if on\n#endrepeat\n", "root.wgsl:2: #if: got no #endif, want one");
  ExpectError("#if on\n#repeat i 0..2\n#if on\n#endif\n#endrepeat\n#endif\n",
              "root.wgsl:3: #if: got one inside that of line 1, want no nesting");
  ExpectError("#if on\n#repeat i 0..2\n#endif\n#endrepeat\n",
              "root.wgsl:3: #endif: got one without its #if, want a pair");
  ExpectError("#if on\n#repeat i 0..2\n#else\n#endrepeat\n#endif\n",
              "root.wgsl:3: #else: got one without its #if, want a pair");
  // An unbalanced #repeat is an error even in an inactive #if.
  ExpectError("#if off\n#repeat i 0..2\n#endif\n",
              "root.wgsl:2: #repeat: got no #endrepeat, want one");
}

TEST_F(WgslPreprocessorTest, NamesFileAndLineOfEveryMistake) {
  files_["loop.wgsl"] = "\n#include \"root.wgsl\"\n";
  ExpectError("a\n#include \"loop.wgsl\"\n",
              "loop.wgsl:2: include: got a cycle through root.wgsl, want none");
  ExpectError("#include \"root.wgsl\"\n",
              "root.wgsl:1: include: got a cycle through root.wgsl, want none");
  ExpectError("a\n#include \"gone.wgsl\"\n",
              "root.wgsl:2: file: got nothing at gone.wgsl, want a file");
  ExpectError("#include gone.wgsl\n",
              "root.wgsl:1: #include: got 'gone.wgsl', want a path in quotes");
  ExpectError("#include\n", "root.wgsl:1: #include: got '', want");
  ExpectError("#include \"\"\n", "root.wgsl:1: #include: got '\"\"', want");
  ExpectError("#include \"a\" b\n", "root.wgsl:1: #include: got '\"a\" b', want");
  ExpectError("#if on\n#if off\n#endif\n#endif\n",
              "root.wgsl:2: #if: got one inside that of line 1");
  ExpectError("#if\n#endif\n", "root.wgsl:1: #if: got '', want NAME or !NAME");
  ExpectError("#if a && b\n#endif\n", "root.wgsl:1: #if: got 'a && b', want NAME or !NAME");
  ExpectError("a\n#if on\nb\n", "root.wgsl:2: #if: got no #endif, want one");
  ExpectError("#else\n", "root.wgsl:1: #else: got one without its #if");
  ExpectError("#if on\n#else\n#else\n#endif\n", "root.wgsl:3: #else: got one without its #if");
  ExpectError("#endif\n", "root.wgsl:1: #endif: got one without its #if");
  ExpectError("#if on\n#endif on\n", "root.wgsl:2: after #endif: got 'on', want nothing");
  ExpectError(
      "#define x\n",
      "root.wgsl:1: directive: got '#define', want include, if, else, endif, repeat or endrepeat");
  files_.clear();
  EXPECT_THROW(Expand(), Error);
}

TEST_F(WgslPreprocessorTest, MapsMessagesToTheFilesThatWereWritten) {
  files_["root.wgsl"] = "#include \"a.wgsl\"\nfn main() { let x = nope; }\n";
  files_["a.wgsl"] = "#if on\nfn a() {}\n#endif\nfn b() {}\n";
  const ExpandedWgsl wgsl = Expand({}, "const k = 1u;\n", {"f16"});
  // Expanded lines: enable, prelude, b, main.
  EXPECT_EQ(MapMessage(wgsl, ":4:21 error: unresolved value 'nope'\nfn main() { let x = nope; }\n"),
            "root.wgsl:2:21 error: unresolved value 'nope'\nfn main() { let x = nope; }\n");
  EXPECT_EQ(MapMessage(wgsl, "Error while parsing WGSL: :3:4 error: bad"),
            "Error while parsing WGSL: a.wgsl:4:4 error: bad\nfn b() {}\n   ^");
  EXPECT_EQ(MapMessage(wgsl, ":2:7 note: here\n"),
            "<prelude>:1:7 note: here\nconst k = 1u;\n      ^\n");
}

TEST_F(WgslPreprocessorTest, MapsMessagesIntoARepeatAndQuotesTheCopy) {
  files_["root.wgsl"] = "#repeat i 0..2\nlet a$i = b$i;\n#endrepeat\nc\n";
  const ExpandedWgsl wgsl = Expand();
  EXPECT_EQ(MapMessage(wgsl, ":2:10 error: unresolved value"),
            "root.wgsl:2:10 error: unresolved value\nlet a1 = b1;\n         ^");
  EXPECT_EQ(MapMessage(wgsl, ":3:1 error: bad\n"), "root.wgsl:4:1 error: bad\nc\n^\n");
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
