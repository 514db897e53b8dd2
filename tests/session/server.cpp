// session_server start|stop: see session.h.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstdio>
#include <iostream>
#include <vector>

#include "machine_setup.h"
#include "program.h"
#include "session/session.h"

namespace rebound::session {
namespace {

constexpr int kIdleMilliseconds = 15 * 60 * 1000;  // a ctest that was killed stops no server

struct Request {
  int descriptors[kDescriptors] = {-1, -1, -1};
  std::string folder;
  std::vector<std::string> arguments, environment;
};

bool receive_head(int client, RequestHead& head, Request& request) {
  DescriptorRoom room = {};
  iovec part = {&head, sizeof head};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = room.bytes;
  message.msg_controllen = sizeof room.bytes;
  if (recvmsg(client, &message, 0) != sizeof head) return false;
  const cmsghdr* beside = CMSG_FIRSTHDR(&message);
  if (beside == nullptr || beside->cmsg_len != CMSG_LEN(sizeof request.descriptors)) return false;
  std::memcpy(request.descriptors, CMSG_DATA(beside), sizeof request.descriptors);
  return true;
}

bool receive(int client, Request& request) {
  RequestHead head;
  if (!receive_head(client, head, request)) return false;
  std::string strings(head.bytes, '\0');
  if (!read_whole(client, strings.data(), strings.size())) return false;
  std::vector<std::string> all;
  for (size_t begin = 0; begin < strings.size();) {
    const size_t end = strings.find('\0', begin);
    all.push_back(strings.substr(begin, end - begin));
    begin = end + 1;
  }
  if (all.size() < 1 + head.n_arguments) return false;
  const auto first_variable = all.begin() + 1 + head.n_arguments;
  request.folder = all.front();
  request.arguments.assign(all.begin() + 1, first_variable);
  request.environment.assign(first_variable, all.end());
  return true;
}

// What a process that was just started would find, then the program. Does not return.
[[noreturn]] void become(Request& request) {
  for (int i = 0; i < kDescriptors; ++i) dup2(request.descriptors[i], i);
  for (const int descriptor : request.descriptors) {
    if (descriptor >= kDescriptors) close(descriptor);
  }
  clearenv();
  for (std::string& variable : request.environment) putenv(variable.data());
  if (chdir(request.folder.c_str()) != 0) _exit(EXIT_FAILURE);
  std::vector<const char*> arguments;
  for (const std::string& argument : request.arguments) arguments.push_back(argument.c_str());
  arguments.push_back(nullptr);
  signal(SIGINT, stop_at_once);
  keep_freed_memory();
  const int exit_code = run_rebound(static_cast<int>(request.arguments.size()), arguments.data());
  std::cout.flush();
  std::fflush(nullptr);
  _exit(exit_code);  // what LibTorch does at its end is the real program's, and takes a tenth of a
                     // second
}

// One connection: the run in a process of its own, whose end is told to the client.
[[noreturn]] void attend(int client) {
  signal(SIGCHLD, SIG_DFL);
  Request request;
  if (!receive(client, request)) _exit(EXIT_FAILURE);
  const pid_t run = fork();
  if (run == 0) {
    close(client);
    become(request);
  }
  for (const int descriptor : request.descriptors) close(descriptor);
  int status = 0;
  waitpid(run, &status, 0);
  const int32_t exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  send_whole(client, &exit_code, sizeof exit_code);
  _exit(EXIT_SUCCESS);
}

[[noreturn]] void serve(int listening) {
  signal(SIGCHLD, SIG_IGN);  // nobody waits for those who attend
  pollfd event = {listening, POLLIN, 0};
  while (poll(&event, 1, kIdleMilliseconds) > 0) {
    const int client = accept4(listening, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) continue;
    if (fork() == 0) {
      close(listening);
      attend(client);
    }
    close(client);
  }
  sockaddr_un address;
  if (session_address(address)) unlink(address.sun_path);
  _exit(EXIT_SUCCESS);
}

int stop() {
  const int server = connect_to_session();
  ucred peer = {};
  socklen_t size = sizeof peer;
  if (server < 0 || getsockopt(server, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    return EXIT_SUCCESS;
  kill(peer.pid, SIGTERM);
  sockaddr_un address;
  if (session_address(address)) unlink(address.sun_path);
  return EXIT_SUCCESS;
}

int listen_on(const sockaddr_un& address) {
  unlink(address.sun_path);
  const int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const mode_t before = umask(077);
  const bool is_bound =
      bind(listening, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  umask(before);
  return is_bound && listen(listening, SOMAXCONN) == 0 ? listening : -1;
}

// Returns when the server, which goes on behind, takes requests.
int start() {
  stop();
  sockaddr_un address;
  if (!session_address(address)) {
    std::puts("the build folder's path is too long for a socket: tests start the program itself");
    return EXIT_SUCCESS;
  }
  int ready[2];
  if (pipe2(ready, O_CLOEXEC) != 0) return EXIT_FAILURE;
  if (fork() == 0) {
    setsid();
    const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; i < kDescriptors; ++i) dup2(nothing, i);
    const int listening = listen_on(address);
    if (listening < 0) _exit(EXIT_FAILURE);
    const char is_ready = 1;
    if (write(ready[1], &is_ready, 1) != 1) _exit(EXIT_FAILURE);
    close(ready[1]);
    close(ready[0]);
    serve(listening);
  }
  close(ready[1]);
  char is_ready = 0;
  return read_whole(ready[0], &is_ready, 1) ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace
}  // namespace rebound::session

int main(int argc, char** argv) {
  const std::string what = argc == 2 ? argv[1] : "";
  if (what == "start") return rebound::session::start();
  if (what == "stop") return rebound::session::stop();
  std::fputs("usage: session_server start|stop\n", stderr);
  return 2;
}
