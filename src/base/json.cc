#include "base/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/error.h"

namespace sinter {
namespace {

constexpr size_t kExcerptBytes = 100;

// Text that is being parsed, and how far the parser has read.
struct Cursor {
  std::string_view text, area, what;
  const char* read;

  template <typename... Args>
  [[noreturn]] void Fail(fmt::format_string<Args...> format, Args&&... args) const {
    const std::string_view before(text.data(), static_cast<size_t>(read - text.data()));
    const size_t line_begin = before.rfind('\n') + 1;  // npos + 1 is 0
    throw Error(area, "{}: line {}, column {}: {}", what,
                std::count(before.begin(), before.end(), '\n') + 1,
                std::max<size_t>(before.size() - line_begin, 1),
                fmt::format(format, std::forward<Args>(args)...));
  }
};

// Iterator over the text that records how far the parser has come.
class Position {
 public:
  using iterator_category = std::forward_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  Position(const char* at, Cursor* cursor) : at_(at), cursor_(cursor) {}
  reference operator*() const { return *at_; }
  Position& operator++() {
    cursor_->read = ++at_;
    return *this;
  }
  Position operator++(int) {
    const Position before = *this;
    ++*this;
    return before;
  }
  bool operator==(const Position& other) const { return at_ == other.at_; }
  bool operator!=(const Position& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  Cursor* cursor_;
};

// Turns a message of nlohmann, such as "[json.exception.parse_error.101] parse error at line 1,
// column 2: syntax error while parsing value - invalid literal; last read: 'x'", into its reason.
// Drops what was read last, because that may be a megabyte and need not be UTF-8.
std::string_view Reason(std::string_view message) {
  if (const size_t read = message.find("; last read"); read != std::string_view::npos)
    message = message.substr(0, read);
  if (message.starts_with("["))
    message.remove_prefix(std::min(message.find(']') + 2, message.size()));
  if (message.starts_with("parse error"))
    message.remove_prefix(std::min(message.find(": ") + 2, message.size()));
  return message;
}

// Builds a value from the parser's events.
template <typename Json>
class Builder {
 public:
  using number_integer_t = typename Json::number_integer_t;
  using number_unsigned_t = typename Json::number_unsigned_t;
  using number_float_t = typename Json::number_float_t;
  using string_t = typename Json::string_t;
  using binary_t = typename Json::binary_t;

  Builder(const Cursor& cursor, const JsonLimits& limits) : cursor_(cursor), limits_(limits) {}
  Json Take() { return std::move(root_); }

  bool null() { return Add(nullptr); }
  bool boolean(bool value) { return Add(value); }
  bool number_integer(number_integer_t value) { return Add(value); }
  bool number_unsigned(number_unsigned_t value) { return Add(value); }
  bool number_float(number_float_t value, const string_t&) { return Add(value); }
  bool string(string_t& value) { return Add(std::move(value)); }
  bool binary(binary_t& value) { return Add(std::move(value)); }

  bool start_object(size_t) { return Open(Json::value_t::object); }
  bool start_array(size_t) { return Open(Json::value_t::array); }
  bool end_object() { return Close(); }
  bool end_array() { return Close(); }

  bool key(string_t& key) {
    Count();
    auto& object = open_.back()->template get_ref<typename Json::object_t&>();
    if constexpr (kOrdered) {
      // An ordered_map looks a key up by going through all of them.
      if (!keys_.back().insert(key).second) FailDuplicate(key);
      object.emplace_back(std::move(key), nullptr);
      member_ = &object.back().second;
    } else {
      const auto [it, fresh] = object.try_emplace(std::move(key), nullptr);
      if (!fresh) FailDuplicate(it->first);
      member_ = &it->second;
    }
    return true;
  }

  bool parse_error(size_t, const std::string&, const nlohmann::json::exception& error) {
    cursor_.Fail("got no valid JSON: {}", Excerpt(Reason(error.what()), 200));
  }

 private:
  static constexpr bool kOrdered = std::is_same_v<Json, nlohmann::ordered_json>;

