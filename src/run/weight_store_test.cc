// Tests the upload of constants to the device: conversions, staging in pieces, sharing.

#include "run/weight_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/half.h"
#include "kernels/matmul_nbits/interleave.h"
#include "support/device.h"

namespace sinter::run {
namespace {

using compile::ConvertElements;
using graph::Tensor;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <typename T>
std::vector<T> Converted(const Tensor& tensor, DType to, uint64_t first, size_t count) {
  std::vector<T> out(count);
  ConvertElements(tensor, to, first, std::as_writable_bytes(std::span(out)));
  return out;
}

TEST(ConvertElements, WidensAndNarrowsFloats) {
  const std::vector<double> values = {1, -0.5, 1024, 0.333251953125};
  for (const DType from : {DType::kF16, DType::kF32, DType::kBF16}) {
    const Tensor tensor = Tensor::FromDoubles(from, {4}, values);
    const std::vector<double> exact = tensor.ToDoubles();
    EXPECT_THAT(Converted<float>(tensor, DType::kF32, 0, 4), ElementsAre(1, -0.5, 1024, exact[3]));
    EXPECT_THAT(Converted<float>(tensor, DType::kF32, 2, 2), ElementsAre(1024, exact[3]));
    EXPECT_THAT(Converted<uint16_t>(tensor, DType::kF16, 1, 3),
                ElementsAre(FloatToHalf(-0.5f), FloatToHalf(1024.f),
                            FloatToHalf(static_cast<float>(exact[3]))));
  }
}

TEST(ConvertElements, NarrowsIntegersAndKeepsSentinels) {
  const Tensor wide =
      Tensor::FromInts(DType::kI64, {4}, std::vector<int64_t>{-7, INT64_MAX, INT64_MIN, 1 << 20});
  EXPECT_THAT(Converted<int32_t>(wide, DType::kI32, 0, 4),
              ElementsAre(-7, INT32_MAX, INT32_MIN, 1 << 20));
  EXPECT_THAT(Converted<int32_t>(wide, DType::kI32, 3, 1), ElementsAre(1 << 20));
  const Tensor narrow = Tensor::FromInts(DType::kI32, {2}, std::vector<int64_t>{-7, 9});
  EXPECT_THAT(Converted<int32_t>(narrow, DType::kI32, 1, 1), ElementsAre(9));
  const Tensor flags = Tensor::FromInts(DType::kBool, {3}, std::vector<int64_t>{1, 0, 1});
  EXPECT_THAT(Converted<uint32_t>(flags, DType::kU32, 0, 3), ElementsAre(1, 0, 1));
}

TEST(ConvertElements, LeavesPackedBytesAlone) {
  const Tensor packed = Tensor::FromInts(DType::kU8, {4}, std::vector<int64_t>{1, 200, 3, 255});
  EXPECT_THAT(Converted<uint8_t>(packed, DType::kU8, 1, 3), ElementsAre(200, 3, 255));
  const Tensor nibbles = Tensor::FromInts(DType::kU4, {4}, std::vector<int64_t>{1, 2, 3, 15});
  EXPECT_THAT(Converted<uint8_t>(nibbles, DType::kU8, 0, 2), ElementsAre(0x21, 0xf3));
}

TEST(ConvertElements, RefusesWhatHasNoForm) {
  const auto refuses = [](DType from, DType to) {
    const Tensor tensor = Tensor::FromDoubles(from, {1}, std::vector<double>{1});
    try {
      Converted<uint32_t>(tensor, to, 0, 1);
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(DTypeName(from)));
      EXPECT_THAT(error.what(), HasSubstr(DTypeName(to)));
      return true;
    }
    return false;
  };
  EXPECT_TRUE(refuses(DType::kF64, DType::kF32));
  EXPECT_TRUE(refuses(DType::kI64, DType::kF32));
  EXPECT_TRUE(refuses(DType::kF32, DType::kI32));
  EXPECT_TRUE(refuses(DType::kU8, DType::kI32));
}

// The tensor needs more than one piece of staging memory, and its size is an odd number of
// elements.
TEST(WeightStore, UploadsInPieces) {
  const auto& device = support::SharedDevice();
  std::vector<double> values((5 << 20) + 3);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i % 2039) - 1000;
  const Tensor tensor =
      Tensor::FromDoubles(DType::kF16, {static_cast<int64_t>(values.size())}, values);
  WeightStore store(device);
  std::vector<uint64_t> progress;
  store.set_progress([&](uint64_t bytes) { progress.push_back(bytes); });
  const gpu::BufferRange buffer = store.Get(tensor, {DType::kF32}, "large");
  const std::vector<std::byte> bytes = device->Download(buffer.buffer, 0, values.size() * 4);
  for (size_t i = 0; i < values.size(); ++i) {
    float value = 0;
    std::memcpy(&value, bytes.data() + i * 4, 4);
    ASSERT_EQ(value, values[i]) << i;
  }
  EXPECT_TRUE(std::is_sorted(progress.begin(), progress.end()));
  EXPECT_EQ(progress.back(), values.size() * 4);
  EXPECT_EQ(store.bytes(), values.size() * 4);
}

