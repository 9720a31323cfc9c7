/*
 * startProcess(argv, environment, onEnd, mounts) -> { pid, stdin, stdout, stderr }; onEnd(code, signal)
 *
 * Starts a program with these arguments and this environment and no other, in `/`, in a session and process group of
 * its own, with every signal as a new process has it, and nothing open but its standard streams. The descriptors are our
 * ends of these, for the caller to close. onEnd is called once the process has ended, with its exit code, or null and the
 * number of the signal that ended it. Until then its number is nobody else's.
 *
 * It does what uv_spawn() does, but by vfork(2): fork copies the page tables of the whole process first, and each page
 * that is written to afterwards is copied too. The caller waits until the program has been loaded, and no longer.
 *
 * `mounts` is -1, or an open mount namespace (/proc/1/ns/mnt): the process enters it, so that the program finds its libraries,
 * files and sockets where they are on the node, and is killed with the thread that calls. setns(2) refuses that to a process
 * that shares its folder with another, as threads do, and not to one that shares its memory.
 *
 * On failure it throws as the other functions do.
 *
 * Sources: vfork(2), execve(2), setsid(2), setns(2), PR_SET_PDEATHSIG(2const), signal(7), waitid(2), Node-API.
 */
#define _GNU_SOURCE
#include "addon.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* Of libuv, which the runtime has in it: pthread_create is another symbol from glibc 2.34 on. */
typedef unsigned long uv_thread_t;
extern int uv_thread_create(uv_thread_t *thread, void (*entry)(void *), void *argument);
extern int uv_thread_join(uv_thread_t *thread);

#ifndef SYS_close_range
#define SYS_close_range 436 /* Linux 5.9 */
#endif

enum { STREAMS = 3 };

/* What a process is made of. The descriptors are above its standard streams, which the runtime keeps open. */
typedef struct {
  char **argv;
  char **environment;
  int streams[STREAMS];
  /* The mount namespace that it enters, or -1. */
  int32_t mounts;
  /* What failed, where something did. */
  const char *volatile syscall;
} Program;

typedef struct {
  pid_t pid;
  uv_thread_t waiter;
  napi_threadsafe_function tell;
} Child;

/* Runs in the new process, in our memory, while we wait. It comes back only through `failure`. */
static _Noreturn void become(Program *program, volatile int *failure) {
  const struct sigaction by_default = {.sa_handler = SIG_DFL};
  sigset_t none;
  sigemptyset(&none);
  setsid();
  /* Those that cannot be changed are refused. */
  for (int number = 1; number < NSIG; number++) sigaction(number, &by_default, NULL);
  sigprocmask(SIG_SETMASK, &none, NULL);
  program->syscall = "setns";
  int done = program->mounts < 0 ||
             (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && setns(program->mounts, CLONE_NEWNS) == 0);
  if (done) program->syscall = "execve";
  done = done && chdir("/") == 0;
  for (int stream = 0; stream < STREAMS; stream++) done = done && dup2(program->streams[stream], stream) >= 0;
  /* Ours close on exec; what we were started with need not. */
  if (done) syscall(SYS_close_range, STREAMS, ~0U, 0);
  if (done) execve(program->argv[0], program->argv, program->environment);
  *failure = errno;
  _exit(127);
}

/* The process, or -1 with errno. None of our handlers may run in it, so no signal comes in between. */
static __attribute__((noinline)) pid_t start(Program *program) {
  volatile int failure = 0;
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before);
  pid_t pid = vfork();
  if (pid == 0) become(program, &failure);
  const int reason = pid < 0 ? errno : failure;
  if (pid > 0 && reason != 0) waitpid(pid, NULL, 0);
  sigprocmask(SIG_SETMASK, &before, NULL);
  errno = reason;
  return reason == 0 ? pid : -1;
}

/* In a thread of its own. The process stays a zombie, so that a signal for it cannot reach another one. */
static void wait_for_end(void *argument) {
  Child *child = argument;
  siginfo_t ended;
  while (waitid(P_PID, (id_t)child->pid, &ended, WEXITED | WNOWAIT) != 0 && errno == EINTR) continue;
  napi_call_threadsafe_function(child->tell, child, napi_tsfn_blocking);
}

/* In the main thread again; `env` is NULL if the runtime is about to end. */
static void tell_end(napi_env env, napi_value on_end, void *context, void *data) {
  (void)context;
  Child *child = data;
  int status = 0;
  uv_thread_join(&child->waiter);
  waitpid(child->pid, &status, 0);
  const napi_threadsafe_function tell = child->tell;
  free(child);
  if (env != NULL) {
    napi_value receiver, arguments[2];
    napi_get_undefined(env, &receiver);
    napi_get_null(env, &arguments[0]);
    napi_get_null(env, &arguments[1]);
    if (WIFSIGNALED(status)) napi_create_int32(env, WTERMSIG(status), &arguments[1]);
    else napi_create_int32(env, WEXITSTATUS(status), &arguments[0]);
    napi_call_function(env, receiver, on_end, 2, arguments, NULL);
  }
  napi_release_threadsafe_function(tell, napi_tsfn_release);
}

