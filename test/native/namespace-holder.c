// Holds network namespaces in ways that leave no process in them: `namespace-holder thread|open PATH`. It prints a line
// once it does, and goes on until it is killed. With `thread`, the first thread ends and another is in the namespace.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_t first;

static void hold(void) {
  puts("held");
  fflush(stdout);
  for (;;) pause();
}

static void *in_thread(void *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) {
    perror(path);
    exit(1);
  }
  close(fd);
  pthread_join(first, NULL);
  hold();
  return NULL;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  if (strcmp(argv[1], "open") == 0) {
    if (open(argv[2], O_RDONLY) < 0) {
      perror(argv[2]);
      return 1;
    }
    hold();
  }
  pthread_t thread;
  first = pthread_self();
  if (pthread_create(&thread, NULL, in_thread, argv[2]) != 0) return 1;
  pthread_exit(NULL);
}
