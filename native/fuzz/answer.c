/*
 * libFuzzer: whatever an agent sends, in whatever pieces, receive_answer() comes to an end, stays within its memory,
 * and finds in it what a second, plainer reading of the protocol finds.
 *
 * The input's first byte says how long the pieces are; the rest is what the agent sends before it breaks off.
 */
#define _GNU_SOURCE
#define main shim_main
#define recv recv_from_input
#define poll poll_input
#define mmap map_exactly
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include "../shim.c"
#undef mmap
#undef main

static const uint8_t *rest;
static size_t rest_length, piece_length;
static unsigned calls;
static void *mapped;

/* Every third call is interrupted, every fifth one finds nothing yet. */
ssize_t recv_from_input(int fd, void *into, size_t room, int flags) {
  (void)fd, (void)flags;
  calls++;
  if (calls % 3 == 0 || calls % 5 == 0) {
    errno = calls % 3 == 0 ? EINTR : EAGAIN;
    return -1;
  }
  size_t count = piece_length < room ? piece_length : room;
  if (count > rest_length) count = rest_length;
  if (count > 0) memcpy(into, rest, count);
  rest += count;
  rest_length -= count;
  return (ssize_t)count;
}

int poll_input(struct pollfd *fds, nfds_t count, int timeout) {
  (void)fds, (void)timeout;
  return (int)count;
}

/* From the heap, so that the sanitizer sees its end; none at all for what is very large. */
void *map_exactly(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
  (void)address, (void)protection, (void)flags, (void)fd, (void)offset;
  if (length > 1 << 20) return MAP_FAILED;
  return mapped = malloc(length);
}

static size_t number(const uint8_t *at) {
  return at[0] + ((size_t)at[1] << 8) + ((size_t)at[2] << 16) + ((size_t)at[3] << 24);
}

/* Is there a whole result at the beginning of `data`? */
static bool has_result(const uint8_t *data, size_t length) {
  return length >= 20 && memcmp(data, "WMK\1R\0\0\0", 8) == 0 && number(data + 8) < 256 &&
         number(data + 12) + number(data + 16) <= length - 20;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
  static const uint8_t accepted[20] = "WMK\1A";
  if (length == 0) return 0;
  piece_length = data[0] + 1u;
  calls = 0;
  rest = data + 1;
  rest_length = length - 1;

  const uint8_t *result = data + 1;
  size_t result_length = length - 1;
  if (result_length >= 20 && memcmp(result, accepted, 20) == 0) {
    result += 20;
    result_length -= 20;
  }
  const bool expected = has_result(result, result_length);

  struct answer answer;
  const enum outcome outcome = receive_answer(-1, &answer, NEVER);
  if (outcome != (expected ? ANSWERED : NOT_ANSWERED)) abort();
  if (expected) {
    if (answer.code != number(result + 8)) abort();
    if (answer.output.length != number(result + 12) || answer.log.length != number(result + 16)) abort();
    if (memcmp(answer.output.data, result + 20, answer.output.length) != 0) abort();
    if (memcmp(answer.log.data, result + 20 + answer.output.length, answer.log.length) != 0) abort();
  }
  free(mapped);
  mapped = NULL;
  return 0;
}
