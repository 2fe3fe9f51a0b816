#include "kernels/common/indexing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "base/error.h"

namespace sinter::kernels {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::IsEmpty;
using Dims = std::vector<int64_t>;

// Returns the offsets of each operand in the order of elements.
std::vector<Dims> Walk(const StridedSpace& space) {
  std::vector<Dims> offsets;
  ForEachOffset(space,
                [&](std::span<const int64_t> at) { offsets.emplace_back(at.begin(), at.end()); });
  return offsets;
}

TEST(Indexing, CountsElements) {
  EXPECT_EQ(NumElems(Dims{}), 1);
  EXPECT_EQ(NumElems(Dims{5, 7, 11, 13}), 5005);
  EXPECT_EQ(NumElems(Dims{1 << 20, 1 << 20, 0}), 0);
  EXPECT_EQ(NumElems(Dims{2147483647}), 2147483647);
  EXPECT_THROW(NumElems(Dims{1 << 16, 1 << 15}), Error);
  EXPECT_THROW(NumElems(Dims{int64_t{1} << 62, int64_t{1} << 62}), Error);
  EXPECT_THROW(NumElems(Dims{0, -1}), Error);
}

TEST(Indexing, BroadcastsShapes) {
  EXPECT_THAT(BroadcastShape(Dims{}, Dims{}), IsEmpty());
  EXPECT_THAT(BroadcastShape(Dims{2, 1, 4}, Dims{3, 1}), ElementsAre(2, 3, 4));
  EXPECT_THAT(BroadcastShape(Dims{1}, Dims{0}), ElementsAre(0));
  EXPECT_THAT(BroadcastShape(Dims{}, Dims{7, 5}), ElementsAre(7, 5));
  EXPECT_THROW(BroadcastShape(Dims{2}, Dims{3}), Error);
  EXPECT_THROW(BroadcastShape(Dims{2}, Dims{0}), Error);
}

TEST(Indexing, GivesStridesOfBroadcastOperands) {
  EXPECT_THAT(RowMajorStrides(Dims{2, 3, 4}), ElementsAre(12, 4, 1));
  EXPECT_THAT(BroadcastStrides(Dims{3, 1}, Dims{2, 3, 4}), ElementsAre(0, 1, 0));
  EXPECT_THAT(BroadcastStrides(Dims{2, 3, 4}, Dims{2, 3, 4}), ElementsAre(12, 4, 1));
  EXPECT_THROW(BroadcastStrides(Dims{3}, Dims{2}), Error);
  EXPECT_THROW(BroadcastStrides(Dims{2, 2}, Dims{2}), Error);
}

TEST(Indexing, FoldsWhatEveryOperandStepsThroughAsOne) {
  const StridedSpace dense = FoldDims({{2, 3, 4}, {{12, 4, 1}, {12, 4, 1}}});
  EXPECT_THAT(dense.sizes, ElementsAre(24));
  EXPECT_THAT(dense.strides, ElementsAre(ElementsAre(1), ElementsAre(1)));
  const StridedSpace row = FoldDims({{2, 3, 4}, {{12, 4, 1}, {0, 0, 1}}});
  EXPECT_THAT(row.sizes, ElementsAre(6, 4));
  EXPECT_THAT(row.strides, ElementsAre(ElementsAre(4, 1), ElementsAre(0, 1)));
  const StridedSpace scalar = FoldDims({{2, 1, 4}, {{4, 4, 1}, {0, 0, 0}}});
  EXPECT_THAT(scalar.sizes, ElementsAre(8));
  EXPECT_THAT(scalar.strides, ElementsAre(ElementsAre(1), ElementsAre(0)));
  EXPECT_THAT(FoldDims({{1, 1}, {{5, 7}}}).sizes, IsEmpty());
  EXPECT_THAT(FoldDims({{}, {{}}}).sizes, IsEmpty());
}

TEST(Indexing, FoldingKeepsEveryOffset) {
  std::mt19937 engine(1);
  for (int round = 0; round < 500; ++round) {
    StridedSpace space;
    space.strides.resize(3);
    const size_t rank = engine() % 6;
    for (size_t d = 0; d < rank; ++d) {
      space.sizes.push_back(1 + engine() % 3);
      for (Dims& strides : space.strides) strides.push_back(static_cast<int64_t>(engine() % 7) - 3);
    }
    // Half of the spaces have a dense operand, so that there is something to fold.
    if (engine() % 2 == 0)
      space.strides[0] = space.strides[1] = space.strides[2] = RowMajorStrides(space.sizes);
    const StridedSpace folded = FoldDims(space);
    EXPECT_LE(folded.sizes.size(), rank);
    EXPECT_EQ(Walk(folded), Walk(space));
  }
}

TEST(Indexing, WalksScalarsOnceAndEmptySpacesNever) {
  EXPECT_THAT(Walk({{}, {{}, {}}}), ElementsAre(ElementsAre(0, 0)));
  EXPECT_THAT(Walk({{2, 0}, {{1, 1}}}), IsEmpty());
  EXPECT_THAT(Walk({{2, 2}, {{2, -1}}}),
              ElementsAre(ElementsAre(0), ElementsAre(-1), ElementsAre(2), ElementsAre(1)));
}

TEST(Indexing, TurnsDimensionsAroundForTheDevice) {
  EXPECT_THAT(ToDeviceDims(Dims{2, -3}, 1), ElementsAre(-3, 2, 1, 1, 1, 1, 1, 1));
  EXPECT_THAT(ToDeviceDims(Dims{1, 2, 3, 4, 5, 6, 7, 8}, 0),
              ElementsAreArray({8, 7, 6, 5, 4, 3, 2, 1}));
  EXPECT_THROW(ToDeviceDims(Dims(9, 2), 0), Error);
  EXPECT_THROW(ToDeviceDims(Dims{int64_t{1} << 31}, 0), Error);
}

TEST(Indexing, KnowsWhenVectorsFit) {
  // One dense dimension may end within a vector only if there is room after it.
  EXPECT_TRUE(CanVectorize({{7}, {{1}, {0}}}, true));
  EXPECT_FALSE(CanVectorize({{7}, {{1}, {0}}}, false));
  EXPECT_TRUE(CanVectorize({{8}, {{1}, {0}}}, false));
  EXPECT_TRUE(CanVectorize({{}, {{}}}, true));
  EXPECT_FALSE(CanVectorize({{}, {{}}}, false));
  EXPECT_TRUE(CanVectorize({{3, 8}, {{8, 1}, {1, 0}}}, false));
  EXPECT_FALSE(CanVectorize({{3, 6}, {{6, 1}, {1, 0}}}, true));
  EXPECT_FALSE(CanVectorize({{3, 8}, {{9, 1}}}, true));
  EXPECT_FALSE(CanVectorize({{3, 8}, {{1, 3}}}, true));
  EXPECT_FALSE(CanVectorize({{8}, {{-1}}}, true));
  EXPECT_TRUE(IsUnitStride({{3, 8}, {{8, 1}, {1, 0}}}, 0));
  EXPECT_FALSE(IsUnitStride({{3, 8}, {{8, 1}, {1, 0}}}, 1));
  EXPECT_TRUE(IsUnitStride({{}, {{}}}, 0));
}

TEST(Indexing, StepsThroughVectors) {
  const StridedSpace vectors = ToVectors({{3, 8}, {{8, 1}, {1, 0}}});
  EXPECT_THAT(vectors.sizes, ElementsAre(3, 2));
  EXPECT_THAT(vectors.strides, ElementsAre(ElementsAre(8, 4), ElementsAre(1, 0)));
  EXPECT_THAT(ToVectors({{7}, {{1}}}).sizes, ElementsAre(2));
  EXPECT_THAT(ToVectors({{}, {{}}}).sizes, IsEmpty());
}

}  // namespace
}  // namespace sinter::kernels
