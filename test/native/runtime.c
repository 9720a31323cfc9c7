// Starts a plugin as a container runtime does, and answers as it does: runtime <plugin>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc != 2) return 125;
  pid_t child = fork();
  if (child == 0) {
    execl(argv[1], argv[1], (char *)NULL);
    perror(argv[1]);
    _exit(126);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) return 125;
  return WEXITSTATUS(status);
}
