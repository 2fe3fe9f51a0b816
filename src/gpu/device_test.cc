// Tests transfers, pipelines, errors and device loss on any available adapter.

#include "gpu/device.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <numeric>
#include <random>
#include <thread>

#include "base/error.h"
#include "gpu/process_limits.h"

namespace sinter::gpu {
namespace {

std::shared_ptr<Device> OpenTestDevice(DeviceOptions options = {}) {
  options.checked = true;
  if (const char* name = std::getenv("SINTER_TEST_DEVICE")) options.adapter = name;
  return Device::Open(options);
}

wgsl::Shader Spec(const std::string& label, const std::string& text) {
  return {label, wgsl::ExpandWgsl([&](std::string_view) { return text; }, label + ".wgsl", {})};
}

const char kAddOne[] = R"(
@group(0) @binding(0) var<storage, read_write> data: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < arrayLength(&data)) { data[id.x] += 1u; }
}
)";

std::vector<std::byte> Pattern(size_t bytes, uint32_t seed) {
  std::mt19937 engine(seed);
  std::vector<std::byte> data(bytes);
  for (std::byte& byte : data) byte = static_cast<std::byte>(engine());
  return data;
}

template <typename F>
std::string ErrorOf(F&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

TEST(Device, ListsAdaptersBestFirst) {
  const std::vector<AdapterInfo> adapters = ListAdapters();
  ASSERT_FALSE(adapters.empty());
  for (size_t i = 0; i < adapters.size(); ++i) {
    EXPECT_EQ(adapters[i].index, static_cast<int>(i));
    EXPECT_FALSE(adapters[i].name.empty());
    if (i > 0 && !adapters[i].software) {
      EXPECT_FALSE(adapters[i - 1].software);
    }
  }
}

TEST(Device, OpensByIndexNameAndKind) {
  const std::vector<AdapterInfo> adapters = ListAdapters();
  EXPECT_EQ(Device::Open({.adapter = "0"})->adapter().name, adapters[0].name);
  EXPECT_EQ(Device::Open({.adapter = adapters[0].name.substr(0, 5)})->adapter().name,
            adapters[0].name);
  const std::string error = ErrorOf([] { Device::Open({.adapter = "no such adapter"}); });
  EXPECT_NE(error.find("got 'no such adapter', want"), std::string::npos) << error;
  EXPECT_NE(error.find(adapters[0].name), std::string::npos) << error;
  EXPECT_NE(ErrorOf([] { Device::Open({.adapter = "99"}); }), "");
}

TEST(Device, OptionsHideFeatures) {
  const auto device = OpenTestDevice({.f16 = false,
                                      .subgroups = false,
                                      .subgroup_matrix = false,
                                      .max_storage_binding_bytes = 1 << 20});
  EXPECT_FALSE(device->caps().f16);
  EXPECT_FALSE(device->caps().subgroups);
  EXPECT_TRUE(device->caps().subgroup_matrix.empty());
  EXPECT_EQ(device->caps().limits.max_storage_binding_bytes, 1u << 20);
}

TEST(Transfer, RoundTripsOddSizesAndOffsets) {
  const auto device = OpenTestDevice();
  for (const size_t bytes : {1u, 3u, 4u, 17u, 4096u, 65536u, 65537u, 100003u}) {
    const Buffer buffer = device->CreateBuffer(bytes + 64, "round trip");
    const std::vector<std::byte> data = Pattern(bytes, 1);
    device->Upload(buffer, 16, data);
    EXPECT_EQ(device->Download(buffer, 16, bytes), data) << bytes;
  }
  device->Check();
}

// Uploads five times the ring's size without waiting in between. Detects a slot that is overwritten
// while the GPU still reads it.
TEST(Transfer, StagingRingWrapsWithoutCorruption) {
  const auto device = OpenTestDevice();
  constexpr size_t kBytes = 20u << 20;
  std::vector<Buffer> buffers;
  std::vector<std::vector<std::byte>> data;
  for (uint32_t i = 0; i < 8; ++i) {
    data.push_back(Pattern(kBytes + 12 * i, i));
    buffers.push_back(device->CreateBuffer(data.back().size(), "ring"));
    device->Upload(buffers.back(), 0, data.back());
  }
  for (size_t i = 0; i < buffers.size(); ++i) {
    EXPECT_TRUE(device->Download(buffers[i], 0, data[i].size()) == data[i]) << i;
  }
  device->Check();
}

TEST(Transfer, StreamAsksForEveryByteOnce) {
  const auto device = OpenTestDevice();
  constexpr uint64_t kBytes = (17u << 20) + 6;
  const Buffer buffer = device->CreateBuffer(kBytes, "stream");
  uint64_t next = 0;
  device->UploadStream(buffer, 0, kBytes, [&](uint64_t offset, std::span<std::byte> out) {
    EXPECT_EQ(offset, next);
    next += out.size();
    for (size_t i = 0; i < out.size(); ++i)
      out[i] = static_cast<std::byte>((offset + i) * 2654435761u >> 24);
  });
  EXPECT_EQ(next, kBytes);
  const auto bytes = device->Download(buffer, 0, kBytes);
  for (uint64_t i = 0; i < kBytes; ++i) {
    ASSERT_EQ(bytes[i], static_cast<std::byte>(i * 2654435761u >> 24)) << i;
  }
}

TEST(Commands, ReplayRunsAgainAndKeepsOrder) {
  const auto device = OpenTestDevice();
  const wgsl::Shader spec = Spec("add_one", kAddOne);
  const Pipeline pipeline = device->GetPipelines({&spec, 1})[0];
  const Buffer a = device->CreateBuffer(256, "a");
  const Buffer b = device->CreateBuffer(256, "b");
  device->Upload(a, 0, std::vector<std::byte>(256));
  CommandList list(*device);
  const Binding binding{0, a};
  list.Dispatch(pipeline, {&binding, 1}, {1, 1, 1});
  list.Copy(a, 0, b, 0, 256);
  list.Dispatch(pipeline, {&binding, 1}, {1, 1, 1});
  for (int i = 0; i < 3; ++i) device->Submit(list);
  uint32_t got_a = 0, got_b = 0;
  std::memcpy(&got_a, device->Download(a, 252, 4).data(), 4);
  std::memcpy(&got_b, device->Download(b, 252, 4).data(), 4);
  EXPECT_EQ(got_a, 6u);
  EXPECT_EQ(got_b, 5u);
  list.Clear(a, 0, 128);
  device->Submit(list);
  std::memcpy(&got_a, device->Download(a, 0, 4).data(), 4);
  EXPECT_EQ(got_a, 0u);
  EXPECT_EQ(list.num_dispatches(), 2u);
  EXPECT_EQ(list.labels()[0], "add_one");
}

TEST(Commands, ProfileGivesATimePerDispatch) {
  const auto device = OpenTestDevice();
  if (!device->caps().timestamps) {
    const CommandList list(*device);
    EXPECT_NE(ErrorOf([&] { device->SubmitProfiled(list); }), "");
    return;
  }
  const wgsl::Shader spec = Spec("add_one", kAddOne);
  const Pipeline pipeline = device->GetPipelines({&spec, 1})[0];
  const Buffer a = device->CreateBuffer(1 << 20, "a");
  CommandList list(*device);
  const Binding binding{0, a};
  // 2,050 dispatches need more than one query set.
  for (int i = 0; i < 2050; ++i) list.Dispatch(pipeline, {&binding, 1}, {1, 1, 1});
  const std::vector<double> times = device->SubmitProfiled(list);
  ASSERT_EQ(times.size(), 2050u);
  EXPECT_GT(std::accumulate(times.begin(), times.end(), 0.0), 0.0);
}

TEST(Pipelines, AreCompiledOnceAndErrorsNameTheLine) {
  const auto device = OpenTestDevice();
  const std::vector<wgsl::Shader> specs = {Spec("one", kAddOne), Spec("two", kAddOne),
                                           Spec("one", kAddOne)};
  EXPECT_EQ(device->GetPipelines(specs).size(), 3u);
  EXPECT_EQ(device->pipelines_created(), 2);
  device->GetPipelines(specs);
  EXPECT_EQ(device->pipelines_created(), 2);
  const wgsl::Shader bad =
      Spec("bad", "@compute @workgroup_size(1)\nfn main() {\n  let x = nonsense;\n}\n");
  const std::string error = ErrorOf([&] { device->GetPipelines({&bad, 1}); });
  EXPECT_NE(error.find("bad.wgsl:3"), std::string::npos) << error;
  EXPECT_NE(error.find("nonsense"), std::string::npos) << error;
  device->Check();
}

TEST(Pipelines, DiskCacheIsFilledAndUsed) {
  const auto dir =
      std::filesystem::temp_directory_path() / ("sinter_cache_test_" + std::to_string(getpid()));
  std::filesystem::remove_all(dir);
  const wgsl::Shader spec = Spec("add_one", kAddOne);
  OpenTestDevice({.cache_dir = dir})->GetPipelines({&spec, 1});
  ASSERT_FALSE(std::filesystem::is_empty(dir));
  // Truncated and foreign files are misses, not errors.
  for (const auto& entry : std::filesystem::directory_iterator(dir))
    std::filesystem::resize_file(entry.path(), 40);
  EXPECT_EQ(OpenTestDevice({.cache_dir = dir})->GetPipelines({&spec, 1}).size(), 1u);
  EXPECT_EQ(OpenTestDevice({.cache_dir = "/proc/no/such/folder"})->GetPipelines({&spec, 1}).size(),
            1u);
  std::filesystem::remove_all(dir);
}

TEST(Errors, TooLittleAddressSpaceForASoftwareGpu) {
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_AS, &before), 0);
  rlimit little = before;
  little.rlim_cur = uint64_t{600} << 20;
  ASSERT_EQ(setrlimit(RLIMIT_AS, &little), 0);
  const std::string error = ErrorOf([] { CheckProcessLimits(/*software=*/true); });
  const std::string none = ErrorOf([] { CheckProcessLimits(/*software=*/false); });
  const std::string loads = ErrorOf([] { CheckAddressSpaceForDrivers(); });
  little.rlim_cur = uint64_t{300} << 20;
  ASSERT_EQ(setrlimit(RLIMIT_AS, &little), 0);
  const std::string listed = ErrorOf([] { ListAdapters(); });
  ASSERT_EQ(setrlimit(RLIMIT_AS, &before), 0);
  EXPECT_NE(error.find("address space: got a limit of 600 MiB (ulimit -v), want "),
            std::string::npos)
      << error;
  EXPECT_EQ(none, "");
  EXPECT_EQ(loads, "");
  EXPECT_NE(listed.find("address space: got a limit of 300 MiB"), std::string::npos) << listed;
  EXPECT_EQ(AddressSpaceProblem(), "");
}

