/*
 * run-on-node <mount namespace> <program>
 *
 * Runs a program of the node's from a container: enters the mount namespace (/proc/1/ns/mnt), so that the program finds
 * its libraries, files and sockets where they are on the node, and becomes it. Environment and standard streams are the
 * caller's. It is a program of its own since setns(2) takes a process with one thread only, and static since it is run
 * where there is nothing else.
 *
 * Exit code 127 if it cannot; the reason is on stderr.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static int failed(const char *what) {
  fprintf(stderr, "run-on-node: %s: %s\n", what, strerror(errno));
  return 127;
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fputs("usage: run-on-node <mount namespace> <program>\n", stderr);
    return 127;
  }
  const int mounts = open(argv[1], O_RDONLY | O_CLOEXEC);
  if (mounts < 0) return failed(argv[1]);
  /* An agent that is killed undoes what it began when it starts again, which a plugin must not go on with meanwhile. */
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return failed("prctl");
  if (setns(mounts, CLONE_NEWNS) != 0) return failed("setns");
  if (chdir("/") != 0) return failed("chdir");
  execv(argv[2], argv + 2);
  return failed(argv[2]);
}