// Concatenates converted tensors of odd sizes across the end of a piece of staging memory.
TEST(WeightStore, JoinsTensors) {
  const auto& device = support::SharedDevice();
  std::vector<Tensor> tensors;
  std::vector<double> values;
  for (const size_t count : {3, (4 << 20) + 1, 5}) {
    std::vector<double> own(count);
    for (size_t i = 0; i < count; ++i) own[i] = static_cast<double>((i + values.size()) % 2039);
    tensors.push_back(Tensor::FromDoubles(DType::kF16, {static_cast<int64_t>(count)}, own));
    values.insert(values.end(), own.begin(), own.end());
  }
  WeightStore store(device);
  const gpu::BufferRange buffer = store.Get(tensors, {DType::kF32}, "joined");
  const std::vector<std::byte> bytes = device->Download(buffer.buffer, 0, values.size() * 4);
  for (size_t i = 0; i < values.size(); ++i) {
    float value = 0;
    std::memcpy(&value, bytes.data() + i * 4, 4);
    ASSERT_EQ(value, values[i]) << i;
  }
  EXPECT_TRUE(store.Get(tensors, {DType::kF32}, "again") == buffer);
  EXPECT_EQ(store.bytes(), values.size() * 4);
}

// A tensor that is part of a joined buffer is not uploaded again if it can be bound there.
TEST(WeightStore, FindsTensorsAmongJoinedOnes) {
  const auto& device = support::SharedDevice();
  const size_t count = std::max<size_t>(device->caps().limits.min_storage_offset_alignment / 4, 4);
  std::vector<Tensor> tensors;
  for (const size_t elems : {count, count, size_t{3}, size_t{5}, count}) {
    std::vector<double> values(elems, static_cast<double>(tensors.size()));
    tensors.push_back(Tensor::FromDoubles(DType::kF32, {static_cast<int64_t>(elems)}, values));
  }
  WeightStore store(device);
  const gpu::BufferRange all = store.Get(tensors, {DType::kF32}, "all");
  const uint64_t bytes = store.bytes();
  const uint64_t whole = count * 4;
  const std::span<const Tensor> parts(tensors);
  EXPECT_TRUE(store.Get(tensors[0], {DType::kF32}, "a") == gpu::BufferRange(all.buffer, 0, whole));
  EXPECT_TRUE(store.Get(tensors[1], {DType::kF32}, "b") ==
              gpu::BufferRange(all.buffer, whole, whole));
  EXPECT_TRUE(store.Get(parts.subspan(1, 3), {DType::kF32}, "b to d") ==
              gpu::BufferRange(all.buffer, whole, whole + 32));
  EXPECT_EQ(store.bytes(), bytes);
  // The part is not used for another type, another order, or an offset where no binding may begin.
  EXPECT_FALSE(store.Get(tensors[1], {DType::kF16}, "half").buffer == all.buffer);
  const std::vector<Tensor> turned = {tensors[1], tensors[0]};
  EXPECT_FALSE(store.Get(turned, {DType::kF32}, "turned").buffer == all.buffer);
  EXPECT_FALSE(store.Get(tensors[3], {DType::kF32}, "d").buffer == all.buffer);
}