// Limits on threads do not hold for root, for whom the check starts its threads and finds room.
TEST(Errors, TooFewThreads) {
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NPROC, &before), 0);
  rlimit little = before;
  little.rlim_cur = 1;
  ASSERT_EQ(setrlimit(RLIMIT_NPROC, &little), 0);
  const std::string error = ErrorOf([] { CheckProcessLimits(/*software=*/false); });
  ASSERT_EQ(setrlimit(RLIMIT_NPROC, &before), 0);
  if (geteuid() == 0) {
    EXPECT_EQ(error, "");
  } else {
    EXPECT_NE(error.find("threads: got room for 0 more (ulimit -u), want "), std::string::npos)
        << error;
  }
}

TEST(Errors, AsynchronousErrorsAreRaisedByCheckOnce) {
  const auto device = OpenTestDevice();
  const wgsl::Shader spec = Spec("add_one", kAddOne);
  const Pipeline pipeline = device->GetPipelines({&spec, 1})[0];
  const Buffer a = device->CreateBuffer(64, "a");
  CommandList list(*device);
  const Binding binding{5, a};  // The shader has no such binding.
  list.Dispatch(pipeline, {&binding, 1}, {1, 1, 1});
  EXPECT_NE(ErrorOf([&] { device->Check(); }), "");
  EXPECT_EQ(ErrorOf([&] { device->Check(); }), "");
}

