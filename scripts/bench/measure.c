/*
 * Measures whole processes:
 *
 *   measure <processes> <stdin file> <program> [argument...]
 *
 * starts that many at once, waits for all, and prints a line for each, in the order of their ends:
 *
 *   <wall microseconds> <user + system microseconds> <peak resident KiB> <start, in microseconds since the epoch>
 *
 * and one for all of them together: from the first start to the last end, the sum of their CPU times, the sum of the
 * peaks of those that lived at one time, at its highest, and the first start. The environment is passed on. `{n}` in a variable's value, in an
 * argument and in the name of the stdin file is the process's number, from 0 on.
 *
 *   measure rounds <rounds> <plan file>
 *
 * runs the commands of a plan one after another, so many times, and prints such a line for each. A plan is a list of texts
 * that each end with NUL: for every command its stdin file, the number of its words and the words, the number of its
 * variables and the variables.
 *
 * If one fails, what all of them said goes to stderr, and the exit code is 1.
 *
 * In C, since a compiled peer is through in 4 ms: what a runtime does around a child would be most of the figure, and the
 * child's peak would be the parent's, which it shares until it has its own memory (getrusage(2), execve(2)).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

struct child {
  pid_t pid;
  int64_t start, end, peak, date;
};

static void fail(const char *what, int number) {
  fprintf(stderr, "measure: %s: %s\n", what, strerror(number));
  exit(2);
}

static int64_t read_clock(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return time.tv_sec * INT64_C(1000000) + time.tv_nsec / 1000;
}

static int64_t now(void) { return read_clock(CLOCK_MONOTONIC); }

static int64_t microseconds(struct timeval time) { return time.tv_sec * INT64_C(1000000) + time.tv_usec; }

static char *numbered(const char *text, int number) {
  const char *mark = strstr(text, "{n}");
  char *copy;
  if (mark == NULL) return strdup(text);
  if (asprintf(&copy, "%.*s%d%s", (int)(mark - text), text, number, mark + 3) < 0) fail("asprintf", ENOMEM);
  return copy;
}

static char **all_numbered(char **texts, int number) {
  int count = 0;
  while (texts[count] != NULL) count++;
  char **copies = calloc(count + 1, sizeof *copies);
  for (int i = 0; i < count; i++) copies[i] = numbered(texts[i], number);
  return copies;
}

static struct child start(char **arguments, char **variables, const char *input, int output) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output, 1);
  posix_spawn_file_actions_adddup2(&actions, output, 2);
  struct child child = {.start = now(), .date = read_clock(CLOCK_REALTIME)};
  int failure = posix_spawnp(&child.pid, arguments[0], &actions, NULL, arguments, variables);
  if (failure != 0) fail(arguments[0], failure);
  posix_spawn_file_actions_destroy(&actions);
  return child;
}

static void print(int64_t wall, int64_t cpu, int64_t peak, int64_t date) {
  printf("%lld %lld %lld %lld\n", (long long)wall, (long long)cpu, (long long)peak, (long long)date);
}

/* As if each had its peak all its life: never less than what they really had, and the same for every program. */
static int64_t peak_at_once(const struct child *children, int count) {
  int64_t highest = 0;
  for (int i = 0; i < count; i++) {
    int64_t sum = 0;
    for (int j = 0; j < count; j++)
      if (children[j].start <= children[i].start && children[i].start < children[j].end) sum += children[j].peak;
    if (sum > highest) highest = sum;
  }
  return highest;
}

static void tell(int output) {
  char buffer[4096];
  lseek(output, 0, SEEK_SET);
  for (ssize_t bytes; (bytes = read(output, buffer, sizeof buffer)) > 0;) fwrite(buffer, 1, bytes, stderr);
}

struct command {
  const char *input;
  char **words, **variables;
};

enum { MAX_COMMANDS = 256 };

static char **counted(char **next) {
  const int count = atoi(*next);
  *next += strlen(*next) + 1;
  char **texts = calloc(count + 1, sizeof *texts);
  for (int i = 0; i < count; i++, *next += strlen(*next) + 1) texts[i] = *next;
  return texts;
}

static int read_plan(const char *path, struct command *commands) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  const off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
  if (size <= 0) fail(path, errno);
  char *text = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (text == MAP_FAILED) fail(path, errno);
  int count = 0;
  for (char *next = text; next < text + size && count < MAX_COMMANDS; count++) {
    commands[count].input = next;
    next += strlen(next) + 1;
    commands[count].words = counted(&next);
    commands[count].variables = counted(&next);
  }
  return count;
}

static int run_plan(int rounds, const char *path, int output) {
  struct command commands[MAX_COMMANDS];
  const int count = read_plan(path, commands);
  for (int i = 0; i < rounds * count; i++) {
    const struct command *command = &commands[i % count];
    struct rusage usage;
    int status;
    struct child child = start(command->words, command->variables, command->input, output);
    if (wait4(child.pid, &status, 0, &usage) < 0) fail("wait4", errno);
    const int64_t end = now();
    const int64_t used = microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
    print(end - child.start, used, usage.ru_maxrss, child.date);
    if (status != 0) {
      tell(output);
      return 1;
    }
  }
  return 0;
}

int main(int count, char **arguments) {
  const int output = memfd_create("output", MFD_CLOEXEC);
  if (output < 0) fail("memfd_create", errno);
  fcntl(output, F_SETFL, O_APPEND);
  if (count == 4 && strcmp(arguments[1], "rounds") == 0) return run_plan(atoi(arguments[2]), arguments[3], output);
  const int processes = count > 3 ? atoi(arguments[1]) : 0;
  if (processes < 1) {
    fprintf(stderr, "usage: measure <processes> <stdin file> <program> [argument...]\n");
    return 2;
  }

  struct child *children = calloc(processes, sizeof *children);
  /* Made ready first, so that the processes start as close to each other as they can. */
  char ***programs = calloc(processes, sizeof *programs), ***variables = calloc(processes, sizeof *variables);
  char **inputs = calloc(processes, sizeof *inputs);
  for (int i = 0; i < processes; i++) {
    programs[i] = all_numbered(arguments + 3, i);
    variables[i] = all_numbered(environ, i);
    inputs[i] = numbered(arguments[2], i);
  }
  for (int i = 0; i < processes; i++) children[i] = start(programs[i], variables[i], inputs[i], output);

  int64_t cpu = 0;
  int failed = 0;
  for (int left = processes; left > 0; left--) {
    struct rusage usage;
    int status;
    const pid_t pid = wait4(-1, &status, 0, &usage);
    const int64_t end = now();
    if (pid < 0) fail("wait4", errno);
    failed |= status != 0;
    const int64_t used = microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
    for (int i = 0; i < processes; i++) {
      if (children[i].pid != pid) continue;
      children[i].end = end;
      children[i].peak = usage.ru_maxrss;
      print(end - children[i].start, used, usage.ru_maxrss, children[i].date);
    }
    cpu += used;
  }
  print(now() - children[0].start, cpu, peak_at_once(children, processes), children[0].date);
  if (failed) tell(output);
  return failed;
}
