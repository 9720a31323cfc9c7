/*
 * openSocket(namespaceFd) -> { fd, cookie, receiveBytes }; peerOf(socketFd) -> { pid, uid, gone };
 * notify(address, message); lockFile(fd) -> boolean; startProcess: native/process.c; openNotifications,
 * readNotification, onReadable, wakeOnce: native/notifications.c; unmapCode: native/memory.c
 *
 * openSocket opens an rtnetlink socket inside the network namespace that `namespaceFd`
 * refers to, and is back in the caller's namespace before it returns. A socket
 * stays in the namespace it was created in (network_namespaces(7)), so no
 * JavaScript ever runs inside a pod's namespace. The socket talks to the kernel
 * only: nobody else can send to it. peerOf tells who is at the other end of a
 * Unix socket, notify sends one datagram to the service manager, lockFile takes
 * the lock of an open file unless another process holds it (false).
 *
 * On failure each throws an Error with `errno` (positive) and `syscall`. If the
 * thread cannot come back to its own namespace, the process is aborted: to go
 * on would mean to configure the wrong host.
 *
 * Sources: setns(2), netlink(7), unix(7), flock(2), sd_notify(3),
 * linux/netlink.h, asm-generic/socket.h.
 */
#define _GNU_SOURCE
#include "addon.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* Linux 5.14 */
#endif

/* An answer to 64 KiB of requests, all of them refused, fits into this. */
enum { RECEIVE_BUFFER_BYTES = 8 << 20, ANSWER_TIMEOUT_SECONDS = 10 };

napi_value throw_errno(napi_env env, const char *syscall, int number) {
  char text[128];
  napi_value message, error, value;
  snprintf(text, sizeof text, "%s: %s", syscall, strerror(number));
  if (napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &message) != napi_ok ||
      napi_create_error(env, NULL, message, &error) != napi_ok)
    return NULL;
  napi_create_int32(env, number, &value);
  napi_set_named_property(env, error, "errno", value);
  napi_create_string_utf8(env, syscall, NAPI_AUTO_LENGTH, &value);
  napi_set_named_property(env, error, "syscall", value);
  napi_throw(env, error);
  return NULL;
}

int number_argument(napi_env env, napi_callback_info info, const char *usage, int32_t *number) {
  size_t count = 1;
  napi_value argument;
  if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) == napi_ok && count == 1 &&
      napi_get_value_int32(env, argument, number) == napi_ok)
    return 1;
  napi_throw_type_error(env, NULL, usage);
  return 0;
}

/* By statx, since fstat is another symbol from glibc 2.33 on, and the runtime asks for 2.28 only. */
static int identify(int fd, struct statx *file) { return statx(fd, "", AT_EMPTY_PATH, STATX_INO, file); }

static int is_same_file(int a, int b) {
  struct statx one, other;
  return identify(a, &one) == 0 && identify(b, &other) == 0 && one.stx_ino == other.stx_ino &&
         one.stx_dev_major == other.stx_dev_major && one.stx_dev_minor == other.stx_dev_minor;
}

/* The socket in `target`, or -1 with errno and *syscall set. */
static int socket_inside(int target, const char **syscall) {
  /* A descriptor that is not open would be the next one that is opened: the way home. */
  *syscall = "fcntl";
  if (fcntl(target, F_GETFD) < 0) return -1;
  *syscall = "open";
  int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  if (home < 0) return -1;

  /* At home already: nowhere to go, and no need of CAP_SYS_ADMIN, which setns would ask for. */
  const int stays = is_same_file(target, home);
  *syscall = "setns";
  int fd = -1, failure = 0;
  if (!stays && setns(target, CLONE_NEWNET) != 0) {
    failure = errno;
  } else {
    *syscall = "socket";
    fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0) failure = errno;
    if (!stays && setns(home, CLONE_NEWNET) != 0) abort();
  }
  close(home);
  errno = failure;
  return fd;
}

/*
 * From now on the kernel refuses what anybody but itself sends to this socket (netlink_getsockbyportid: ECONNREFUSED).
 * Without this, whoever has CAP_NET_ADMIN in the namespace could forge its answers. What came in between is dropped:
 * nothing was asked yet, so it answers nothing. 0, or an errno.
 */
static int talk_to_kernel_only(int fd) {
  const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  if (connect(fd, (const struct sockaddr *)&kernel, sizeof kernel) != 0) return errno;
  char byte;
  while (recv(fd, &byte, sizeof byte, MSG_DONTWAIT) >= 0 || errno == ENOBUFS) continue;
  return errno == EAGAIN ? 0 : errno;
}

int socket_to_kernel(int target, const char **syscall) {
  const int fd = socket_inside(target, syscall);
  if (fd < 0) return -1;
  *syscall = "connect";
  const int failure = talk_to_kernel_only(fd);
  if (failure == 0) return fd;
  close(fd);
  errno = failure;
  return -1;
}

/* 0, or the errno of the first option that could not be set. */
static int set_options(int fd) {
  static const int on[] = {NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK};
  const int one = 1, buffer = RECEIVE_BUFFER_BYTES;
  const struct timeval timeout = {.tv_sec = ANSWER_TIMEOUT_SECONDS};
  for (size_t i = 0; i < sizeof on / sizeof on[0]; i++)
    if (setsockopt(fd, SOL_NETLINK, on[i], &one, sizeof one) != 0) return errno;
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) != 0) return errno;
  /* Beyond the system's limit for those who may, up to it for the others. */
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) != 0 &&
      setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer) != 0)
    return errno;
  return 0;
}

