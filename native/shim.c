/*
 * The client of the node agent, under the names of the plugins.
 *
 * Hands a CNI call to the agent (docs/agent-protocol.md) and relays its answer. Where no agent answers, or one breaks
 * off, it becomes the single-file executable, which does the call all over again: every verb is idempotent. Where that
 * is missing too, it answers error 11, "try again later".
 *
 * It lives for a millisecond and some dozens of pages: nothing is allocated unless a config or an answer is larger than
 * SMALL_BYTES, nothing is written to stdout before the answer is there as a whole, and nothing is freed. The tests set
 * other deadlines and places by -D.
 *
 * Sources: the CNI specification 1.1.0; unix(7), memfd_create(2), signal(7) for what a stopped process finds.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifndef CONNECT_MS
#define CONNECT_MS 2000 /* the agent's queue of connections is full */
#endif
#ifndef FIRST_ANSWER_MS
#define FIRST_ANSWER_MS 10000 /* from the request to 'A' or 'R': an agent that needs longer is stuck */
#endif
#ifndef RESULT_MS
#define RESULT_MS 1320000 /* from 'A' to 'R': waitSeconds, verifyGateway and the wait for a turn, at their longest */
#endif
#ifndef DEFAULT_SOCKET
#define DEFAULT_SOCKET "/run/waymark/agent.sock"
#endif
#ifndef DEFAULT_STANDALONE
#define DEFAULT_STANDALONE "/opt/cni/bin/waymark"
#endif

#define MAGIC "WMK\1" /* and the protocol's version */

enum {
  REQUEST_HEADER_BYTES = 16,
  ANSWER_HEADER_BYTES = 20,
  SMALL_BYTES = 64 << 10,
  MAX_CONFIG_BYTES = 8 << 20, /* as in lib/cni/request.ts */
  MAX_ANSWER_BYTES = 64 << 20,
  MAX_EXIT_CODE = 255,
  VERSION_BYTES = 16,
  DETAILS_BYTES = 1024,
  MAX_FALLBACKS = 1 << 20,
};

/* Codes of https://www.cni.dev/docs/spec/#error, as they stand in a document. */
#define IO_FAILURE "5"
#define TRY_AGAIN_LATER "11"

/* What an agent needs to know of the caller's environment. */
static const char *const PASSED_ON[] = {
    "CNI_COMMAND", "CNI_CONTAINERID",    "CNI_NETNS",          "CNI_IFNAME",        "CNI_ARGS",
    "CNI_PATH",    "CNI_NETNS_OVERRIDE", "_CNI_LOGGING_LEVEL", "_CNI_LOGGING_FILE",
};
enum { PASSED_ON_COUNT = sizeof PASSED_ON / sizeof PASSED_ON[0] };

/* The TypeScript plugins' document, byte for byte. */
#define ONE(version) "        \"" version "\""
static const char VERSION_DOCUMENT[] =
    "{\n    \"cniVersion\": \"1.1.0\",\n    \"supportedVersions\": [\n"
    ONE("0.1.0") ",\n" ONE("0.2.0") ",\n" ONE("0.3.0") ",\n" ONE("0.3.1") ",\n"
    ONE("0.4.0") ",\n" ONE("1.0.0") ",\n" ONE("1.1.0") "\n    ]\n}\n";

struct bytes {
  uint8_t *data;
  size_t length;
};

/* Text that is cut where the room ends: enough for an error whose details are all quotation marks. */
struct text {
  size_t length;
  char data[4 * DETAILS_BYTES];
};

enum kind { ACCEPTED = 'A', RESULT = 'R' };

struct answer {
  enum kind kind;
  uint32_t code;
  struct bytes output, log;
};

enum outcome { ANSWERED, NOT_ANSWERED, OVERDUE };

/* The config. Large things stand here and not on the stack: they cost only the pages that they fill. */
static struct bytes input;
static bool input_was_read;

/* Everything that was tried in vain, in one line: the details of an error. */
static struct text reasons;

/* ---- time ---- */

static const int64_t NEVER = INT64_MAX;

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* False, with errno, if `fd` is not ready when the deadline comes. */
static bool wait_for(int fd, short events, int64_t deadline) {
  for (;;) {
    const int64_t left = deadline == NEVER ? INT_MAX : deadline - now_ms();
    struct pollfd poll_fd = {.fd = fd, .events = events};
    const int ready = left <= 0 ? 0 : poll(&poll_fd, 1, deadline == NEVER ? -1 : (int)left);
    if (ready > 0) return true;
    if (ready == 0) errno = ETIMEDOUT;
    if (errno != EINTR) return false;
  }
}

