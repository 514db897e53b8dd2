// rebound_session: `rebound`, run by the server of session.h, or by itself where there is none.
#include <cstdio>
#include <cstdlib>

#include "session/session.h"

extern char** environ;

namespace rebound::session {
namespace {

bool send_head(int server, RequestHead head) {
  const int descriptors[kDescriptors] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO};
  DescriptorRoom room = {};
  iovec part = {&head, sizeof head};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = room.bytes;
  message.msg_controllen = sizeof room.bytes;
  cmsghdr* beside = CMSG_FIRSTHDR(&message);
  beside->cmsg_level = SOL_SOCKET;
  beside->cmsg_type = SCM_RIGHTS;
  beside->cmsg_len = CMSG_LEN(sizeof descriptors);
  std::memcpy(CMSG_DATA(beside), descriptors, sizeof descriptors);
  return sendmsg(server, &message, MSG_NOSIGNAL) == sizeof head;
}

int run_by_server(int server, int argc, char** argv) {
  std::string strings = std::filesystem::current_path().string() + '\0';
  for (int i = 0; i < argc; ++i) strings += std::string(argv[i]) + '\0';
  for (char** variable = environ; *variable != nullptr; ++variable)
    strings += std::string(*variable) + '\0';
  const RequestHead head = {static_cast<uint32_t>(strings.size()), static_cast<uint32_t>(argc)};
  int32_t exit_code = 0;
  const bool is_answered = send_head(server, head) &&
                           send_whole(server, strings.data(), strings.size()) &&
                           read_whole(server, &exit_code, sizeof exit_code);
  if (is_answered) return exit_code;
  std::fputs("rebound_session: the server ended within the run\n", stderr);
  return EXIT_FAILURE;
}

int run_by_itself(char** argv) {
  const std::string program = (build_folder() / "rebound").string();
  execv(program.c_str(), argv);
  std::perror(program.c_str());
  return EXIT_FAILURE;
}

}  // namespace
}  // namespace rebound::session

int main(int argc, char** argv) {
  using namespace rebound::session;
  const int server = connect_to_session();
  return server < 0 ? run_by_itself(argv) : run_by_server(server, argc, argv);
}
