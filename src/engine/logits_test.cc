// Compares the logits of whole models on the device with the interpreter's, in every form that
// GenAI's builder writes and on every path that a device may take.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "engine/sequence.h"
#include "kernels/common/matrix_config.h"
#include "kernels/group_query_attention/group_query_attention.h"
#include "kernels/matmul_nbits/matmul_nbits.h"
#include "kernels/qmoe/qmoe.h"
#include "support/engine.h"

namespace sinter::engine {
namespace {

using support::LoadModel;
using support::ModelNamed;
using support::ModelSpec;
using support::SharedDevice;

constexpr int64_t kMaxLength = 64;

// Expected logits after the first `n` of a model's tokens, with the error that a device may have.
class Expected {
 public:
  explicit Expected(const ModelSpec& spec)
      : reference_(spec),
        tokens_(support::RandomTokens(kMaxLength, 5, spec.vocab)),
        half_(spec.dtype == DType::kF16) {}

  const std::vector<int32_t>& tokens() const { return tokens_; }
  std::span<const int32_t> First(int64_t n) const { return Tokens(0, n); }
  std::span<const int32_t> Tokens(int64_t begin, int64_t end) const {
    return std::span(tokens_).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
  }

  // Compares `got` with the logits after `n` tokens. `halves` says that activations are f16 on the
  // device.
  void Check(const std::vector<float>& got, int64_t n, bool halves) {
    Row& row = rows_[n];
    if (row.exact.empty()) {
      const auto prefix = First(n);
      const std::vector<int32_t> tokens(prefix.begin(), prefix.end());
      row.exact = reference_.Logits(tokens).back();
      if (half_) row.rounded = reference_.Logits(tokens, /*round=*/true).back();
    }
    double largest = 0;
    for (const double logit : row.exact) largest = std::max(largest, std::fabs(logit));
    // For f32, rounding errors of 2^-24 occur in some 20 results that a logit passes through and in
    // the at most 192 terms of their sums, which add up as their root. The tolerance is 3 times
    // that, since devices approximate exp and tanh to a few units in the last place: 2^-24 * 62 * 3
    // = 1e-5.
    double tolerance = 1e-5 * largest;
    if (half_ && halves) {
      // For f16, measure the error of this very row if every result is rounded to f16. Devices
      // round at other places: a kernel keeps in f32 what the interpreter rounds, and sums in
      // another order.
      double error = 0;
      for (size_t i = 0; i < row.exact.size(); ++i) {
        error = std::max(error, std::fabs(row.rounded[i] - row.exact[i]));
      }
      tolerance += 3 * error;
    }
    ASSERT_EQ(got.size(), row.exact.size());
    double off = 0;
    for (size_t i = 0; i < got.size(); ++i) {
      const double difference = std::fabs(got[i] - row.exact[i]);
      off = std::isnan(difference) ? INFINITY : std::max(off, difference);
    }
    EXPECT_LE(off, tolerance) << "after " << n << " tokens; largest logit " << largest;
  }