/* After a call that failed: may it be made again? Somebody may have made our standard streams non-blocking. */
static bool may_retry(int fd, short events, int64_t deadline) {
  return errno == EINTR || (errno == EAGAIN && wait_for(fd, events, deadline));
}

/* ---- standard streams ---- */

/* Keeps what we open away from the places of standard streams that the caller closed. */
static int above_standard_streams(int fd) {
  if (fd < 0 || fd > STDERR_FILENO) return fd;
  const int moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  close(fd);
  return moved;
}

static void *map(size_t length) {
  void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? NULL : memory;
}

/* All of stdin, or one byte more than any config has: who gets that knows that it is too much. False with errno. */
static bool read_input(void) {
  static uint8_t small[SMALL_BYTES];
  size_t room = sizeof small;
  input = (struct bytes){.data = small};
  input_was_read = true;
  while (input.length <= MAX_CONFIG_BYTES) {
    if (input.length == room) {
      room = MAX_CONFIG_BYTES + 1;
      uint8_t *large = map(room);
      if (large == NULL) return false;
      input.data = memcpy(large, input.data, input.length);
    }
    const ssize_t count = read(STDIN_FILENO, input.data + input.length, room - input.length);
    if (count > 0) input.length += (size_t)count;
    else if (count == 0 || errno == EBADF) return true; /* at its end, or closed by the caller */
    else if (!may_retry(STDIN_FILENO, POLLIN, NEVER)) return false;
  }
  return true;
}

static bool write_all(int fd, const void *data, size_t length) {
  for (const uint8_t *next = data; length > 0;) {
    const ssize_t count = write(fd, next, length);
    if (count >= 0) {
      next += count;
      length -= (size_t)count;
    } else if (!may_retry(fd, POLLOUT, NEVER)) {
      return false;
    }
  }
  return true;
}

static void append(struct text *text, const char *more) {
  for (; *more != '\0' && text->length < sizeof text->data; more++) text->data[text->length++] = *more;
}

/* The answer to the caller. The process's exit code: a result that nobody received is none. */
static int answer_caller(const void *output, size_t length, int code) {
  static struct text complaint;
  signal(SIGPIPE, SIG_IGN);
  if (write_all(STDOUT_FILENO, output, length)) return code;
  append(&complaint, "cannot answer: ");
  append(&complaint, strerror(errno));
  append(&complaint, "\n");
  write_all(STDERR_FILENO, complaint.data, complaint.length);
  return EXIT_FAILURE;
}

/* ---- errors ---- */

/* `more` as it stands within a JSON string; what is not plain ASCII as a question mark. */
static void append_quoted(struct text *text, const char *more, size_t length) {
  for (size_t i = 0; i < length; i++) {
    const char plain[] = {more[i] >= ' ' && more[i] <= '~' ? more[i] : '?', '\0'};
    if (more[i] == '"' || more[i] == '\\') append(text, "\\");
    append(text, plain);
  }
}

static bool is_one_of(const char *set, uint8_t byte) {
  return byte != '\0' && strchr(set, byte) != NULL;
}

static size_t skip_spaces(struct bytes json, size_t at) {
  while (at < json.length && is_one_of(" \t\r\n", json.data[at])) at++;
  return at;
}

/* Where the string that begins after `quote` ends: the place of its closing quote, or the text's end. */
static size_t end_of_string(struct bytes json, size_t quote) {
  size_t at = quote + 1;
  while (at < json.length && json.data[at] != '"') at += json.data[at] == '\\' ? 2 : 1;
  return at < json.length ? at : json.length;
}

/* Takes the string at `at`, if it is one and looks like a version. */
static void take_version(struct bytes json, size_t at, char version[VERSION_BYTES]) {
  if (at >= json.length || json.data[at] != '"') return;
  const size_t end = end_of_string(json, at), length = end - (at + 1);
  if (end == json.length || length == 0 || length >= VERSION_BYTES) return;
  for (size_t i = 0; i < length; i++)
    if (!is_one_of("0123456789.", json.data[at + 1 + i])) return;
  memcpy(version, json.data + at + 1, length);
  version[length] = '\0';
}

/*
 * The top level's "cniVersion"; 1.1.0 where there is none. Only for an error's own, so it does not ask whether the
 * config is JSON: it steps over strings and counts brackets.
 */
