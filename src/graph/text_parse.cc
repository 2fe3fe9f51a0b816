#include <algorithm>
#include <cctype>
#include <charconv>
#include <set>

#include "base/error.h"
#include "graph/text.h"
#include "graph/verify.h"

namespace sinter::graph {
namespace {

// Upper bound on the bytes of a constant written as `zeros` or `elided`, for elements of 8 bytes.
constexpr int64_t kMaxZeroBytes = int64_t{256} << 20;

struct Token {
  enum class Kind { kEnd, kWord, kQuoted, kSign };
  Kind kind = Kind::kEnd;
  std::string text;
  int line = 1, column = 1;
};

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) { Advance(); }

  std::unique_ptr<Graph> Run() {
    auto graph = std::make_unique<Graph>();
    ExpectWord("graph");
    ParseGraph(*graph, 0);
    if (token_.kind != Token::Kind::kEnd) Fail("the end");
    return graph;
  }

 private:
  [[noreturn]] void Fail(std::string_view want) const { Fail(token_, want); }
  [[noreturn]] void Fail(const Token& at, std::string_view want) const {
    throw Error("graph", "line {}:{}: got {}, want {}", at.line, at.column,
                at.kind == Token::Kind::kEnd ? "the end" : fmt::format("'{}'", at.text), want);
  }

