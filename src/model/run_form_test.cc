// Tests that programs with padding, and a cache of more rows than a sequence has tokens, give the
// results of the model on real lengths, or are refused: decoders by hand for each reason, and
// random ones. Programs and models are interpreted on the CPU.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>

#include "base/error.h"
#include "graph/text.h"
#include "graph/verify.h"
#include "interpret/interpreter.h"
#include "model/rewrite.h"
#include "passes/fold_attention_mask.h"
#include "passes/fold_last_position.h"
#include "passes/last_row_logits.h"
#include "passes/specialize.h"

namespace sinter::model {
namespace {

using interpret::HostTensor;
using interpret::HostTensors;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int64_t kHidden = 8, kVocab = 12, kHeadSize = 4, kContext = 48;

GenaiConfig Config() {
  GenaiConfig config;
  config.context_length = kContext;
  config.vocab_size = kVocab;
  config.head_size = kHeadSize;
  config.num_attention_heads = 2;
  config.num_key_value_heads = 1;
  config.num_hidden_layers = 1;
  return config;
}

std::string Constant(const std::string& name, int64_t rows, int64_t columns, uint32_t seed) {
  std::mt19937 random(seed);
  std::string text = fmt::format("const %{}: f32[{}, {}] = [", name, rows, columns);
  for (int64_t i = 0; i < rows * columns; ++i)
    text += fmt::format("{}{}", i > 0 ? ", " : "", static_cast<int>(random() % 9) - 4);
  return text + "] ";
}

// A decoder of one layer: `before` makes %x from the embedding %x0, [1, sequence, 8], and `after`
// makes %z from the attention's result %y. `lengths` makes %seqlens and %total_length; %more are
// further inputs of attention.
struct Decoder {
  std::string before = "%x = ai.onnx::Identity (%x0) ";
  std::string lengths =
      "%sum = ai.onnx::ReduceSum (%attention_mask, %list1) {keepdims = 0} "
      "%sum1 = ai.onnx::Sub (%sum, %list1) %seqlens = ai.onnx::Cast (%sum1) {to = 6} "
      "%total_length = ai.onnx::Cast (%t) {to = 6} ";
  std::string more;
  std::string attributes;
  std::string after = "%z = ai.onnx::Identity (%y) ";
  std::string head = "%logits = ai.onnx::MatMul (%z, %whead) ";

  std::unique_ptr<graph::Graph> Parse() const {
    auto graph = graph::Parse(
        "graph g { opset ai.onnx 21 opset com.microsoft 1 "
        "input %input_ids: i64[batch, s] input %attention_mask: i64[batch, t] "
        "input %position_ids: i64[batch, s] "
        "input %past_key_values.0.key: f32[batch, 1, p, 4] "
        "input %past_key_values.0.value: f32[batch, 1, p, 4] " +
        Constant("table", kVocab, kHidden, 1) + Constant("wqkv", kHidden, 16, 2) +
        Constant("wo", kHidden, kHidden, 3) + Constant("whead", kHidden, kVocab, 4) +
        Constant("w", kHidden, kHidden, 5) + Constant("wide", 2 * kHidden, kHidden, 6) +
        Constant("positions", kContext, kHidden, 7) +
        "const %n0: i64[] = [0] const %n1: i64[] = [1] const %n2: i64[] = [2] "
        "const %n3: i64[] = [3] const %list0: i64[1] = [0] const %list1: i64[1] = [1] "
        "const %list2: i64[1] = [2] const %listm1: i64[1] = [-1] const %end: i64[1] = "
        "[9223372036854775807] const %hundredth: f32[] = [0.01] const %tenth: f32[] = [0.1] "
        "const %half: f32[] = [0.5] const %low: f32[] = [-100.0] const %zero: f32[] = [0.0] "
        "%ids_shape = ai.onnx::Shape (%input_ids) %s = ai.onnx::Gather (%ids_shape, %n1) "
        "%past_shape = ai.onnx::Shape (%past_key_values.0.key) "
        "%p = ai.onnx::Gather (%past_shape, %n2) "
        "%mask_shape = ai.onnx::Shape (%attention_mask) "
        "%t = ai.onnx::Gather (%mask_shape, %n1) "
        "%x00 = ai.onnx::Gather (%table, %input_ids) %x0 = ai.onnx::Mul (%x00, %tenth) " +
        before + "%qkv = ai.onnx::MatMul (%x, %wqkv) " + lengths +
        "%a, %present.0.key, %present.0.value = com.microsoft::GroupQueryAttention @attend "
        "(%qkv, _, _, %past_key_values.0.key, %past_key_values.0.value, %seqlens, "
        "%total_length" +
        more + ") {num_heads = 2, kv_num_heads = 1" + attributes +
        "} %o = ai.onnx::MatMul (%a, %wo) %o1 = ai.onnx::Mul (%o, %hundredth) "
        "%y = ai.onnx::Add (%x, %o1) " +
        after + head + "return %logits, %present.0.key, %present.0.value }");
    graph::Verify(*graph);
    return graph;
  }
};

HostTensor Whole(DType dtype, graph::Shape shape, std::vector<double> values) {
  return {dtype, std::move(shape), std::move(values), {}};
}

// The model on real lengths: each call is one run of all its tokens.
class Exact {
 public:
  explicit Exact(const graph::Graph& graph) : graph_(graph) {}