 private:
  struct Row {
    std::vector<double> exact, rounded;
  };
  support::ReferenceModel reference_;
  std::vector<int32_t> tokens_;
  bool half_;
  std::map<int64_t, Row> rows_;
};

void CheckPrompts(const std::shared_ptr<Model>& model, Expected& expected, int64_t chunk,
                  std::initializer_list<int64_t> lengths, int64_t steps) {
  Sequence sequence(model, {.max_length = kMaxLength, .chunk = chunk});
  const bool halves = model->device()->caps().f16;
  for (const int64_t length : lengths) {
    SCOPED_TRACE(fmt::format("chunk {}, prompt of {}", chunk, length));
    sequence.Rewind(0);
    sequence.Append(expected.First(length));
    expected.Check(sequence.Logits(), length, halves);
    for (int64_t n = length; n < length + steps; ++n) {
      sequence.Append(expected.Tokens(n, n + 1));
      expected.Check(sequence.Logits(), n + 1, halves);
    }
  }
}

class Logits : public ::testing::TestWithParam<ModelSpec> {};

TEST_P(Logits, MatchTheInterpreter) {
  const auto model = LoadModel(GetParam(), SharedDevice());
  Expected expected(GetParam());
  CheckPrompts(model, expected, 256, {1, 17, 50}, 3);
  CheckPrompts(model, expected, 16, {17, 50}, 2);
  CheckPrompts(model, expected, 11, {21, 50}, 1);
}

TEST_P(Logits, MatchWithoutFusion) {
  const auto model = LoadModel(GetParam(), SharedDevice(), {.fusion = passes::Fusion::kNone});
  Expected expected(GetParam());
  CheckPrompts(model, expected, 16, {17}, 2);
}

TEST_P(Logits, AreTheSameBitsWithoutCapture) {
  const auto model = LoadModel(GetParam(), SharedDevice());
  const Expected expected(GetParam());
  Sequence captured(model, {.max_length = kMaxLength, .chunk = 16});
  Sequence bound(model, {.max_length = kMaxLength, .chunk = 16, .run = {.capture = false}});
  for (const auto& part :
       {expected.Tokens(0, 21), expected.Tokens(21, 22), expected.Tokens(22, 30)}) {
    captured.Append(part);
    bound.Append(part);
    EXPECT_EQ(captured.Logits(), bound.Logits());
  }
}

TEST_P(Logits, ComeBackAfterRewind) {
  const auto model = LoadModel(GetParam(), SharedDevice());
  Expected expected(GetParam());
  Sequence sequence(model, {.max_length = kMaxLength, .chunk = 16});
  const bool halves = model->device()->caps().f16;
  sequence.Append(expected.First(30));
  sequence.Append(support::RandomTokens(9, 8));
  sequence.Rewind(30);
  EXPECT_EQ(sequence.length(), 30);
  sequence.Append(expected.Tokens(30, 33));
  expected.Check(sequence.Logits(), 33, halves);
  // LongRoPE models return to the short factors here.
  sequence.Rewind(20);
  sequence.Append(expected.Tokens(20, 21));
  expected.Check(sequence.Logits(), 21, halves);
}

// The device has no extensions: f16 weights and activations are widened, and nothing is reduced in
// subgroups.
TEST_P(Logits, MatchOnAPlainDevice) {
  static const auto plain =
      support::OpenDevice({.f16 = false, .subgroups = false, .subgroup_matrix = false});
  const auto model = LoadModel(GetParam(), plain);
  Expected expected(GetParam());
  CheckPrompts(model, expected, 16, {33}, 2);
}

INSTANTIATE_TEST_SUITE_P(Models, Logits, ::testing::ValuesIn(support::AllModels()),
                         [](const auto& info) { return info.param.name; });

// All products of this model can be links of a chain (kernels/layer_chain/layer_chain.h).
TEST(Chains, GiveTheReference) {
  const ModelSpec spec = ModelNamed("qwen3_graph");
  const auto chained = LoadModel(spec, SharedDevice(), {.fusion = passes::Fusion::kChain});
  const auto layered = LoadModel(spec, SharedDevice(), {.fusion = passes::Fusion::kLayer});
  const SequenceOptions options = {.max_length = kMaxLength, .chunk = 16};
  // The embedding and all layers are one chain.
  EXPECT_EQ(Sequence(chained, options).GreedyDispatches() + 5 * static_cast<size_t>(spec.layers),
            Sequence(layered, options).GreedyDispatches());
  Expected expected(spec);
  CheckPrompts(chained, expected, 16, {1, 17}, 3);
}

TEST(Variants, AllGiveTheReference) {
  const Caps& caps = SharedDevice()->caps();
  struct Choice {
    std::string model, kernel, variant;
  };
  std::vector<Choice> choices;
  for (const char* name : {"phi3", "longrope_if"}) {
    for (const char* variant : {"decode", "tile"}) {
      choices.push_back({name, "matmul_nbits", variant});
    }
  }
  // These models are f16, which the matrix units require.
  if (kernels::FindMatrixConfig(caps)) {
    choices.push_back({"phi3", "matmul_nbits", "matrix"});
    choices.push_back({"phi3", "matmul_nbits", "narrow"});
    choices.push_back({"plain_weights", "matmul", "matrix"});
  }
  for (const char* name : {"gemma3", "gptoss", "position_ids"}) {
    kernels::GroupQueryAttentionShape shape;
    shape.head_size = static_cast<uint32_t>(ModelNamed(name).head_size);
    for (const std::string& variant : kernels::GroupQueryAttentionVariants(caps, shape)) {
      choices.push_back({name, "group_query_attention", variant});
    }
  }
  for (const char* variant : {"vec", "tile"}) {
    choices.push_back({"plain_weights", "matmul", variant});
  }
  for (const std::string& variant : kernels::QMoEExpertVariants(caps)) {
    choices.push_back({"experts_8bit", "qmoe", variant});
    choices.push_back({"gptoss", "qmoe", variant});
  }
  for (const char* variant : {"decode.wg64.r2.f32", "decode.wg128.r4.f32", "grouped"}) {
    choices.push_back({"experts_8bit", "qmoe", variant});
    choices.push_back({"gptoss", "qmoe", variant});
  }
  for (const Choice& choice : choices) {
    SCOPED_TRACE(fmt::format("{} with {} {}", choice.model, choice.kernel, choice.variant));
    const ModelSpec spec = ModelNamed(choice.model);
    const auto model =
        LoadModel(spec, SharedDevice(), {.variants = {{choice.kernel, choice.variant}}});
    Expected expected(spec);
    CheckPrompts(model, expected, 16, {19}, 1);
  }
}

// Tensors larger than a binding are split into parts; each element is computed as without the
// split.
TEST(SplitWeights, GiveTheSameBits) {
  constexpr uint64_t kLimit = 20 << 10;
  const auto small = support::OpenDevice({.max_storage_binding_bytes = kLimit});
  std::vector<std::string> names = {"qwen3_f32", "phi3", "gptoss"};
  if (support::TestAll()) names.insert(names.end(), {"position_ids", "experts_8bit"});
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    ModelSpec spec = ModelNamed(name);
    spec.vocab = 1000;
    Expected expected(spec);
    std::vector<std::vector<float>> logits;
    std::vector<size_t> dispatches;
    // QMoE's decode variant takes only weights that fit one binding. The variant `wg` takes both,
    // with the same bits.
    const ModelOptions options = {.variants = {{"qmoe", "wg"}}};
    for (const auto& device : {SharedDevice(), small}) {
      Sequence sequence(LoadModel(spec, device, options), {.max_length = 40, .chunk = 16});
      sequence.Append(expected.First(19));
      logits.push_back(sequence.Logits());
      sequence.Append(expected.Tokens(19, 20));
      logits.push_back(sequence.Logits());
      dispatches.push_back(sequence.GreedyDispatches());
    }
    EXPECT_EQ(logits[0], logits[2]);
    EXPECT_EQ(logits[1], logits[3]);
    EXPECT_GT(dispatches[1], dispatches[0]);
    expected.Check(logits[3], 20, small->caps().f16);
  }
}

// Unquantized weights are split along K, so their sums are added in another order.
TEST(SplitWeights, UnquantizedGiveTheReference) {
  const auto small = support::OpenDevice({.max_storage_binding_bytes = 20 << 10});
  ModelSpec spec = ModelNamed("plain_weights");
  spec.vocab = 512;
  Expected expected(spec);
  std::vector<size_t> dispatches;
  for (const auto& device : {SharedDevice(), small}) {
    const auto model = LoadModel(spec, device);
    dispatches.push_back(Sequence(model, {.max_length = 40, .chunk = 16}).GreedyDispatches());
    CheckPrompts(model, expected, 16, {19}, 1);
  }
  EXPECT_GT(dispatches[1], dispatches[0]);
}

}  // namespace
}  // namespace sinter::engine
