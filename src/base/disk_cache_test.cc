#include "base/disk_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <fstream>
#include <string_view>
#include <thread>
#include <vector>

#include "base/file.h"

namespace sinter {
namespace {

namespace fs = std::filesystem;

std::span<const std::byte> Bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

class DiskCacheTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "disk_cache_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
  }
  void TearDown() override { fs::remove_all(dir_); }

  // Returns what Dawn gets: the value after its size, or "" on a miss.
  std::string Load(std::string_view key) const {
    const DiskCache cache(dir_);
    std::string value(cache.Load(Bytes(key), {}), '?');
    if (!value.empty()) {
      EXPECT_EQ(cache.Load(Bytes(key), std::as_writable_bytes(std::span(value))), value.size());
    }
    return value;
  }
  fs::path OnlyFile() const { return fs::directory_iterator(dir_)->path(); }

  fs::path dir_;
};

TEST_F(DiskCacheTest, KeepsValues) {
  const DiskCache cache(dir_ / "new" / "folder");
  EXPECT_EQ(cache.Load(Bytes("key"), {}), 0u);
  cache.Store(Bytes("key"), Bytes(std::string_view("a\0b", 3)));
  cache.Store(Bytes("other"), Bytes("x"));
  cache.Store(Bytes("key"), Bytes("value"));
  EXPECT_EQ(cache.Load(Bytes("key"), {}), 5u);
  std::string value(8, '?');
  EXPECT_EQ(cache.Load(Bytes("key"), std::as_writable_bytes(std::span(value))), 5u);
  EXPECT_EQ(value, "value???");
  EXPECT_EQ(cache.Load(Bytes("key"), std::as_writable_bytes(std::span(value))), 5u);
  EXPECT_EQ(cache.Load(Bytes("key"), std::as_writable_bytes(std::span(value).first(4))), 0u);
  EXPECT_EQ(cache.Load(Bytes("ke"), {}), 0u);
}

TEST_F(DiskCacheTest, EveryDamageIsAMiss) {
  DiskCache(dir_).Store(Bytes("some key"), Bytes("some value"));
  const fs::path path = OnlyFile();
  const std::string good = ReadSmallFile(path, "a", "b");
  ASSERT_EQ(Load("some key"), "some value");
  const auto expect_miss = [&](const std::string& content, const std::string& what) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
    EXPECT_EQ(Load("some key"), "") << what;
  };
  for (size_t i = 0; i < good.size(); ++i) {
    for (const int bit : {0, 3, 7}) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
      expect_miss(bad, "bit " + std::to_string(bit) + " of byte " + std::to_string(i));
    }
    expect_miss(good.substr(0, i), "cut at " + std::to_string(i));
  }
  expect_miss(good + "x", "longer");
  std::string huge = good;
  std::memset(huge.data() + 16, 0xff, 8);  // value_bytes
  expect_miss(huge, "a length that no memory holds");
  std::string old = good;
  old[7] = '1';
  expect_miss(old, "another version");
  // The same bytes under another key's name.
  DiskCache(dir_).Store(Bytes("third key"), Bytes("x"));
  fs::remove(path);
  fs::rename(OnlyFile(), path);
  EXPECT_EQ(Load("some key"), "");
  std::ofstream(path, std::ios::binary | std::ios::trunc) << good;
  EXPECT_EQ(Load("some key"), "some value");
}

TEST_F(DiskCacheTest, WhatIsNoFileIsAMiss) {
  DiskCache(dir_).Store(Bytes("key"), Bytes("value"));
  const fs::path path = OnlyFile();
  const auto replace = [&] { fs::remove_all(path); };
  replace();
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(Load("key"), "");
  replace();
  fs::create_symlink("/dev/zero", path);
  EXPECT_EQ(Load("key"), "");
  replace();
  std::ofstream(path).close();
  fs::resize_file(path, uint64_t{1} << 40);
  EXPECT_EQ(Load("key"), "");
  replace();
  fs::create_directories(path / "full");
  EXPECT_EQ(Load("key"), "");
  DiskCache(dir_).Store(Bytes("key"), Bytes("value"));
  EXPECT_EQ(Load("key"), "");
  replace();
  DiskCache(dir_).Store(Bytes("key"), Bytes("value"));
  EXPECT_EQ(Load("key"), "value");
  EXPECT_EQ(DiskCache("/proc/no/such").Load(Bytes("key"), {}), 0u);
  DiskCache("/proc/no/such").Store(Bytes("key"), Bytes("value"));
}

TEST_F(DiskCacheTest, TheCopyIsTheValueWhoseSizeWasTold) {
  const DiskCache cache(dir_);
  cache.Store(Bytes("key"), Bytes("value"));
  ASSERT_EQ(cache.Load(Bytes("key"), {}), 5u);
  std::ofstream(OnlyFile(), std::ios::trunc) << "damaged";
  std::string value(5, '?');
  EXPECT_EQ(cache.Load(Bytes("key"), std::as_writable_bytes(std::span(value))), 5u);
  EXPECT_EQ(value, "value");
  EXPECT_EQ(cache.Load(Bytes("key"), {}), 0u);
}

TEST_F(DiskCacheTest, ThreadsShareAFolder) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        const std::string key = "key " + std::to_string(i % 5), value = "value of " + key;
        DiskCache(dir_).Store(Bytes(key), Bytes(value));
        EXPECT_EQ(Load(key), value);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(std::distance(fs::directory_iterator(dir_), {}), 5);
}

}  // namespace
}  // namespace sinter