  std::vector<double> Run(const std::vector<int32_t>& tokens) {
    const auto n = static_cast<int64_t>(tokens.size()), total = past_ + n;
    const auto graph =
        passes::Specialize(graph_, {{"batch", 1}, {"s", n}, {"p", past_}, {"t", total}});
    HostTensors inputs;
    inputs["input_ids"] = Whole(DType::kI64, {1, n}, {tokens.begin(), tokens.end()});
    inputs["attention_mask"] =
        Whole(DType::kI64, {1, total}, std::vector<double>(static_cast<size_t>(total), 1));
    inputs["position_ids"] = Whole(DType::kI64, {1, n}, {});
    for (int64_t i = 0; i < n; ++i)
      inputs["position_ids"].values.push_back(static_cast<double>(past_ + i));
    inputs["past_key_values.0.key"] = Whole(DType::kF32, {1, 1, past_, kHeadSize}, keys_);
    inputs["past_key_values.0.value"] = Whole(DType::kF32, {1, 1, past_, kHeadSize}, values_);
    HostTensors outputs = interpret::Interpret(*graph, inputs);
    keys_ = outputs.at("present.0.key").values;
    values_ = outputs.at("present.0.value").values;
    past_ = total;
    const std::vector<double>& logits = outputs.at("logits").values;
    return {logits.end() - kVocab, logits.end()};
  }

 private:
  const graph::Graph& graph_;
  int64_t past_ = 0;
  std::vector<double> keys_, values_;
};

// The programs that a sequence runs, with the inputs that the engine gives them.
class Programs {
 public:
  Programs(const graph::Graph& graph, RunForm form, int64_t chunk, RewriteOptions options)
      : graph_(graph.Clone()), form_(form), chunk_(chunk), options_(std::move(options)) {
    Rewrite(*graph_, Config(), options_, form.one_row);
    keys_ = values_ = Whole(DType::kF32, {1, 1, kCapacity, kHeadSize},
                            std::vector<double>(kCapacity * kHeadSize, 1e3));
  }

  std::vector<double> Run(std::vector<int32_t> tokens) {
    std::vector<double> logits;
    const auto all = static_cast<int64_t>(tokens.size());
    const int64_t total = past_ + all;
    for (int64_t done = 0; done < all;) {
      const int64_t rows = form_.exact ? all : chunk_;
      const int64_t valid = std::min(rows, all - done);
      logits = RunRows({tokens.begin() + done, tokens.begin() + done + valid},
                       valid == 1 ? 1 : rows, total);
      done += valid;
    }
    return logits;
  }

 private:
  static constexpr int64_t kCapacity = kContext + 16;

  std::vector<double> RunRows(std::vector<int32_t> tokens, int64_t rows, int64_t length) {
    const auto valid = static_cast<int64_t>(tokens.size()), end = past_ + rows;
    tokens.resize(static_cast<size_t>(rows), tokens.back());
    // Programs differ by length only if branches do.
    const auto is_if = [](const auto& node) { return node->op() == "If"; };
    const bool branches = std::ranges::any_of(graph_->nodes(), is_if);
    std::unique_ptr<graph::Graph>& graph = programs_[{rows, branches ? length : 0}];
    if (graph == nullptr) {
      graph = SpecializeFor(*graph_, Config(), {rows, kCapacity, form_.exact}, length, options_);
    }
    HostTensors given;
    given["input_ids"] = Whole(DType::kI64, {1, rows}, {tokens.begin(), tokens.end()});
    given["attention_mask"] = Whole(DType::kI64, {1, kCapacity}, {});
    for (int64_t i = 0; i < kCapacity; ++i)
      given["attention_mask"].values.push_back(i < end ? 1 : 0);
    given["position_ids"] = Whole(DType::kI64, {1, rows}, {});
    for (int64_t i = 0; i < rows; ++i)
      given["position_ids"].values.push_back(static_cast<double>(past_ + i));
    given["past_key_values.0.key"] = keys_;
    given["past_key_values.0.value"] = values_;
    const auto number = [&](std::string_view name, int64_t value) {
      const graph::Value* input = graph->FindValue(name);
      if (input != nullptr)
        given[std::string(name)] =
            Whole(input->dtype, input->shape(), {static_cast<double>(value)});
    };
    number(passes::kTotalLength, end);
    number(passes::kLastPosition, end - 1);
    number(passes::kLastRow, valid - 1);
    number(passes::kPastLength, past_);
    HostTensors outputs = interpret::Interpret(*graph, given);
    keys_ = outputs.at("present.0.key");
    values_ = outputs.at("present.0.value");
    EXPECT_EQ(keys_.shape, (graph::Shape{1, 1, kCapacity, kHeadSize}));
    past_ += valid;
    const std::vector<double>& logits = outputs.at("logits").values;
    const int64_t row =
        std::min(valid - 1, static_cast<int64_t>(logits.size()) / kVocab - 1) * kVocab;
    return {logits.begin() + row, logits.begin() + row + kVocab};
  }

