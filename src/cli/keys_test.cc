#include "cli/keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace sinter::cli {

void PrintTo(const Key& key, std::ostream* out) {
  *out << static_cast<int>(key.kind) << " '" << key.text << "'";
}
bool operator==(const Key& a, const Key& b) { return a.kind == b.kind && a.text == b.text; }

namespace {

using Keys = std::vector<Key>;

void Decode(KeyDecoder& decoder, Keys& keys) {
  while (std::optional<Key> key = decoder.Next()) {
    // Text may arrive in several pieces.
    if (key->kind == KeyKind::kText && !keys.empty() && keys.back().kind == KeyKind::kText) {
      keys.back().text += key->text;
    } else {
      keys.push_back(*key);
    }
  }
}

Keys Decoded(KeyDecoder& decoder) {
  Keys keys;
  Decode(decoder, keys);
  return keys;
}

Keys KeysOf(std::string_view bytes) {
  KeyDecoder decoder;
  decoder.Feed(bytes);
  return Decoded(decoder);
}

Key Named(KeyKind kind) { return {kind, ""}; }
Key Text(std::string text) { return {KeyKind::kText, std::move(text)}; }

TEST(Keys, TextAndControls) {
  EXPECT_EQ(KeysOf("h\xc3\xa9!\r"), (Keys{Text("h\xc3\xa9!"), Named(KeyKind::kEnter)}));
  EXPECT_EQ(KeysOf("\x01\x7f\x08\x0a\x04"),
            (Keys{Named(KeyKind::kHome), Named(KeyKind::kBackspace), Named(KeyKind::kBackspace),
                  Named(KeyKind::kEnter), Named(KeyKind::kEndOfInput)}));
  EXPECT_EQ(KeysOf(std::string_view("\0\x1c\x1f", 3)), Keys());
}

TEST(Keys, Sequences) {
  EXPECT_EQ(KeysOf("\x1b[A\x1bOB\x1b[1;5C\x1b[3~\x1b\r\x1b[27;2;13~\x1b[13;2u\x1b"
                   "b"),
            (Keys{Named(KeyKind::kUp), Named(KeyKind::kDown), Named(KeyKind::kWordRight),
                  Named(KeyKind::kDelete), Named(KeyKind::kNewline), Named(KeyKind::kNewline),
                  Named(KeyKind::kNewline), Named(KeyKind::kWordLeft)}));
  // Unknown ones leave nothing behind: F5, a mouse report, F1 of the Linux console, Alt-x.
  EXPECT_EQ(KeysOf("\x1b[15~\x1b[<0;3;4M\x1b[[A\x1bxa"), (Keys{Text("a")}));
  // A control character ends a broken one.
  EXPECT_EQ(KeysOf("\x1b[12\x03"), (Keys{Named(KeyKind::kInterrupt)}));
  EXPECT_EQ(KeysOf("\x1b\x1b[A"), (Keys{Named(KeyKind::kUp)}));
}

TEST(Keys, BytesMayBeCutAnywhere) {
  const std::string bytes =
      "a\xe2\x82\xac\x1b[1;5D\xf0\x9f\x98\x80\x1b[200~x\r\ny\x1b[z\x1b[201~\x1b[A\xc3\xa9\x1b\n";
  const Keys whole = KeysOf(bytes);
  ASSERT_EQ(whole.size(), 7u);
  EXPECT_EQ(whole[3], (Key{KeyKind::kPaste, "x\ny\x1b[z"}));
  for (size_t cut = 1; cut < bytes.size(); ++cut) {
    KeyDecoder decoder;
    Keys keys;
    for (const std::string& part : {bytes.substr(0, cut), bytes.substr(cut)}) {
      decoder.Feed(part);
      Decode(decoder, keys);
    }
    EXPECT_EQ(keys, whole) << cut;
    EXPECT_FALSE(decoder.Waits());
  }
}

TEST(Keys, AWaitEndsWithAFlush) {
  KeyDecoder decoder;
  decoder.Feed("\x1b");
  EXPECT_EQ(decoder.Next(), std::nullopt);
  EXPECT_TRUE(decoder.Waits());
  decoder.Flush();
  EXPECT_EQ(decoder.Next(), Named(KeyKind::kCancel));
  EXPECT_FALSE(decoder.Waits());
  decoder.Feed("\xe2\x82");
  EXPECT_EQ(decoder.Next(), std::nullopt);
  decoder.Flush();
  EXPECT_EQ(decoder.Next(), Text("\xef\xbf\xbd"));
  decoder.Feed("\x1b[1;");
  decoder.Flush();
  EXPECT_EQ(decoder.Next(), std::nullopt);
  EXPECT_FALSE(decoder.Waits());
}

TEST(Keys, IllFormedTextIsRepaired) {
  EXPECT_EQ(KeysOf("a\xff\xc3(\x80"), (Keys{Text("a\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd")}));
}

TEST(Keys, Pastes) {
  EXPECT_EQ(KeysOf("\x1b[200~one\r\rtwo\n\x03\xff\x1b[201~"),
            (Keys{{KeyKind::kPaste, "one\n\ntwo\n\x03\xef\xbf\xbd"}}));
  EXPECT_EQ(KeysOf("\x1b[200~\x1b[201~"), (Keys{{KeyKind::kPaste, ""}}));
  // A terminal that never ends the paste: Ctrl-C by itself does.
  KeyDecoder decoder;
  decoder.Feed("\x1b[200~one");
  EXPECT_EQ(Decoded(decoder), Keys());
  EXPECT_FALSE(decoder.Waits());
  decoder.Feed("\x03");
  EXPECT_EQ(Decoded(decoder), (Keys{{KeyKind::kPaste, "one"}, Named(KeyKind::kInterrupt)}));
}

TEST(Keys, ALongPasteIsReadOnce) {
  KeyDecoder decoder;
  decoder.Feed("\x1b[200~");
  for (int i = 0; i < 2000; ++i) {
    decoder.Feed(std::string(1000, 'x'));
    ASSERT_EQ(decoder.Next(), std::nullopt);
  }
  decoder.Feed("\x1b[201~");
  EXPECT_EQ(decoder.Next()->text.size(), 2'000'000u);
}

}  // namespace
}  // namespace sinter::cli