static void find_version(struct bytes json, char version[VERSION_BYTES]) {
  static const char KEY[] = "\"cniVersion\"";
  memcpy(version, "1.1.0", sizeof "1.1.0");
  int depth = 0;
  for (size_t at = 0; at < json.length; at++) {
    if (is_one_of("{[", json.data[at])) depth++;
    if (is_one_of("}]", json.data[at])) depth--;
    if (json.data[at] != '"') continue;
    const size_t end = end_of_string(json, at);
    const size_t colon = skip_spaces(json, end + 1);
    const bool is_key = depth == 1 && colon < json.length && json.data[colon] == ':';
    if (is_key && end + 1 - at == sizeof KEY - 1 && memcmp(json.data + at, KEY, sizeof KEY - 1) == 0)
      take_version(json, skip_spaces(json, colon + 1), version);
    at = end;
  }
}

/* Answers with an error document; the process's exit code. */
static int answer_error(const char *code, const char *message) {
  static struct text document;
  char version[VERSION_BYTES];
  find_version(input, version);
  append(&document, "{\n    \"cniVersion\": \"");
  append(&document, version);
  append(&document, "\",\n    \"code\": ");
  append(&document, code);
  append(&document, ",\n    \"msg\": \"");
  append(&document, message);
  append(&document, "\",\n    \"details\": \"");
  append_quoted(&document, reasons.data, reasons.length < DETAILS_BYTES ? reasons.length : DETAILS_BYTES);
  append(&document, "\"\n}\n");
  return answer_caller(document.data, document.length, EXIT_FAILURE);
}

/* Remembers what failed, where, and why. */
static void note(const char *what, const char *where, const char *why) {
  if (reasons.length > 0) append(&reasons, "; ");
  append(&reasons, what);
  append(&reasons, where);
  append(&reasons, ": ");
  append(&reasons, why);
}

/* ---- the single-file executable ---- */

/* What the environment says, unless it is empty. */
static const char *variable(const char *name, const char *otherwise) {
  const char *value = getenv(name);
  return value == NULL || *value == '\0' ? otherwise : value;
}

/* `waymark` in the folder of this very file, wherever it is called from; NULL if that is unknown. */
static const char *beside_this_file(void) {
  static const char NAME[] = "waymark";
  static char path[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path - sizeof NAME);
  char *slash = length < 0 ? NULL : memrchr(path, '/', (size_t)length);
  if (slash == NULL) return NULL;
  memcpy(slash + 1, NAME, sizeof NAME);
  return path;
}

/* A WAYMARK_STANDALONE that names this program would be started without end. */
static bool is_this_file(const char *path) {
  struct stat here, there;
  return stat("/proc/self/exe", &here) == 0 && stat(path, &there) == 0 && here.st_dev == there.st_dev &&
         here.st_ino == there.st_ino;
}

/* Puts what was read of stdin back, to be read again. */
static bool give_input_back(void) {
  const int file = above_standard_streams(memfd_create("stdin", MFD_CLOEXEC));
  return file >= 0 && write_all(file, input.data, input.length) && lseek(file, 0, SEEK_SET) == 0 &&
         dup2(file, STDIN_FILENO) == STDIN_FILENO;
}

/* The file beside the agent's socket whose size is the number of fallbacks since the node was started. */
static void count_fallback(void) {
  static const char NAME[] = "fallbacks";
  const char *socket_path = variable("WAYMARK_SOCKET", DEFAULT_SOCKET);
  const char *slash = strrchr(socket_path, '/');
  char path[PATH_MAX];
  struct stat file;
  const size_t folder = slash == NULL ? 0 : (size_t)(slash + 1 - socket_path);
  if (folder + sizeof NAME > sizeof path) return;
  memcpy(path, socket_path, folder);
  memcpy(path + folder, NAME, sizeof NAME);
  const int flags = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  const int fd = above_standard_streams(open(path, flags, 0600));
  if (fd < 0) return;
  const bool has_room = fstat(fd, &file) == 0 && S_ISREG(file.st_mode) && file.st_size < MAX_FALLBACKS;
  if (!has_room || write(fd, ".", 1) < 0) errno = 0; /* It is not counted, and that is all. */
  close(fd);
}

/* Nobody must have to guess why calls are slow. A stderr that takes nothing holds up no call. */
static void tell_fallback(const char *place) {
  static struct text line;
  append(&line, "{\"level\":\"warn\",\"msg\":\"");
  append_quoted(&line, reasons.data, reasons.length < DETAILS_BYTES ? reasons.length : DETAILS_BYTES);
  append(&line, "; ");
  append_quoted(&line, place, strlen(place));
  append(&line, " does the call\"}\n");
  void (*const before)(int) = signal(SIGPIPE, SIG_IGN);
  struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
  if (poll(&ready, 1, 0) == 1 && write(STDERR_FILENO, line.data, line.length) < 0) errno = 0;
  signal(SIGPIPE, before);
}

