// Damaged models: every bit flipped, every prefix, random bytes, and files that declare more data
// than they hold. Each must either parse or throw Error("onnx"); the sanitizers catch everything
// else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "onnx/test_messages.h"
#include "onnx/writer.h"

namespace sinter::onnx {
namespace {

using graph::Graph;
using graph::Tensor;
using graph::Value;

// Returns a model of about 600 bytes with every kind of message that the reader knows.
std::string SmallModel() {
  using namespace proto::attribute;
  const Proto branch = Proto()
                           .Bytes(proto::graph::kName, "b")
                           .Sub(proto::graph::kNode, NodeMessage("Add", {"x", "w"}, {"s"}))
                           .Sub(proto::graph::kOutput, ValueInfo("s", 1, {1}));
  const Proto graph =
      ReluGraph()
          .Sub(proto::graph::kInitializer,
               TensorHeader("w", 1, {1}).PackedFixed<float>(proto::tensor::kFloatData, {1}))
          .Sub(proto::graph::kInitializer, RawTensor("q", 21, {3}, "ab"))
          .Sub(proto::graph::kInitializer,
               TensorHeader("i", 7, {2}).PackedInts(proto::tensor::kInt64Data, {1, -1}))
          .Sub(
              proto::graph::kInitializer,
              ExternalTensor("e", 2, {2}, {{"location", "data"}, {"offset", "1"}, {"length", "2"}}))
          .Sub(proto::graph::kNode,
               NodeMessage(
                   "Constant", {}, {"c"},
                   {AttributeMessage("value_ints", proto::AttributeType::kInts).Int(kInts, 3)}))
          .Sub(proto::graph::kNode,
               NodeMessage(
                   "If", {"y"}, {"z"},
                   {AttributeMessage("then_branch", proto::AttributeType::kGraph)
                        .Sub(proto::attribute::kGraph, branch),
                    AttributeMessage("t", proto::AttributeType::kTensor)
                        .Sub(proto::attribute::kTensor, RawTensor("", 9, {1}, "\x01")),
                    AttributeMessage("fs", proto::AttributeType::kFloats)
                        .PackedFixed<float>(kFloats, {1, 2}),
                    AttributeMessage("ss", proto::AttributeType::kStrings).Bytes(kStrings, "a")}))
          .Sub(proto::graph::kOutput, ValueInfo("z", 1))
          .Sub(proto::graph::kValueInfo, ValueInfo("z", 1));
  return Model(graph).bytes;
}

class DamageTest : public testing::Test {
 protected:
  DamageTest() { folder_.Write("data", "0123"); }

  // Returns 1 if the bytes parse and 0 if reading throws Error. Anything else fails the test.
  int Try(const std::string& bytes) {
    try {
      ReadBytes(bytes, folder_.path());
      return 1;
    } catch (const Error& e) {
      EXPECT_EQ(e.area(), "onnx");
      return 0;
    }
  }

  TempFolder folder_;
};

TEST_F(DamageTest, SmallModelIsGood) { EXPECT_EQ(Try(SmallModel()), 1); }

TEST_F(DamageTest, EveryBitFlipped) {
  const std::string good = SmallModel();
  int parsed = 0;
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ 1 << bit % 8);
    SCOPED_TRACE(bit);
    parsed += Try(bad);
  }
  EXPECT_GT(parsed, 0) << "numbers and names may change";
  EXPECT_LT(parsed, static_cast<int>(good.size()) * 4) << "most of the model is checked";
}

TEST_F(DamageTest, CutOffAtEveryByte) {
  const std::string good = SmallModel();
  for (size_t size = 0; size < good.size(); ++size) {
    SCOPED_TRACE(size);
    EXPECT_EQ(Try(good.substr(0, size)), 0);
  }
}

TEST_F(DamageTest, RandomBytesInside) {
  const std::string good = SmallModel();
  std::mt19937 random(1);
  for (int i = 0; i < 20000; ++i) {
    std::string bad = good;
    for (int k = 0; k < 1 + i % 4; ++k) bad[random() % bad.size()] = static_cast<char>(random());
    if (i % 5 == 0) bad.erase(random() % bad.size(), random() % 8);
    Try(bad);
  }
}

// If the reader trusted one of these sizes, the test would run out of memory.
TEST_F(DamageTest, HugeDeclarationsAllocateNothing) {
  for (const int type : {1, 2, 7, 10, 11, 13, 21}) {
    for (const int64_t dim : {int64_t{1} << 33, int64_t{1} << 55, INT64_MAX}) {
      for (const Proto& tensor :
           {TensorHeader("w", type, {dim}), RawTensor("w", type, {dim}, "abcd"),
            TensorHeader("w", type, {dim, dim, dim}),
            TensorHeader("w", type, {dim}).Int(proto::tensor::kInt64Data, 1),
            ExternalTensor("w", type, {dim}, {{"location", "data"}})}) {
        EXPECT_EQ(Try(Model(ReluGraph().Sub(proto::graph::kInitializer, tensor)).bytes), 0);
      }
    }
  }
}

TEST_F(DamageTest, ManyValuesTakeLinearTime) {
  Graph graph;
  graph.opsets = {{"", 21}};
  Value* value = graph.AddInput("x", DType::kF32, graph::Dims{});
  for (int i = 0; i < 50000; ++i) {
    Value* next = graph.AddValue(fmt::format("v{}", i));
    graph.AddNode("", "", "Relu", {value}, {next});
    value = next;
  }
  graph.AddOutput(value);
  EXPECT_EQ(ReadBytes(WriteModelBytes(graph))->num_nodes(), 50000u);
}

}  // namespace
}  // namespace sinter::onnx