/* What the receive buffer really holds, in bytes as the kernel counts them; 0 where that cannot be found out. */
static uint32_t receive_bytes(int fd) {
  int bytes = 0;
  socklen_t length = sizeof bytes;
  return getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, &length) == 0 ? (uint32_t)bytes : 0;
}

/* The namespace's cookie, unique until the next boot; 0 on kernels that have none. */
static uint64_t namespace_cookie(int fd) {
  uint64_t cookie = 0;
  socklen_t length = sizeof cookie;
  if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &length) != 0) return 0;
  return cookie;
}

static napi_value open_socket(napi_env env, napi_callback_info info) {
  napi_value result, value;
  int32_t target;
  if (!number_argument(env, info, "openSocket(namespaceFd: number)", &target)) return NULL;

  const char *syscall;
  const int fd = socket_to_kernel(target, &syscall);
  if (fd < 0) return throw_errno(env, syscall, errno);
  const int failure = set_options(fd);
  if (failure != 0) {
    close(fd);
    return throw_errno(env, "setsockopt", failure);
  }

  napi_create_object(env, &result);
  napi_create_int32(env, fd, &value);
  napi_set_named_property(env, result, "fd", value);
  napi_create_bigint_uint64(env, namespace_cookie(fd), &value);
  napi_set_named_property(env, result, "cookie", value);
  napi_create_uint32(env, receive_bytes(fd), &value);
  napi_set_named_property(env, result, "receiveBytes", value);
  return result;
}

/* Who is at the other end of a connected Unix socket (SO_PEERCRED, unix(7)), and is it still there? */
static napi_value peer_of(napi_env env, napi_callback_info info) {
  napi_value result, value;
  int32_t fd;
  if (!number_argument(env, info, "peerOf(socketFd: number)", &fd)) return NULL;

  struct ucred peer;
  socklen_t length = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return throw_errno(env, "getsockopt", errno);
  char byte;
  const ssize_t waiting = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  const int gone = waiting == 0 || (waiting < 0 && errno != EAGAIN);

  napi_create_object(env, &result);
  napi_create_int32(env, peer.pid, &value);
  napi_set_named_property(env, result, "pid", value);
  napi_create_uint32(env, peer.uid, &value);
  napi_set_named_property(env, result, "uid", value);
  napi_get_boolean(env, gone, &value);
  napi_set_named_property(env, result, "gone", value);
  return result;
}

/* One datagram to whoever keeps this process; a first character `@` stands for an abstract address. 0, or an errno. */
static int send_datagram(const char *to, size_t to_length, const char *message, size_t length) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (to_length == 0 || to_length >= sizeof address.sun_path) return ENAMETOOLONG;
  memcpy(address.sun_path, to, to_length);
  if (to[0] == '@') address.sun_path[0] = '\0';
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  /* A manager that is busy does not hold up the calls. */
  const socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + to_length);
  const int failure =
      sendto(fd, message, length, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&address, size) < 0 ? errno : 0;
  close(fd);
  return failure;
}

static napi_value notify(napi_env env, napi_callback_info info) {
  size_t count = 2, to_length, length;
  napi_value arguments[2];
  char to[sizeof((struct sockaddr_un *)0)->sun_path + 1], message[256];
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count != 2 ||
      napi_get_value_string_utf8(env, arguments[0], to, sizeof to, &to_length) != napi_ok ||
      napi_get_value_string_utf8(env, arguments[1], message, sizeof message, &length) != napi_ok) {
    napi_throw_type_error(env, NULL, "notify(address: string, message: string)");
    return NULL;
  }
  const int failure = send_datagram(to, to_length, message, length);
  return failure == 0 ? NULL : throw_errno(env, "sendto", failure);
}

/* Takes the exclusive lock of an open file (flock(2)), without waiting: true if it is ours now. The kernel gives it back
   when the descriptor is closed, at the latest with the process. */
static napi_value lock_file(napi_env env, napi_callback_info info) {
  napi_value result;
  int32_t fd;
  if (!number_argument(env, info, "lockFile(fd: number)", &fd)) return NULL;
  const int taken = flock(fd, LOCK_EX | LOCK_NB) == 0;
  if (!taken && errno != EWOULDBLOCK) return throw_errno(env, "flock", errno);
  napi_get_boolean(env, taken, &result);
  return result;
}

static int export_function(napi_env env, napi_value exports, const char *name, napi_callback function) {
  napi_value value;
  return napi_create_function(env, name, NAPI_AUTO_LENGTH, function, NULL, &value) == napi_ok &&
         napi_set_named_property(env, exports, name, value) == napi_ok;
}

NAPI_MODULE_INIT(/* napi_env env, napi_value exports */) {
  const int done = export_function(env, exports, "openSocket", open_socket) &&
                   export_function(env, exports, "peerOf", peer_of) && export_function(env, exports, "notify", notify) &&
                   export_function(env, exports, "lockFile", lock_file) &&
                   export_function(env, exports, "startProcess", start_process) &&
                   export_function(env, exports, "openNotifications", open_notifications) &&
                   export_function(env, exports, "readNotification", read_notification) &&
                   export_function(env, exports, "onReadable", on_readable) &&
                   export_function(env, exports, "wakeOnce", wake_once) &&
                   export_function(env, exports, "unmapCode", unmap_code);
  return done ? exports : NULL;
}
