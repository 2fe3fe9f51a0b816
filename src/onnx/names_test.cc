#include "onnx/names.h"

#include <gtest/gtest.h>

namespace sinter::onnx {
namespace {

TEST(Names, PrintableAreTextsInUtf8) {
  for (const char* name :
       {"", "input_ids", "/model/layers.0/[1, 2]", "gr\xc3\xbc\xc3\x9f", "\xe6\x96\x87",
        "\xf0\x9f\x98\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf", "\xc2\xa0"}) {
    EXPECT_TRUE(IsPrintableName(name)) << name;
  }
}

TEST(Names, RefusesControlCharacters) {
  using std::string_view_literals::operator""sv;
  for (const std::string_view name :
       {"a\0b"sv, "a\nb"sv, "\x1b[2J"sv, "\x7f"sv, "\xc2\x80"sv, "\xc2\x9f"sv}) {
    EXPECT_FALSE(IsPrintableName(name)) << EscapeName(name);
  }
}

TEST(Names, RefusesBrokenUtf8) {
  for (const std::string_view name :
       {"\x80", "\xc3", "\xc3(", "\xc0\xaf", "\xc1\xbf", "\xe6\x96", "\xe0\x80\xaf", "\xed\xa0\x80",
        "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "a\xf0\x9f\x98"}) {
    EXPECT_FALSE(IsPrintableName(name)) << EscapeName(name);
  }
}

TEST(Names, EscapesAndShortens) {
  EXPECT_EQ(EscapeName("a\n\xff b"), "a\\x0a\\xff b");
  EXPECT_EQ(EscapeName(std::string(100, 'x')), std::string(80, 'x') + "...");
  EXPECT_EQ(EscapeName(std::string(80, 'x')), std::string(80, 'x'));
}

}  // namespace
}  // namespace sinter::onnx
