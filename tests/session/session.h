// Runs of the program without its start: loading LibTorch takes half a second of every process, and
// the tests start some four hundred. A server loads it once and forks; `rebound_session` in the
// program's place asks it for a run:
//
//   rebound_session audit spec.json   as `rebound audit spec.json`: same folder, environment,
//                                     descriptors 0 to 2
//   session_server start|stop         ctest does both, around the tests that need it (its fixture
//                                     "session")
//
// A run is a process of its own, forked before any arithmetic. Without a server the client starts
// the program itself, so that a test by hand is what it always was. Tests that send signals, or
// that are about the start, start the program itself: a signal would end the client alone.
//
//   request   RequestHead with the three descriptors (SCM_RIGHTS), then `bytes` of strings that end
//             with a NUL: the folder, the arguments, the environment
//   answer    int32_t: the exit code, or 128 + the number of the signal that ended the run
#pragma once

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <system_error>

namespace rebound::session {

struct RequestHead {
  uint32_t bytes = 0;
  uint32_t n_arguments = 0;
};

inline constexpr int kDescriptors = 3;

// Everything of a session lies beside the program that was built.
inline std::filesystem::path build_folder() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path();
}

// False where the path is too long for a socket. A server of another build has another address: it
// is never asked, and ends when it has been idle.
inline bool session_address(sockaddr_un& address) {
  std::error_code ignored;
  const auto built = std::filesystem::last_write_time(build_folder() / "session_server", ignored);
  const std::string name =
      "session" + std::to_string(built.time_since_epoch().count() & 0xffffffffff) + ".sock";
  const std::string path = (build_folder() / name).string();
  address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  return true;
}

// The socket, or -1 where no server listens.
inline int connect_to_session() {
  sockaddr_un address;
  if (!session_address(address)) return -1;
  const int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(connection, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
    return connection;
  close(connection);
  return -1;
}

// False where the other side is gone.
inline bool read_whole(int from, void* data, size_t size) {
  char* place = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t count = read(from, place, size);
    if (count <= 0) return false;
    place += count;
    size -= static_cast<size_t>(count);
  }
  return true;
}

inline bool send_whole(int to, const void* data, size_t size) {
  const char* place = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t count = send(to, place, size, MSG_NOSIGNAL);
    if (count <= 0) return false;
    place += count;
    size -= static_cast<size_t>(count);
  }
  return true;
}

// Room for the descriptors beside a message.
union DescriptorRoom {
  char bytes[CMSG_SPACE(kDescriptors * sizeof(int))];
  cmsghdr alignment;
};

}  // namespace rebound::session
