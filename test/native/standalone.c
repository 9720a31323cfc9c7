/*
 * Stands in for the single-file executable: tells on stdout how it was called, as records that end with a zero byte (a:
 * an argument, e: an entry of the environment, f: an open descriptor, p: what SIGPIPE does), the last of them `s` and all
 * of stdin. Its exit code is 42.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void record(const char *kind, const char *value) {
  fwrite(kind, 1, 1, stdout);
  fwrite(value, 1, strlen(value) + 1, stdout);
}

int main(int argc, char **argv) {
  extern char **environ;
  char text[4096];
  for (int i = 0; i < argc; i++) record("a", argv[i]);
  for (char **entry = environ; *entry != NULL; entry++) record("e", *entry);
  for (int fd = 0; fd < 64; fd++)
    if (fcntl(fd, F_GETFD) >= 0) {
      snprintf(text, sizeof text, "%d", fd);
      record("f", text);
    }
  struct sigaction action;
  sigaction(SIGPIPE, NULL, &action);
  record("p", action.sa_handler == SIG_DFL ? "default" : "ignored");
  fwrite("s", 1, 1, stdout);
  for (ssize_t count; (count = read(0, text, sizeof text)) > 0;) fwrite(text, 1, (size_t)count, stdout);
  return fflush(stdout) == 0 ? 42 : 43;
}