  std::unique_ptr<graph::Graph> graph_;
  RunForm form_;
  int64_t chunk_;
  RewriteOptions options_;
  std::map<std::pair<int64_t, int64_t>, std::unique_ptr<graph::Graph>> programs_;
  HostTensor keys_, values_;
  int64_t past_ = 0;
};

std::vector<int32_t> Tokens(int64_t count, int64_t seed) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i)
    tokens.push_back(static_cast<int32_t>((seed * 5 + i * 7 + i * i) % kVocab));
  return tokens;
}

// Compares a prompt of each length in runs of each chunk, tokens after it, and a second prompt.
void ExpectRight(const graph::Graph& graph, const RunForm& form) {
  for (const int64_t length : {1, 6}) {
    const std::vector<int32_t> feeds[] = {Tokens(length, 1), Tokens(1, 2), Tokens(4, 4),
                                          Tokens(1, 5)};
    Exact model(graph);
    std::vector<std::vector<double>> want;
    for (const std::vector<int32_t>& tokens : feeds) want.push_back(model.Run(tokens));
    for (const int64_t chunk : {3, 16}) {
      SCOPED_TRACE(fmt::format("prompt of {}, chunk {}", length, chunk));
      const passes::Fusion fusion = chunk == 3 ? passes::Fusion::kNone : passes::Fusion::kLayer;
      Programs programs(graph, form, chunk, {fusion, {}});
      for (size_t feed = 0; feed < want.size(); ++feed) {
        const std::vector<double> got = programs.Run(feeds[feed]);
        double largest = 1;
        for (const double logit : want[feed]) largest = std::max(largest, std::fabs(logit));
        // The model's constants are rounded to f32 where a program computes them in double.
        for (size_t i = 0; i < got.size(); ++i)
          ASSERT_NEAR(got[i], want[feed][i], 1e-5 * largest) << "logit " << i << ", feed " << feed;
      }
    }
  }
}

// Expects that the decoder is right in runs with padding, or only in exact runs because of
// `reason`.
void ExpectForm(const Decoder& decoder, const std::string& reason) {
  SCOPED_TRACE(decoder.before + decoder.lengths + decoder.after + decoder.head);
  const auto graph = decoder.Parse();
  const RunForm form = FindRunForm(*graph, Config());
  EXPECT_EQ(form.exact, !reason.empty()) << form.reason;
  EXPECT_THAT(form.reason, HasSubstr(reason));
  ExpectRight(*graph, form);
}
void ExpectPadded(const Decoder& decoder) { ExpectForm(decoder, ""); }

std::string RefusalOf(const Decoder& decoder) {
  const auto graph = decoder.Parse();
  try {
    FindRunForm(*graph, Config());
  } catch (const Error& error) {
    return error.what();
  }
  return "fine";
}

TEST(RunForm, RowByRowIsPadded) {
  ExpectPadded({});
  ExpectPadded({.after = "%m = ai.onnx::ReduceMean (%y, %listm1) {keepdims = 1} "
                         "%d = ai.onnx::Sub (%y, %m) %z = ai.onnx::MatMul (%d, %w) "});
  ExpectPadded({.after = "%m = ai.onnx::Softmax (%y) {axis = -1} %z = ai.onnx::Mul (%m, %y) "});
  ExpectPadded({.after = "const %shape: i64[4] = [0, -1, 4, 2] const %back: i64[3] = [1, -1, 8] "
                         "%r = ai.onnx::Reshape (%y, %shape) "
                         "%u = ai.onnx::Transpose (%r) {perm = ints[0, 2, 1, 3]} "
                         "%v = ai.onnx::Softmax (%u) {axis = 1} "
                         "%q = ai.onnx::Transpose (%v) {perm = ints[0, 2, 1, 3]} "
                         "%z = ai.onnx::Reshape (%q, %back) "});
  ExpectPadded({.after = "%c = ai.onnx::Concat (%y, %x) {axis = 2} "
                         "%z = ai.onnx::MatMul (%c, %wide) "});
}