  static bool IsWordChar(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) ||
           std::string_view("_./:-+").find(c) != std::string_view::npos;
  }

  char Take() {
    const char c = text_[at_++];
    if (c == '\n') {
      ++line_;
      column_ = 1;
    } else {
      ++column_;
    }
    return c;
  }

  void Advance() {
    while (at_ < text_.size() &&
           (std::isspace(static_cast<unsigned char>(text_[at_])) || text_[at_] == '#')) {
      if (text_[at_] == '#') {
        while (at_ < text_.size() && text_[at_] != '\n') Take();
      } else {
        Take();
      }
    }
    token_ = {Token::Kind::kEnd, "", line_, column_};
    if (at_ == text_.size()) return;
    if (text_[at_] == '"') {
      ReadQuoted();
    } else if (IsWordChar(text_[at_]) && !(text_[at_] == ':' && !NextIsWord())) {
      token_.kind = Token::Kind::kWord;
      while (at_ < text_.size() && IsWordChar(text_[at_]) && !(text_[at_] == ':' && !NextIsWord()))
        token_.text += Take();
    } else {
      token_.kind = Token::Kind::kSign;
      token_.text = Take();
    }
  }

  // Tells a colon inside a name from the colon before a type, which a space always follows.
  bool NextIsWord() const { return at_ + 1 < text_.size() && IsWordChar(text_[at_ + 1]); }

  void ReadQuoted() {
    token_.kind = Token::Kind::kQuoted;
    Take();
    while (at_ < text_.size() && text_[at_] != '"') {
      char c = Take();
      if (c == '\\' && at_ < text_.size()) {
        c = Take();
        if (c == 'x') {
          unsigned code = 256;
          if (at_ + 2 <= text_.size())
            std::from_chars(text_.data() + at_, text_.data() + at_ + 2, code, 16);
          if (code > 255) Fail("two hexadecimal digits after \\x");
          c = static_cast<char>(code);
          Take();
          Take();
        }
      }
      token_.text += c;
    }
    if (at_ == text_.size()) Fail("a closing quote");
    Take();
  }

  bool IsSign(char sign) const {
    return token_.kind == Token::Kind::kSign && token_.text[0] == sign;
  }
  bool IsWord(std::string_view word) const {
    return token_.kind == Token::Kind::kWord && token_.text == word;
  }
  bool AcceptSign(char sign) {
    if (!IsSign(sign)) return false;
    Advance();
    return true;
  }
  void ExpectSign(char sign) {
    if (!AcceptSign(sign)) Fail(fmt::format("'{}'", sign));
  }
  void ExpectWord(std::string_view word) {
    if (!IsWord(word)) Fail(word);
    Advance();
  }
  std::string ExpectName() {
    if (token_.kind != Token::Kind::kWord && token_.kind != Token::Kind::kQuoted) Fail("a name");
    std::string name = token_.text;
    Advance();
    return name;
  }

  template <typename T>
  T ExpectNumber(std::string_view want) {
    T value{};
    std::string_view text = token_.text;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (token_.kind != Token::Kind::kWord || error != std::errc() ||
        end != text.data() + text.size())
      Fail(want);
    Advance();
    return value;
  }

  // Parses any number of items between `open` and `close`, separated by commas.
  template <typename F>
  void List(char open, char close, F item) {
    ExpectSign(open);
    if (AcceptSign(close)) return;
    do {
      item();
    } while (AcceptSign(','));
    ExpectSign(close);
  }

  struct Type {
    DType dtype = DType::kUndefined;
    std::optional<Dims> dims;
  };

  Type ParseType() {
    Type type;
    if (!AcceptSign('?')) {
      type.dtype = DTypeFromName(token_.text);
      if (token_.kind != Token::Kind::kWord || type.dtype == DType::kUndefined)
        Fail("an element type");
      Advance();
    }
    Dims dims;
    bool any_rank = false;
    List('[', ']', [&] {
      if (AcceptSign('*')) {
        any_rank = true;
      } else if (AcceptSign('?')) {
        dims.emplace_back();
      } else if (token_.kind == Token::Kind::kWord &&
                 std::isdigit(static_cast<unsigned char>(token_.text[0]))) {
        dims.emplace_back(ExpectNumber<int64_t>("a dimension"));
      } else {
        dims.emplace_back(ExpectName());
      }
    });
    if (!any_rank) type.dims = std::move(dims);
    return type;
  }

  Tensor ParseData(const Type& type) {
    const Token start = token_;
    Shape shape;
    for (const Dim& dim : type.dims.value_or(Dims{Dim()})) shape.push_back(dim.value);
    if (DTypeBits(type.dtype) == 0 ||
        std::any_of(shape.begin(), shape.end(), [](int64_t dim) { return dim < 0; })) {
      Fail("a type with numbers only before a constant");
    }
    const int64_t elems = NumElements(shape);
    if (IsWord("zeros") || IsWord("elided")) {
      const bool elided = IsWord("elided");
      Advance();
      if (elems > kMaxZeroBytes / 8) {
        if (elided) return Tensor{type.dtype, std::move(shape), {}, nullptr};
        Fail(start, "at most 2^25 zeros");
      }
      auto zeros = std::make_shared<std::vector<std::byte>>(DTypeBytes(type.dtype, elems));
      return Tensor{type.dtype, std::move(shape), *zeros, zeros};
    }
    std::vector<double> floats;
    std::vector<int64_t> ints;
    List('[', ']', [&] {
      if (IsFloat(type.dtype)) {
        floats.push_back(ExpectNumber<double>("a number"));
      } else {
        ints.push_back(ExpectNumber<int64_t>("an integer"));
      }
    });
    if (static_cast<int64_t>(std::max(floats.size(), ints.size())) != elems) {
      Fail(start, fmt::format("{} elements", elems));
    }
    return IsFloat(type.dtype) ? Tensor::FromDoubles(type.dtype, std::move(shape), floats)
                               : Tensor::FromInts(type.dtype, std::move(shape), ints);
  }

  Tensor ParseLiteral() {
    const Type type = ParseType();
    ExpectSign('=');
    return ParseData(type);
  }

  Attribute ParseAttribute(const Graph& graph, int depth) {
    if (token_.kind == Token::Kind::kQuoted) return ExpectName();
    if (token_.kind == Token::Kind::kSign) return ParseLiteral();
    if (IsWord("graph")) {
      Advance();
      auto subgraph = std::make_shared<Graph>();
      subgraph->opsets = graph.opsets;
      ParseGraph(*subgraph, depth + 1);
      return subgraph;
    }
    if (IsWord("ints")) {
      Advance();
      std::vector<int64_t> values;
      List('[', ']', [&] { values.push_back(ExpectNumber<int64_t>("an integer")); });
      return values;
    }
    if (IsWord("floats")) {
      Advance();
      std::vector<float> values;
      List('[', ']', [&] { values.push_back(ExpectNumber<float>("a number")); });
      return values;
    }
    if (IsWord("strings")) {
      Advance();
      std::vector<std::string> values;
      List('[', ']', [&] { values.push_back(ExpectName()); });
      return values;
    }
    if (IsWord("tensors")) {
      Advance();
      std::vector<Tensor> values;
      List('[', ']', [&] { values.push_back(ParseLiteral()); });
      return values;
    }
    if (DTypeFromName(token_.text) != DType::kUndefined) return ParseLiteral();
    // A float always ends in an extra f. `inf` ends in an f of its own, so infinity is `inff`.
    if (token_.text.ends_with('f')) {
      token_.text.pop_back();
      return ExpectNumber<float>("a number before 'f'");
    }
    return ExpectNumber<int64_t>("an attribute's value");
  }

  // Returns the value of the name and creates it if it does not exist yet.
  Value* Reference(Graph& graph, std::map<std::string, Token>& undefined) {
    const Token start = token_;
    ExpectSign('%');
    const std::string name = ExpectName();
    if (name.empty()) Fail(start, "a name");
    if (Value* value = graph.FindValue(name)) return value;
    undefined.emplace(name, start);
    return graph.AddValue(name);
  }

  Value* OptionalReference(Graph& graph, std::map<std::string, Token>& undefined) {
    if (!IsWord("_")) return Reference(graph, undefined);
    Advance();
    return nullptr;
  }

  // Defines a value: reads its type and removes it from the undefined values.
  void Define(Value* value, const Token& start, std::map<std::string, Token>& undefined,
              std::set<Value*>& defined) {
    if (!defined.insert(value).second)
      Fail(start, fmt::format("one definition of '{}'", value->name()));
    undefined.erase(value->name());
    if (!AcceptSign(':')) return;
    Type type = ParseType();
    value->dtype = type.dtype;
    value->dims = std::move(type.dims);
  }

  void ParseGraph(Graph& graph, int depth) {
    if (depth > kMaxSubgraphDepth) Fail("fewer nested graphs");
    if (!IsSign('{')) graph.name = ExpectName();
    ExpectSign('{');
    bool own_opsets = false;
    std::map<std::string, Token> undefined;
    std::set<Value*> defined;
    while (!AcceptSign('}')) {
      const Token start = token_;
      if (IsWord("opset")) {
        Advance();
        if (!own_opsets) graph.opsets.clear();
        own_opsets = true;
        if (IsWord("_")) {
          Advance();
          continue;
        }
        const std::string domain = ExpectName();
        graph.opsets[domain == "ai.onnx" ? "" : domain] = ExpectNumber<int>("a version");
      } else if (IsWord("input") || IsWord("capture")) {
        Advance();
        ExpectSign('%');
        const Token at = token_;
        const std::string name = ExpectName();
        if (graph.FindValue(name) != nullptr) Fail(at, "a name that is not used before");
        Value* value = start.text == "input" ? graph.AddInput(name, DType::kUndefined, {})
                                             : graph.AddCapture(name);
        Define(value, start, undefined, defined);
        if (start.text == "input" && AcceptSign('='))
          value->SetConstant(ParseData({value->dtype, value->dims}));
      } else if (IsWord("const") || IsWord("value")) {
        Advance();
        Value* value = Reference(graph, undefined);
        Define(value, start, undefined, defined);
        if (start.text == "const") {
          ExpectSign('=');
          value->SetConstant(ParseData({value->dtype, value->dims}));
        }
      } else if (IsWord("return")) {
        Advance();
        do {
          graph.AddOutput(Reference(graph, undefined));
        } while (AcceptSign(','));
      } else {
        ParseNode(graph, undefined, defined, depth);
      }
    }
    if (!undefined.empty()) {
      const auto& [name, at] = *undefined.begin();
      Fail(at, fmt::format("a definition of '{}'", name));
    }
  }

  void ParseNode(Graph& graph, std::map<std::string, Token>& undefined, std::set<Value*>& defined,
                 int depth) {
    std::vector<Value*> outputs, inputs;
    if (IsSign('%') || IsWord("_")) {
      do {
        const Token start = token_;
        outputs.push_back(OptionalReference(graph, undefined));
        if (outputs.back() != nullptr) Define(outputs.back(), start, undefined, defined);
      } while (AcceptSign(','));
      ExpectSign('=');
    }
    const Token at = token_;
    const std::string op = ExpectName();
    const size_t colons = op.rfind("::");
    if (colons == std::string::npos || colons + 2 == op.size()) Fail(at, "DOMAIN::OPERATOR");
    std::string name;
    if (AcceptSign('@')) name = ExpectName();
    List('(', ')', [&] { inputs.push_back(OptionalReference(graph, undefined)); });
    Node* node = graph.AddNode(name, op.substr(0, colons), op.substr(colons + 2), inputs, outputs);
    if (!IsSign('{')) return;
    List('{', '}', [&] {
      const std::string key = ExpectName();
      ExpectSign('=');
      node->attributes[key] = ParseAttribute(graph, depth);
    });
  }

  std::string_view text_;
  size_t at_ = 0;
  int line_ = 1, column_ = 1;
  Token token_;
};

}  // namespace

std::unique_ptr<Graph> Parse(std::string_view text) { return Parser(text).Run(); }

}  // namespace sinter::graph
