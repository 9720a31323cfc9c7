/* Stands in for a service manager: prints every datagram that comes to a Unix socket, a line for each. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

int main(int argc, char **argv) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const size_t length = argc > 1 ? strlen(argv[1]) : 0;
  if (length == 0 || length >= sizeof address.sun_path) return 1;
  memcpy(address.sun_path, argv[1], length);
  if (argv[1][0] == '@') address.sun_path[0] = '\0';
  const int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  const socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) != 0) {
    perror("datagrams");
    return 1;
  }
  puts("listens");
  for (char message[4096];;) {
    fflush(stdout);
    const ssize_t count = recv(fd, message, sizeof message, 0);
    if (count < 0) return 1;
    printf("%.*s\n", (int)count, message);
  }
}