TEST(RunForm, ShapesOfTheRunAreNoData) {
  ExpectPadded({.after = "%shape = ai.onnx::Shape (%y) "
                         "%one = ai.onnx::ConstantOfShape (%shape) {value = f32[1] = [2]} "
                         "%z = ai.onnx::Mul (%y, %one) "});
  ExpectPadded({.after = "const %row: f32[1, 1, 8] = [1, 2, 3, 4, 5, 6, 7, 8] "
                         " %shape = ai.onnx::Shape (%y) %e = ai.onnx::Expand (%row, %shape) "
                         "%z = ai.onnx::Add (%y, %e) "});
  // The target as exporters write it: -1 where the shape says so.
  ExpectPadded({.after = "const %four: i64[1] = [4] const %two: i64[1] = [2] "
                         "%l = ai.onnx::Unsqueeze (%s, %list0) "
                         "%shape = ai.onnx::Concat (%list1, %l, %four, %two) {axis = 0} "
                         "%r = ai.onnx::Reshape (%y, %shape) %shape3 = ai.onnx::Shape (%x) "
                         "%z = ai.onnx::Reshape (%r, %shape3) "});
}

TEST(RunForm, PositionsFollowTheState) {
  constexpr char kUse[] =
      "%f = ai.onnx::Cast (%pos) {to = 1} %u = ai.onnx::Unsqueeze (%f, %list1) "
      "%m = ai.onnx::Mul (%u, %tenth) %x = ai.onnx::Add (%x0, %m) ";
  const auto with = [&](const std::string& positions) {
    return Decoder{.before = positions + kUse};
  };
  ExpectPadded(with("%pos = ai.onnx::Range (%p, %t, %n1) "));
  ExpectPadded(with("%e = ai.onnx::Add (%p, %s) %pos = ai.onnx::Range (%p, %e, %n1) "));
  ExpectPadded(with("%r = ai.onnx::Range (%n0, %s, %n1) %pos = ai.onnx::Add (%p, %r) "));
  ExpectPadded(
      with("%b = ai.onnx::Sub (%t, %s) %r = ai.onnx::Range (%n0, %s, %n1) "
           "%pos = ai.onnx::Add (%r, %b) "));
  ExpectPadded(with("%pos = ai.onnx::Squeeze (%position_ids, %list0) "));
  ExpectPadded({.before = "%pos = ai.onnx::Range (%p, %t, %n1) "
                          "%e = ai.onnx::Gather (%positions, %pos) %e3 = ai.onnx::Unsqueeze (%e, "
                          "%list0) %x = ai.onnx::Add (%x0, %e3) "});
  // Positions inside the prompt are known only if it is one run.
  ExpectForm(with("%pos = ai.onnx::Range (%n0, %s, %n1) "), "change with the cut of a prompt");
}

TEST(RunForm, AttentionTakesPositionsAndMasksMadeOfShapes) {
  const std::string caches = Constant("cos", kContext, 2, 8) + Constant("sin", kContext, 2, 9);
  ExpectPadded({.before = caches + "%pos = ai.onnx::Range (%p, %t, %n1) "
                                   "%ids = ai.onnx::Unsqueeze (%pos, %list0) "
                                   "%x = ai.onnx::Identity (%x0) ",
                .more = ", %cos, %sin, %ids",
                .attributes = ", do_rotary = 1"});
  ExpectPadded({.before = "%keys = ai.onnx::Range (%n0, %t, %n1) "
                          "%pos = ai.onnx::Range (%p, %t, %n1) "
                          "%rows = ai.onnx::Unsqueeze (%pos, %list1) "
                          "%near = ai.onnx::Sub (%rows, %n2) "
                          "%sees = ai.onnx::Greater (%keys, %near) "
                          "%bias2 = ai.onnx::Where (%sees, %zero, %half) "
                          "const %two: i64[2] = [0, 1] "
                          "%bias = ai.onnx::Unsqueeze (%bias2, %two) "
                          "%x = ai.onnx::Identity (%x0) ",
                .more = ", _, _, _, %bias"});
}

