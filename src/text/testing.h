// Provides helpers for the tests of src/text: the committed tokenizers, random text, and a check of
// an Error's message. Included by *_test.cc only.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace sinter::text {

// Runs `statement` and expects a sinter::Error whose message contains `part`.
#define EXPECT_ERROR(statement, part)                             \
  do {                                                            \
    try {                                                         \
      (void)(statement);                                          \
      ADD_FAILURE() << "want an Error with \"" << (part) << "\""; \
    } catch (const ::sinter::Error& error) {                      \
      EXPECT_THAT(error.what(), ::testing::HasSubstr(part));      \
    }                                                             \
  } while (false)

inline std::string ReadTestFile(const std::string& name) {
  std::ifstream file(std::string(SINTER_TOKENIZER_DATA) + "/" + name, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << name;
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

// Returns a committed tokenizer.
//
// byte_level.json: id = byte for 0 to 255, then merges, then four added tokens; Qwen's pattern.
// sentencepiece.json: <unk>, <s>, </s>, the byte tokens, characters and merges; Phi-3's components.
inline nlohmann::json TestTokenizer(const std::string& name) {
  return nlohmann::json::parse(ReadTestFile(name));
}

inline Tokenizer Load(const nlohmann::json& json) { return Tokenizer::FromJson(json.dump()); }

// Returns random characters from all planes, many of them ASCII.
inline std::string RandomText(std::mt19937& random, int length) {
  std::string text;
  for (int i = 0; i < length; ++i) {
    char32_t c = 0;
    switch (random() % 6) {
      case 0:
        c = random() % 0x80;
        break;
      case 1:
        c = " \n\t'0aAz"[random() % 8];
        break;
      case 2:
        c = 0x80 + random() % 0x780;
        break;
      case 3:
        c = 0x4E00 + random() % 0x5000;
        break;
      case 4:
        c = 0x1F300 + random() % 0x300;
        break;
      case 5:
        c = random() % 0x110000;
        break;
    }
    if (c >= 0xD800 && c < 0xE000) c = 0x301;
    AppendUtf8(c, &text);
  }
  return text;
}

// Returns the text of all ids decoded by a StreamDecoder, and expects every piece to be whole
// characters.
inline std::string Stream(const Tokenizer& tokenizer, const std::vector<int32_t>& ids,
                          bool skip_special) {
  StreamDecoder decoder(tokenizer, skip_special);
  std::string text;
  for (const int32_t id : ids) {
    const std::string piece = decoder.Push(id);
    EXPECT_TRUE(IsValidUtf8(piece));
    text += piece;
  }
  return text + decoder.Flush();
}

}  // namespace sinter::text