// Converts and interleaves groups of rows of two tensors across the end of a piece of staging
// memory.
TEST(WeightStore, InterleavesRows) {
  const auto& device = support::SharedDevice();
  constexpr size_t kCols = 6, kUnit = 2, kGroup = kernels::kInterleavedRows * kCols;
  std::vector<Tensor> tensors;
  std::vector<double> values;
  for (const size_t groups : {size_t{25'000}, size_t{3}}) {
    std::vector<double> own(groups * kGroup);
    for (size_t i = 0; i < own.size(); ++i)
      own[i] = static_cast<double>((i + values.size()) % 2039);
    tensors.push_back(
        Tensor::FromDoubles(DType::kF16, {static_cast<int64_t>(own.size() / kCols), kCols}, own));
    values.insert(values.end(), own.begin(), own.end());
  }
  WeightStore store(device);
  const compile::WeightForm form = {.dtype = DType::kF32,
                                    .row_bytes = kCols * sizeof(float),
                                    .unit_bytes = kUnit * sizeof(float)};
  const gpu::BufferRange buffer = store.Get(tensors, form, "rows");
  const std::vector<std::byte> bytes = device->Download(buffer.buffer, 0, values.size() * 4);
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t group = i / kGroup, unit = i % kGroup / (kUnit * kernels::kInterleavedRows);
    const size_t row = i / kUnit % kernels::kInterleavedRows;
    float value = 0;
    std::memcpy(&value, bytes.data() + i * 4, 4);
    ASSERT_EQ(value, values[group * kGroup + row * kCols + unit * kUnit + i % kUnit]) << i;
  }
  // The same rows in plain row-major order are another weight.
  EXPECT_TRUE(store.Get(tensors, form, "again") == buffer);
  EXPECT_FALSE(store.Get(tensors, {DType::kF32}, "row by row").buffer == buffer.buffer);
  EXPECT_EQ(store.bytes(), 2 * values.size() * 4);
}

TEST(WeightStore, SharesWhatIsTheSame) {
  WeightStore store(support::SharedDevice());
  const Tensor tensor = Tensor::FromDoubles(DType::kF32, {4}, std::vector<double>{1, 2, 3, 4});
  Tensor view = tensor;
  view.shape = {2, 2};
  const Tensor copy = Tensor::FromDoubles(DType::kF32, {4}, std::vector<double>{1, 2, 3, 4});
  const gpu::BufferRange buffer = store.Get(tensor, {DType::kF32}, "a");
  EXPECT_TRUE(store.Get(view, {DType::kF32}, "b") == buffer);
  EXPECT_FALSE(store.Get(copy, {DType::kF32}, "c") == buffer);
  EXPECT_FALSE(store.Get(tensor, {DType::kF16}, "d") == buffer);
  EXPECT_EQ(store.bytes(), 16u + 16u + 8u);
}

TEST(WeightStore, CanBeStoppedAndAskedAgain) {
  WeightStore store(support::SharedDevice());
  const Tensor tensor = Tensor::FromDoubles(DType::kF32, {4}, std::vector<double>{1, 2, 3, 4});
  store.set_progress([](uint64_t) { throw Error("test", "stop"); });
  EXPECT_THROW(store.Get(tensor, {DType::kF32}, "a"), Error);
  store.set_progress({});
  const gpu::BufferRange buffer = store.Get(tensor, {DType::kF32}, "a");
  const std::vector<std::byte> bytes = support::SharedDevice()->Download(buffer.buffer, 0, 16);
  EXPECT_EQ(std::memcmp(bytes.data(), tensor.bytes.data(), 16), 0);
}

}  // namespace
}  // namespace sinter::run