TEST(RunForm, AttentionsLengthsMayComeFromAnywhere) {
  for (const char* last : {"%l = ai.onnx::Sub (%t, %n1) ",
                           "%e = ai.onnx::Add (%s, %p) %l = ai.onnx::Sub (%e, %n1) "}) {
    for (const char* total :
         {"%total = ai.onnx::Identity (%t) ", "%total = ai.onnx::Add (%p, %s) "}) {
      ExpectPadded({.lengths = std::string(last) + total +
                               "%l1 = ai.onnx::Unsqueeze (%l, %list0) "
                               "%seqlens = ai.onnx::Cast (%l1) {to = 6} "
                               "%total_length = ai.onnx::Cast (%total) {to = 6} "});
    }
  }
  // All lengths from the mask's sum.
  ExpectPadded({.lengths = "%cast = ai.onnx::Cast (%attention_mask) {to = 6} "
                           "%sum = ai.onnx::ReduceSum (%cast, %list1) {keepdims = 0} "
                           "const %one: i32[1] = [1] %seqlens = ai.onnx::Sub (%sum, %one) "
                           "%total_length = ai.onnx::Squeeze (%sum) "});
  EXPECT_THAT(RefusalOf({.lengths = "%l1 = ai.onnx::Unsqueeze (%t, %list0) "
                                    "%seqlens = ai.onnx::Cast (%l1) {to = 6} "
                                    "%total_length = ai.onnx::Cast (%t) {to = 6} "}),
              AllOf(HasSubstr("node 'attend'"), HasSubstr("input 5 (seqlens_k): got past + 7, want "
                                                          "past + 6")));
  EXPECT_THAT(RefusalOf({.lengths = "%l = ai.onnx::Sub (%t, %n1) "
                                    "%l1 = ai.onnx::Unsqueeze (%l, %list0) "
                                    "%seqlens = ai.onnx::Cast (%l1) {to = 6} "
                                    "%total_length = ai.onnx::Cast (%s) {to = 6} "}),
              HasSubstr("input 6 (total_sequence_length): got 7, want past + 7"));
}

TEST(RunForm, RowsTakenTogetherAreExact) {
  constexpr char kMixes[] = "combines the rows of several tokens";
  ExpectForm({.after = "%m = ai.onnx::ReduceMean @mean (%y, %list1) {keepdims = 1} "
                       "%z = ai.onnx::Sub (%y, %m) "},
             "node 'mean' (ai.onnx::ReduceMean, version 21): combines the rows of several tokens");
  ExpectForm({.after = "%m = ai.onnx::ReduceSum (%y, %list1) {keepdims = 1} "
                       "%z = ai.onnx::Add (%y, %m) "},
             kMixes);
  ExpectForm({.after = "%m = ai.onnx::Softmax (%y) {axis = 1} %z = ai.onnx::Mul (%m, %y) "},
             kMixes);
  ExpectForm({.after = "%k = ai.onnx::Transpose (%y) {perm = ints[0, 2, 1]} "
                       "%q = ai.onnx::MatMul (%y, %k) %c = ai.onnx::Mul (%q, %hundredth) "
                       "%z = ai.onnx::MatMul (%c, %y) "},
             kMixes);
  ExpectForm({.before = "%m = ai.onnx::Slice @last (%x0, %listm1, %end, %list1) "
                        "%x = ai.onnx::Add (%x0, %m) "},
             "node 'last' (ai.onnx::Slice, version 21): takes the row of a prompt's last token");
  ExpectForm({.after = "%m = ai.onnx::Slice (%y, %list0, %list1, %list1) "
                       "%z = ai.onnx::Add (%y, %m) "},
             "depends on a token's index in its run");
  ExpectForm({.after = "const %flat: i64[2] = [1, -1] %f = ai.onnx::Reshape (%y, %flat) "
                       "%m = ai.onnx::ReduceMean (%f, %list1) {keepdims = 1} "
                       "%m3 = ai.onnx::Unsqueeze (%m, %list2) %z = ai.onnx::Sub (%y, %m3) "},
             kMixes);
}

TEST(RunForm, LengthsAsDataAreExact) {
  const auto scaled = [](const std::string& scale) {
    return Decoder{.after = scale +
                            "%f = ai.onnx::Cast (%n) {to = 1} %f1 = ai.onnx::Add (%f, %half) "
                            "%z = ai.onnx::Div (%y, %f1) "};
  };
  constexpr char kLength[] = "computes with the number of tokens";
  ExpectForm(scaled("%n = ai.onnx::Identity (%s) "), kLength);
  ExpectForm(scaled("%n = ai.onnx::Identity (%t) "), kLength);
  ExpectForm(scaled("%n = ai.onnx::Identity (%p) "), kLength);
  ExpectForm(scaled("%n = ai.onnx::Mul (%t, %n3) "), kLength);
  ExpectForm(scaled("%n = ai.onnx::Max (%p, %s) "), kLength);
  ExpectForm(scaled("%n = ai.onnx::Div (%t, %n2) "), kLength);
  ExpectForm(scaled("%n = ai.onnx::ReduceSum (%attention_mask, %list1) "), kLength);
  ExpectForm(scaled("%c = ai.onnx::Greater (%p, %n2) %n = ai.onnx::Where (%c, %s, %n3) "), kLength);
}