TEST(Errors, TooLargeBufferIsRefused) {
  const auto device = OpenTestDevice();
  EXPECT_NE(
      ErrorOf([&] { device->CreateBuffer(uint64_t{1} << 60, "huge"); }).find("buffer 'huge': got"),
      std::string::npos);
}

TEST(Errors, LostDeviceIsATypedErrorAndANewOneWorks) {
  const auto device = OpenTestDevice();
  const Buffer a = device->CreateBuffer(64, "a");
  device->SimulateLoss();
  EXPECT_THROW(device->Check(), DeviceLostError);
  EXPECT_THROW(device->Download(a, 0, 64), DeviceLostError);
  EXPECT_THROW(device->Wait(), DeviceLostError);
  EXPECT_NO_THROW(OpenTestDevice()->Wait());
}

TEST(Device, TwoThreadsShareOne) {
  const auto device = OpenTestDevice();
  const auto work = [&](uint32_t seed) {
    for (uint32_t i = 0; i < 20; ++i) {
      const std::vector<std::byte> data = Pattern(300000, seed + i);
      const Buffer buffer = device->CreateBuffer(data.size(), "thread");
      device->Upload(buffer, 0, data);
      EXPECT_TRUE(device->Download(buffer, 0, data.size()) == data);
    }
  };
  std::thread other(work, 100);
  work(200);
  other.join();
  device->Check();
}

TEST(Device, CountsItsMemory) {
  const auto device = OpenTestDevice();
  const uint64_t before = device->allocated_bytes();
  {
    const Buffer a = device->CreateBuffer(1000, "a");
    EXPECT_EQ(device->allocated_bytes(), before + 1008);
  }
  EXPECT_EQ(device->allocated_bytes(), before);
}

}  // namespace
}  // namespace sinter::gpu
