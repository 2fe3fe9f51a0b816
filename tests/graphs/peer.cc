#include "graphs/peer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>

#include "base/error.h"
#include "graph/tensor.h"

namespace sinter::graphs {
namespace {

class ClosedPipe : public std::runtime_error {
 public:
  ClosedPipe() : std::runtime_error("the process ended") {}
};

}  // namespace

Peer::Peer(std::string command) : command_(std::move(command)) {
  // A process that died closes its pipe; writing to it then fails instead of ending this process.
  std::signal(SIGPIPE, SIG_IGN);
  Start();
}

Peer::~Peer() { Stop(); }

void Peer::Start() {
  int in[2], out[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
    throw Error("peer", "pipe: got {}, want two ends", std::strerror(errno));
  pid_ = fork();
  if (pid_ == 0) {
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    execl("/bin/sh", "sh", "-c", ("exec " + command_).c_str(), nullptr);
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  to_ = in[1];
  from_ = out[0];
}

void Peer::Stop() {
  if (pid_ <= 0) return;
  close(to_);
  close(from_);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void Peer::Write(const void* data, size_t bytes) {
  const char* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t done = write(to_, at, bytes);
    if (done <= 0) throw ClosedPipe();
    at += done;
    bytes -= static_cast<size_t>(done);
  }
}

void Peer::Read(void* data, size_t bytes) {
  char* at = static_cast<char*>(data);
  while (bytes > 0) {
    const ssize_t done = read(from_, at, bytes);
    if (done <= 0) throw ClosedPipe();
    at += done;
    bytes -= static_cast<size_t>(done);
  }
}

void Peer::WriteText(const std::string& text) {
  const uint64_t size = text.size();
  Write(&size, sizeof(size));
  Write(text.data(), text.size());
}

std::string Peer::ReadText() {
  uint64_t size = 0;
  Read(&size, sizeof(size));
  std::string text(size, '\0');
  Read(text.data(), size);
  return text;
}

interpret::HostTensors Peer::Run(const std::string& model, const interpret::HostTensors& inputs,
                                 const std::vector<std::string>& outputs, std::string* refusal) {
  const auto write_count = [&](uint64_t count) { Write(&count, sizeof(count)); };
  const auto read_count = [&] {
    uint64_t count = 0;
    Read(&count, sizeof(count));
    return count;
  };
  try {
    WriteText(model);
    write_count(inputs.size());
    for (const auto& [name, tensor] : inputs) {
      const graph::Tensor encoded =
          graph::Tensor::FromDoubles(tensor.dtype, tensor.shape, tensor.values);
      WriteText(name);
      write_count(static_cast<uint64_t>(tensor.dtype));
      write_count(tensor.shape.size());
      for (const int64_t dim : tensor.shape) write_count(static_cast<uint64_t>(dim));
      WriteText({reinterpret_cast<const char*>(encoded.bytes.data()), encoded.bytes.size()});
    }
    write_count(outputs.size());
    for (const std::string& name : outputs) WriteText(name);

    *refusal = ReadText();
    interpret::HostTensors results;
    if (!refusal->empty()) return results;
    for (const std::string& name : outputs) {
      graph::Tensor tensor;
      tensor.dtype = static_cast<DType>(read_count());
      tensor.shape.resize(read_count());
      for (int64_t& dim : tensor.shape) dim = static_cast<int64_t>(read_count());
      const std::string bytes = ReadText();
      tensor.bytes = std::as_bytes(std::span(bytes));
      results[name] = interpret::HostTensor::FromTensor(tensor);
    }
    return results;
  } catch (const ClosedPipe&) {
    Stop();
    Start();
    *refusal = "ONNX Runtime died";
    return {};
  }
}

}  // namespace sinter::graphs