TEST(RunForm, TheCachesCapacityIsRefused) {
  constexpr char kCapacity[] = "of which a program has as many as the KV cache has rows";
  EXPECT_THAT(RefusalOf({.after = "%m = ai.onnx::ReduceMean @mean (%past_key_values.0.key, %list2) "
                                  "%m1 = ai.onnx::ReduceMean (%m) {keepdims = 0} "
                                  "%z = ai.onnx::Add (%y, %m1) "}),
              AllOf(HasSubstr("[model] node 'mean' (ai.onnx::ReduceMean, version 21)"),
                    HasSubstr(kCapacity)));
  EXPECT_THAT(RefusalOf({.after = "%r = ai.onnx::Range (%n0, %t, %n1) "
                                  "%f = ai.onnx::Cast (%r) {to = 1} "
                                  "%m = ai.onnx::Softmax @soft (%f) {axis = 0} "
                                  "%m1 = ai.onnx::Slice (%m, %list0, %list1, %list0) "
                                  "%z = ai.onnx::Mul (%y, %m1) "}),
              AllOf(HasSubstr("node 'soft'"), HasSubstr(kCapacity)));
  EXPECT_THAT(RefusalOf({.after = "%f = ai.onnx::Cast (%attention_mask) {to = 1} "
                                  "%m = ai.onnx::ReduceMean @mean (%f, %list1) "
                                  "%z = ai.onnx::Mul (%y, %m) "}),
              AllOf(HasSubstr("node 'mean'"), HasSubstr(kCapacity)));
}

TEST(RunForm, ConditionsFollowFromTheTotal) {
  const auto on = [](const std::string& condition) {
    return Decoder{.after = condition +
                            "%z = ai.onnx::If @choice (%c) {then_branch = graph { capture %y "
                            "capture %half %h = ai.onnx::Mul (%y, %half) return %h }, else_branch "
                            "= graph { capture %y return %y }} "};
  };
  ExpectPadded(on("const %seven: i64[] = [7] %c = ai.onnx::Greater (%t, %seven) "));
  ExpectPadded(
      on("const %seven: i64[] = [7] %e = ai.onnx::Add (%p, %s) "
         "%c = ai.onnx::Greater (%e, %seven) "));
  // What depends on the tokens of the run is the same in all runs of an exact program.
  ExpectForm(on("%c = ai.onnx::Greater (%s, %n1) "), "its condition 'c'");
  const auto refused = AllOf(HasSubstr("node 'choice'"), HasSubstr("its condition"));
  EXPECT_THAT(RefusalOf(on("%c = ai.onnx::Greater (%p, %n3) ")), refused);
}

TEST(RunForm, LogitsOfTheLastRow) {
  // The last row of a prompt is that of the last run, but for what the cache depends on.
  for (const char* last : {"%z = ai.onnx::Slice (%y, %listm1, %end, %list1) ",
                           "%z = ai.onnx::Gather (%y, %listm1) {axis = 1} ",
                           "const %m1: i64[] = [-1] %row = ai.onnx::Gather (%y, %m1) {axis = 1} "
                           "%z = ai.onnx::Unsqueeze (%row, %list1) "}) {
    const Decoder decoder = {.after = last};
    EXPECT_TRUE(FindRunForm(*decoder.Parse(), Config()).one_row);
    ExpectPadded(decoder);
  }
  ExpectPadded({.after = "%m = ai.onnx::Slice (%y, %listm1, %end, %list1) "
                         "%z = ai.onnx::Add (%y, %m) "});
  EXPECT_THAT(RefusalOf({.head = "%zt = ai.onnx::Transpose (%z) {perm = ints[1, 0, 2]} "
                                 "%logits = ai.onnx::MatMul (%zt, %whead) "}),
              HasSubstr("graph output 'logits': got [7, 1, 12], want [batch, tokens, vocabulary]"));
}

// Makes decoders of random parts, of which each may look at the run's lengths.
class Random {
 public:
  explicit Random(uint32_t seed) : random_(seed) {}