  void Count() {
    if (++count_ > limits_.values)
      cursor_.Fail("got more than {} values, want fewer", limits_.values);
  }
  [[noreturn]] void FailDuplicate(std::string_view key) const {
    cursor_.Fail("got the key \"{}\" twice in an object, want it once", Excerpt(key));
  }

  // Puts a value where the parser is and returns its place. The place stays valid while the value
  // is open, because nothing is added to its parent meanwhile.
  template <typename Value>
  Json* Put(Value&& value) {
    Count();
    if (open_.empty()) {
      root_ = Json(std::forward<Value>(value));
      return &root_;
    }
    if (open_.back()->is_object()) {
      *member_ = Json(std::forward<Value>(value));
      return member_;
    }
    auto& array = open_.back()->template get_ref<typename Json::array_t&>();
    array.emplace_back(std::forward<Value>(value));
    return &array.back();
  }
  template <typename Value>
  bool Add(Value&& value) {
    Put(std::forward<Value>(value));
    return true;
  }
  bool Open(typename Json::value_t type) {
    if (open_.size() == limits_.depth) {
      cursor_.Fail("got arrays and objects nested more than {} deep, want fewer", limits_.depth);
    }
    open_.push_back(Put(type));
    if constexpr (kOrdered) keys_.emplace_back();
    return true;
  }
  bool Close() {
    open_.pop_back();
    if constexpr (kOrdered) keys_.pop_back();
    return true;
  }

  const Cursor& cursor_;
  const JsonLimits& limits_;
  Json root_;
  std::vector<Json*> open_;
  std::vector<std::set<std::string>> keys_;  // keys of each open value, if ordered
  Json* member_ = nullptr;                   // place of the value whose key came last
  size_t count_ = 0;
};

template <typename Json>
Json Parse(std::string_view text, std::string_view area, std::string_view what,
           const JsonLimits& limits) {
  if (text.data() == nullptr) text = "";
  Cursor cursor{text, area, what, text.data()};
  // The parser takes a NUL byte for the end of the text.
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    cursor.read = text.data() + nul;
    cursor.Fail("got a NUL byte, want JSON");
  }
  Builder<Json> builder(cursor, limits);
  Json::sax_parse(Position(text.data(), &cursor), Position(text.data() + text.size(), &cursor),
                  &builder);
  return builder.Take();
}

// Appends the value's text and stops soon after `text` is as long as an excerpt may be.
void Append(const nlohmann::json& value, size_t depth, std::string& text) {
  if (value.is_string()) {
    text += '"' + Excerpt(value.get_ref<const std::string&>(), kExcerptBytes) + '"';
  } else if (value.is_primitive()) {
    text += value.dump();
  } else if (depth == 4) {
    text += value.is_array() ? "[...]" : "{...}";
  } else {
    text += value.is_array() ? '[' : '{';
    bool first = true;
    for (const auto& [key, element] : value.items()) {
      if (!first) text += ", ";
      first = false;
      if (text.size() >= kExcerptBytes) {
        text += "...";
        break;
      }
      if (value.is_object()) text += '"' + Excerpt(key, kExcerptBytes) + "\": ";
      Append(element, depth + 1, text);
    }
    text += value.is_array() ? ']' : '}';
  }
}

}  // namespace

nlohmann::json ParseJson(std::string_view text, std::string_view area, std::string_view what,
                         const JsonLimits& limits) {
  return Parse<nlohmann::json>(text, area, what, limits);
}

nlohmann::ordered_json ParseOrderedJson(std::string_view text, std::string_view area,
                                        std::string_view what, const JsonLimits& limits) {
  return Parse<nlohmann::ordered_json>(text, area, what, limits);
}

nlohmann::json ReadJsonFile(const std::filesystem::path& path, std::string_view area,
                            std::string_view want, uint64_t max_bytes) {
  return ParseJson(ReadSmallFile(path, area, want, max_bytes), area, path.string());
}

std::optional<int64_t> JsonInt(const nlohmann::json& value, int64_t low, int64_t high) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX))
    return std::nullopt;
  const auto number = value.get<int64_t>();
  return number < low || number > high ? std::nullopt : std::optional(number);
}

std::string JsonExcerpt(const nlohmann::json& value) {
  std::string text;
  Append(value, 0, text);
  return text;
}

}  // namespace sinter