/* Goes on as the single-file executable. Comes back only where there is none. */
static void become_standalone(char *const argv[]) {
  bool was_asked = reasons.length > 0;
  const char *const places[] = {variable("WAYMARK_STANDALONE", NULL), beside_this_file(), DEFAULT_STANDALONE};
  if (input_was_read && !give_input_back()) {
    note("stdin", "", strerror(errno));
    return;
  }
  for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
    if (places[i] == NULL) continue;
    if (is_this_file(places[i])) {
      note("", places[i], "this is what was called");
      continue;
    }
    if (was_asked && access(places[i], X_OK) == 0) {
      count_fallback();
      tell_fallback(places[i]);
      was_asked = false; /* Once is enough. */
    }
    execve(places[i], argv, environ);
    note("", places[i], strerror(errno));
  }
}

/* ---- the agent ---- */

static void put_u32(uint8_t *at, size_t value) {
  for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t get_u32(const uint8_t *at) {
  return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* A connection, or -1 with errno. */
static int connect_agent(const char *path) {
  const struct timeval patience = {.tv_sec = CONNECT_MS / 1000, .tv_usec = CONNECT_MS % 1000 * 1000};
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const size_t length = strlen(path);
  if (length >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memcpy(address.sun_path, path, length);
  const int fd = above_standard_streams(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fd < 0) return -1;
  /* A connect waits in the queue for as long as a write may take. */
  bool connected = setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0;
  while (connected && connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) connected = errno == EINTR;
  if (connected) return fd;
  const int failure = errno == EAGAIN ? ETIMEDOUT : errno;
  close(fd);
  errno = failure;
  return -1;
}

/* `count` is of a type that fits into msg_iovlen as musl and as glibc have it. */
static bool send_all(int fd, struct iovec *parts, unsigned short count, int64_t deadline) {
  while (count > 0) {
    const struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    const ssize_t result = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (result < 0 && !may_retry(fd, POLLOUT, deadline)) return false;
    if (result < 0) continue;
    size_t sent = (size_t)result;
    for (; count > 0 && sent >= parts->iov_len; parts++, count--) sent -= parts->iov_len;
    if (count == 0) break;
    parts->iov_base = (uint8_t *)parts->iov_base + sent;
    parts->iov_len -= sent;
  }
  return true;
}

/* `NAME=VALUE` as it stands in the environment, or NULL. */
static char *entry_of(const char *name) {
  const size_t length = strlen(name);
  for (char **entry = environ; entry != NULL && *entry != NULL; entry++)
    if (strncmp(*entry, name, length) == 0 && (*entry)[length] == '=') return *entry;
  return NULL;
}

static bool send_request(int fd, char *name, int64_t deadline) {
  uint8_t header[REQUEST_HEADER_BYTES] = MAGIC;
  struct iovec parts[1 + 1 + PASSED_ON_COUNT + 1] = {{.iov_base = header, .iov_len = sizeof header},
                                                     {.iov_base = name, .iov_len = strlen(name) + 1}};
  unsigned short count = 2;
  size_t environment = parts[1].iov_len;
  for (size_t i = 0; i < PASSED_ON_COUNT; i++) {
    char *entry = entry_of(PASSED_ON[i]);
    if (entry == NULL) continue;
    parts[count] = (struct iovec){.iov_base = entry, .iov_len = strlen(entry) + 1};
    environment += parts[count++].iov_len;
  }
  parts[count++] = (struct iovec){.iov_base = input.data, .iov_len = input.length};
  put_u32(header + 4, (size_t)getpid());
  put_u32(header + 8, environment);
  put_u32(header + 12, input.length);
  return send_all(fd, parts, count, deadline);
}

/* Reads on until `wanted` bytes are there. False with errno: ETIMEDOUT, ECONNRESET if the agent broke off, others. */
static bool receive(int fd, struct bytes *into, size_t room, size_t wanted, int64_t deadline) {
  while (into->length < wanted) {
    if (!wait_for(fd, POLLIN, deadline)) return false;
    const ssize_t count = recv(fd, into->data + into->length, room - into->length, MSG_DONTWAIT);
    if (count > 0) into->length += (size_t)count;
    if (count == 0) errno = ECONNRESET;
    if (count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN)) return false;
  }
  return true;
}

/* Reads an answer's first ANSWER_HEADER_BYTES. False, with errno, if no agent of this version would write them. */
static bool parse_header(const uint8_t *raw, struct answer *answer) {
  const bool is_ours = memcmp(raw, MAGIC, 4) == 0 && (raw[5] | raw[6] | raw[7]) == 0;
  const size_t output = get_u32(raw + 12), log = get_u32(raw + 16);
  *answer = (struct answer){
      .kind = raw[4], .code = get_u32(raw + 8), .output = {.length = output}, .log = {.length = log}};
  errno = EPROTO;
  if (!is_ours) return false;
  if (answer->kind == ACCEPTED) return answer->code == 0 && output == 0 && log == 0;
  return answer->kind == RESULT && answer->code <= MAX_EXIT_CODE && output <= MAX_ANSWER_BYTES &&
         log <= MAX_ANSWER_BYTES - output;
}

/* The rest of a result, whose header is all that is known to be in `have`. */
static bool receive_result(int fd, struct bytes have, size_t room, struct answer *answer, int64_t deadline) {
  const size_t whole = ANSWER_HEADER_BYTES + answer->output.length + answer->log.length;
  if (whole > room) {
    uint8_t *large = map(whole);
    if (large == NULL) return false;
    have.data = memcpy(large, have.data, have.length);
    room = whole;
  }
  if (!receive(fd, &have, room, whole, deadline)) return false;
  answer->output.data = have.data + ANSWER_HEADER_BYTES;
  answer->log.data = answer->output.data + answer->output.length;
  return true;
}

/* The agent's answer, however it comes in pieces. With another outcome than ANSWERED, errno says why. */
static enum outcome receive_answer(int fd, struct answer *answer, int64_t deadline) {
  static uint8_t small[SMALL_BYTES];
  struct bytes have = {.data = small};
  bool accepted = false;
  while (receive(fd, &have, sizeof small, ANSWER_HEADER_BYTES, deadline) && parse_header(small, answer)) {
    if (answer->kind == RESULT) {
      if (receive_result(fd, have, sizeof small, answer, deadline)) return ANSWERED;
      break;
    }
    errno = EPROTO;
    if (accepted) return NOT_ANSWERED; /* No agent of ours says it twice. */
    accepted = true;
    deadline = now_ms() + RESULT_MS;
    have.length -= ANSWER_HEADER_BYTES;
    memmove(small, small + ANSWER_HEADER_BYTES, have.length);
  }
  return accepted && errno == ETIMEDOUT ? OVERDUE : NOT_ANSWERED;
}

/* ---- the call ---- */

/* Has the agent do the call. The process's exit code, or -1 if the single-file executable has to do it. */
static int ask_agent(char *name) {
  const char *path = variable("WAYMARK_SOCKET", DEFAULT_SOCKET);
  const int fd = connect_agent(path);
  if (fd < 0) {
    note("agent at ", path, strerror(errno));
    return -1;
  }
  /* Only now: where there is no agent, the single-file executable reads stdin itself. */
  if (!read_input()) {
    note("stdin", "", strerror(errno));
    return answer_error(IO_FAILURE, "stdin cannot be read");
  }
  const int64_t deadline = now_ms() + FIRST_ANSWER_MS;
  struct answer answer;
  const bool is_sent = send_request(fd, name, deadline);
  const enum outcome outcome = is_sent ? receive_answer(fd, &answer, deadline) : NOT_ANSWERED;
  if (outcome == ANSWERED) {
    signal(SIGPIPE, SIG_IGN);
    write_all(STDERR_FILENO, answer.log.data, answer.log.length);
    return answer_caller(answer.output.data, answer.output.length, (int)answer.code);
  }
  note("agent at ", path, strerror(errno));
  /* What follows closes the connection, and the agent does not start a call without one. It may be at work, though. */
  if (outcome == OVERDUE) return answer_error(TRY_AGAIN_LATER, "the agent accepted the call and is not done in time");
  return -1;
}

static char *base_name(char *path) {
  char *slash = strrchr(path, '/');
  return slash == NULL ? path : slash + 1;
}

int main(int argc, char **argv) {
  char *file[] = {(char *)getauxval(AT_EXECFN), NULL};
  if (argc == 0) argv = file;
  if (*base_name(argv[0]) == '\0') argv[0] = file[0]; /* A call without a name has the file's. */

  /* With an argument, or without a command, it is a person who calls, and wants the program itself. */
  const char *command = argc < 2 ? variable("CNI_COMMAND", NULL) : NULL;
  if (command != NULL && strcmp(command, "VERSION") == 0)
    return answer_caller(VERSION_DOCUMENT, sizeof VERSION_DOCUMENT - 1, EXIT_SUCCESS);

  const int code = command != NULL ? ask_agent(base_name(argv[0])) : -1;
  if (code >= 0) return code;
  become_standalone(argv);
  if (command != NULL && !input_was_read) read_input(); /* for the version of the error */
  return answer_error(TRY_AGAIN_LATER, "neither the agent nor the single-file executable can be reached");
}