  Decoder Make() {
    Decoder decoder;
    decoder.before = Features("x0", "x", Below(3));
    if (Below(2) == 0) decoder.lengths = Lengths();
    if (Below(3) == 0) {
      decoder.before += Constant("cos", 2 * kContext, 2, 8) + Constant("sin", 2 * kContext, 2, 9);
      const std::string positions = Positions();
      decoder.before += fmt::format("%ids = ai.onnx::Unsqueeze (%{}, %list0) ", positions);
      decoder.before = code_ + decoder.before;
      code_.clear();
      decoder.more = ", %cos, %sin, %ids";
      decoder.attributes = ", do_rotary = 1";
    }
    decoder.after = Features("y", "z", Below(3));
    return decoder;
  }

 private:
  uint32_t Below(uint32_t n) { return static_cast<uint32_t>(random_() % n); }
  std::string New() { return fmt::format("v{}", next_++); }
  // Adds a node and returns its output.
  std::string Node(const std::string& call) {
    const std::string name = New();
    code_ += fmt::format("%{} = ai.onnx::{} ", name, call);
    return name;
  }

  // Returns an i64 scalar.
  std::string Number(uint32_t depth = 2) {
    const char* leaves[] = {"s", "p", "t", "n1", "n2", "n3"};
    switch (depth == 0 ? 0 : Below(9)) {
      case 0:
      case 1:
        return leaves[Below(6)];
      case 2:
        return Node(fmt::format("Add (%{}, %{})", Number(depth - 1), Number(depth - 1)));
      case 3:
        return Node(fmt::format("Sub (%{}, %{})", Number(depth - 1), Number(depth - 1)));
      case 4:
        return Node(fmt::format("Mul (%{}, %n2)", Number(depth - 1)));
      case 5:
        return Node(fmt::format("Div (%{}, %n2)", Number(depth - 1)));
      case 6:
        return Node(fmt::format("Max (%{}, %{})", Number(depth - 1), Number(depth - 1)));
      case 7:
        return Node(fmt::format("Squeeze (%{})", Node("ReduceSum (%attention_mask, %list1)")));
      default: {
        const std::string less =
            Node(fmt::format("Less (%{}, %{})", Number(depth - 1), Number(depth - 1)));
        return Node(
            fmt::format("Where (%{}, %{}, %{})", less, Number(depth - 1), Number(depth - 1)));
      }
    }
  }

  // Returns i64 [sequence].
  std::string Positions() {
    switch (Below(6)) {
      case 0:
        return Node("Range (%p, %t, %n1)");
      case 1:
        return Node(fmt::format("Range (%p, %{}, %n1)", Node("Add (%p, %s)")));
      case 2:
        return Node(fmt::format("Add (%{}, %p)", Node("Range (%n0, %s, %n1)")));
      case 3:
        return Node("Range (%n0, %s, %n1)");
      case 4:
        return Node(fmt::format("Slice (%{}, %{}, %end)", Node("Range (%n0, %t, %n1)"),
                                Node("Unsqueeze (%p, %list0)")));
      default:
        return Node("Squeeze (%position_ids, %list0)");
    }
  }

  std::string Lengths() {
    const char* totals[] = {"t", "sp", "ms"};
    code_ +=
        "%sp = ai.onnx::Add (%s, %p) %ms1 = ai.onnx::ReduceSum (%attention_mask, %list1) "
        "{keepdims = 0} %ms = ai.onnx::Squeeze (%ms1) ";
    code_ += fmt::format("%last = ai.onnx::Sub (%{}, %n1) ", totals[Below(3)]);
    code_ += fmt::format(
        "%last1 = ai.onnx::Unsqueeze (%last, %list0) %seqlens = ai.onnx::Cast (%last1) {{to = 6}} "
        "%total_length = ai.onnx::Cast (%{}) {{to = 6}} ",
        totals[Below(3)]);
    return std::exchange(code_, {});
  }

  // Returns f32 that broadcasts to [1, sequence, 8], made of lengths.
  std::string Scale() {
    const std::string number = Node(fmt::format("Cast (%{}) {{to = 1}}", Number()));
    const std::string square = Node(fmt::format("Mul (%{0}, %{0})", number));
    return Node(fmt::format("Add (%{}, %half)", square));
  }