/* From now on `on_end` will be told. 0, or an errno. */
static int watch(napi_env env, napi_value on_end, pid_t pid) {
  napi_value name;
  Child *child = calloc(1, sizeof *child);
  if (child == NULL) return ENOMEM;
  child->pid = pid;
  napi_create_string_utf8(env, "startProcess", NAPI_AUTO_LENGTH, &name);
  if (napi_create_threadsafe_function(env, on_end, NULL, name, 0, 1, NULL, NULL, NULL, tell_end, &child->tell) ==
      napi_ok) {
    const int failure = -uv_thread_create(&child->waiter, wait_for_end, child);
    if (failure == 0) return 0;
    napi_release_threadsafe_function(child->tell, napi_tsfn_release);
  }
  free(child);
  return EAGAIN;
}

static void free_strings(char **strings) {
  for (char **string = strings; string != NULL && *string != NULL; string++) free(*string);
  free(strings);
}

/* An array of strings as execve(2) takes it; NULL if it is none, or there is no memory. */
static char **strings_of(napi_env env, napi_value array) {
  uint32_t count;
  if (napi_get_array_length(env, array, &count) != napi_ok) return NULL;
  char **strings = calloc((size_t)count + 1, sizeof *strings);
  for (uint32_t i = 0; strings != NULL && i < count; i++) {
    napi_value value;
    size_t length;
    if (napi_get_element(env, array, i, &value) != napi_ok ||
        napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok ||
        (strings[i] = malloc(length + 1)) == NULL) {
      free_strings(strings);
      return NULL;
    }
    napi_get_value_string_utf8(env, value, strings[i], length + 1, &length);
  }
  return strings;
}

static void close_all(const int *descriptors) {
  for (int stream = 0; stream < STREAMS; stream++) close(descriptors[stream]);
}

/* The ends of its standard streams, its own and ours; both close on exec. 0, or an errno. */
static int make_streams(int *its, int *ours) {
  for (int stream = 0; stream < STREAMS; stream++) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
      const int failure = errno;
      while (stream-- > 0) {
        close(its[stream]);
        close(ours[stream]);
      }
      return failure;
    }
    const int is_input = stream == STDIN_FILENO;
    its[stream] = ends[is_input ? 0 : 1];
    ours[stream] = ends[is_input ? 1 : 0];
  }
  return 0;
}

/* The process, or -1 with an errno and *syscall set. */
static pid_t start_watched(napi_env env, Program *program, napi_value on_end, const char **syscall, int *ours) {
  *syscall = "pipe2";
  int failure = make_streams(program->streams, ours);
  if (failure != 0) {
    errno = failure;
    return -1;
  }
  const pid_t pid = start(program);
  failure = errno;
  *syscall = program->syscall;
  close_all(program->streams);
  if (pid >= 0) {
    *syscall = "uv_thread_create";
    failure = watch(env, on_end, pid);
    if (failure == 0) return pid;
    kill(-pid, SIGKILL);
    waitpid(pid, NULL, 0);
  }
  close_all(ours);
  errno = failure;
  return -1;
}

napi_value start_process(napi_env env, napi_callback_info info) {
  static const char *const names[STREAMS] = {"stdin", "stdout", "stderr"};
  size_t count = 4;
  napi_value arguments[4], result, value;
  Program program = {.syscall = "vfork"};
  napi_valuetype type = napi_undefined;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) == napi_ok && count == 4 &&
      napi_get_value_int32(env, arguments[3], &program.mounts) == napi_ok &&
      napi_typeof(env, arguments[2], &type) == napi_ok && type == napi_function) {
    program.argv = strings_of(env, arguments[0]);
    program.environment = strings_of(env, arguments[1]);
  }
  int ours[STREAMS];
  const char *syscall = NULL;
  pid_t pid = -1;
  int failure = 0;
  if (program.argv != NULL && program.argv[0] != NULL && program.environment != NULL) {
    pid = start_watched(env, &program, arguments[2], &syscall, ours);
    failure = errno;
  }
  free_strings(program.argv);
  free_strings(program.environment);
  if (syscall == NULL) {
    napi_throw_type_error(env, NULL, "startProcess(argv: string[], environment: string[], onEnd: function, mounts: number)");
    return NULL;
  }
  if (pid < 0) return throw_errno(env, syscall, failure);

  napi_create_object(env, &result);
  napi_create_int32(env, pid, &value);
  napi_set_named_property(env, result, "pid", value);
  for (int stream = 0; stream < STREAMS; stream++) {
    napi_create_int32(env, ours[stream], &value);
    napi_set_named_property(env, result, names[stream], value);
  }
  return result;
}