  std::string Feature(const std::string& x) {
    const auto call = [&](const char* format, auto... args) {
      return Node(fmt::format(fmt::runtime(format), x, args...));
    };
    const auto add = [&](const std::string& other) {
      return Node(fmt::format("Add (%{}, %{})", x, Node(fmt::format("Mul (%{}, %tenth)", other))));
    };
    switch (Below(16)) {
      case 0:
        return call("Div (%{}, %{})", Scale());
      case 1: {
        const std::string f = Node(fmt::format("Cast (%{}) {{to = 1}}", Positions()));
        return add(Node(fmt::format("Unsqueeze (%{}, %list1)", f)));
      }
      case 2:
        return call("Sub (%{}, %{})",
                    call("ReduceMean (%{}, %list{}) {{keepdims = 1}}", 1 + Below(2)));
      case 3:
        return add(call("ReduceSum (%{}, %list{}) {{keepdims = 1}}", 1 + Below(2)));
      case 4:
        return call("Mul (%{}, %{})", call("Softmax (%{}) {{axis = {}}}", 1 + Below(2)));
      case 5: {
        const std::string shape = call("Shape (%{})");
        const std::string flat = call("Reshape (%{}, %listm1)");
        const std::string scaled = Node(fmt::format("Tanh (%{})", flat));
        return Node(fmt::format("Reshape (%{}, %{})", scaled, shape));
      }
      case 6: {
        const std::string turned = call("Transpose (%{}) {{perm = ints[0, 2, 1]}}");
        const std::string soft =
            Node(fmt::format("Softmax (%{}) {{axis = {}}}", turned, 1 + Below(2)));
        return add(Node(fmt::format("Transpose (%{}) {{perm = ints[0, 2, 1]}}", soft)));
      }
      case 7:
        return add(call("MatMul (%{}, %w)"));
      case 8:
        return add(call("Expand (%half, %{1})", call("Shape (%{})")));
      case 9: {
        const char* ranges[][2] = {{"list0", "list1"}, {"listm1", "end"}, {"list0", "end"}};
        const auto& range = ranges[Below(3)];
        return add(call("Slice (%{}, %{}, %{}, %list1)", range[0], range[1]));
      }
      case 10:
        return add(
            Node(fmt::format("MatMul (%{}, %wide)", call("Concat (%{0}, %{0}) {{axis = 2}}"))));
      case 11: {
        const std::string far = Node(fmt::format("Greater (%{}, %{})", Positions(), Number(1)));
        const std::string rows = Node(fmt::format("Unsqueeze (%{}, %list1)", far));
        return Node(fmt::format("Where (%{}, %{}, %{})", rows, x, call("Mul (%{}, %half)")));
      }
      case 12:
        return add(Node(fmt::format("Gather (%positions, %{})", Positions())));
      case 13:
        return add(
            Node(fmt::format("Slice (%positions, %{}, %{}, %list0)", Node("Unsqueeze (%p, %list0)"),
                             Node("Unsqueeze (%t, %list0)"))));
      case 14: {
        const std::string keys = call("Transpose (%{}) {{perm = ints[0, 2, 1]}}");
        const std::string scores =
            Node(fmt::format("Mul (%{}, %hundredth)", call("MatMul (%{}, %{})", keys)));
        const std::string soft = Node(fmt::format("Softmax (%{}) {{axis = -1}}", scores));
        return add(Node(fmt::format("MatMul (%{}, %{})", soft, x)));
      }
      default: {
        const std::string equal = Node(fmt::format("Equal (%{}, %{})", Positions(), Number(1)));
        const std::string rows = Node(fmt::format("Unsqueeze (%{}, %list1)", equal));
        return add(Node(fmt::format("Cast (%{}) {{to = 1}}", rows)));
      }
    }
  }

  std::string Features(const std::string& from, const std::string& to, uint32_t count) {
    std::string x = from;
    for (uint32_t i = 0; i <= count; ++i) x = Feature(x);
    return std::exchange(code_, {}) + fmt::format("%{} = ai.onnx::Identity (%{}) ", to, x);
  }

  std::mt19937 random_;
  std::string code_;
  int next_ = 0;
};

TEST(RunForm, RandomDecodersAreRightOrRefused) {
  const char* count = std::getenv("SINTER_RANDOM_DECODERS");
  const uint32_t seeds = count == nullptr ? 30 : static_cast<uint32_t>(std::atoi(count));
  int padded = 0, exact = 0, refused = 0;
  for (uint32_t seed = 0; seed < seeds; ++seed) {
    const Decoder decoder = Random(seed).Make();
    SCOPED_TRACE(
        fmt::format("seed {}: {}{}{}", seed, decoder.before, decoder.lengths, decoder.after));
    const auto graph = decoder.Parse();
    RunForm form;
    try {
      form = FindRunForm(*graph, Config());
    } catch (const Error& error) {
      ++refused;
      continue;
    }
    ++(form.exact ? exact : padded);
    ExpectRight(*graph, form);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(padded, static_cast<int>(seeds) / 20);
  EXPECT_GT(exact, static_cast<int>(seeds) / 5);
  EXPECT_LT(refused, static_cast<int>(seeds) / 2);
}

}  // namespace
}  // namespace sinter::model
