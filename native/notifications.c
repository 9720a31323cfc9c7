/*
 * openNotifications(namespaceFd) -> fd; readNotification(fd, buffer) -> bytes; onReadable(callback); wakeOnce(fd)
 *
 * openNotifications opens an rtnetlink socket inside a network namespace, as openSocket does, that is told of every change
 * of its links, addresses, routes and rules, and never blocks. readNotification reads one datagram of it: 0 if there is
 * none, -1 if the kernel had more to tell than the socket holds. What others than the kernel send to the groups, as who has
 * CAP_NET_ADMIN in the namespace can, is passed over.
 *
 * Node.js polls the descriptors of its own streams only. So one epoll instance has all of these sockets, and is itself
 * polled by the event loop. wakeOnce(fd) asks for the callback, once, when something can be read from a descriptor, now or
 * later; the callback gets the descriptors. Closing a descriptor ends that. None of it keeps the process running.
 *
 * On failure each throws as the other functions do.
 *
 * Sources: netlink(7), rtnetlink(7), epoll(7), linux/rtnetlink.h, libuv's uv_poll_t.
 */
#define _GNU_SOURCE
#include "addon.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Of libuv, which the runtime has in it, and whose header does not come with Node-API's. */
typedef struct uv_poll_s uv_poll_t;
extern size_t uv_handle_size(int type);
extern int uv_poll_init(struct uv_loop_s *loop, uv_poll_t *handle, int fd);
extern int uv_poll_start(uv_poll_t *handle, int events, void (*callback)(uv_poll_t *handle, int status, int events));
extern void uv_unref(uv_poll_t *handle);
enum { UV_POLL = 8, UV_READABLE = 1 };

/* Some hundred notifications. More is told as one: that something was lost. */
enum { NOTIFICATIONS_BYTES = 64 << 10, READY_AT_ONCE = 64 };

static const int groups[] = {RTNLGRP_LINK,        RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV4_RULE,
                             RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE,  RTNLGRP_IPV6_RULE};

/* 0, or the errno of the first option that could not be set. */
static int listen_to_all(int fd) {
  const int buffer = NOTIFICATIONS_BYTES;
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer) != 0) return errno;
  for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++)
    /* A kernel without IPv6 has its groups all the same. */
    if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i], sizeof groups[i]) != 0) return errno;
  return fcntl(fd, F_SETFL, O_NONBLOCK) == 0 ? 0 : errno;
}

napi_value open_notifications(napi_env env, napi_callback_info info) {
  napi_value result;
  int32_t target;
  if (!number_argument(env, info, "openNotifications(namespaceFd: number)", &target)) return NULL;
  const char *syscall;
  const int fd = socket_to_kernel(target, &syscall);
  if (fd < 0) return throw_errno(env, syscall, errno);
  const int failure = listen_to_all(fd);
  if (failure != 0) {
    close(fd);
    return throw_errno(env, "setsockopt", failure);
  }
  napi_create_int32(env, fd, &result);
  return result;
}

/* The bytes of the next datagram of the kernel's; 0 if there is none, -1 if some were lost, or -2 with errno. */
static ssize_t next_notification(int fd, void *data, size_t length) {
  for (;;) {
    struct sockaddr_nl from = {0};
    socklen_t size = sizeof from;
    const ssize_t bytes = recvfrom(fd, data, length, 0, (struct sockaddr *)&from, &size);
    if (bytes >= 0 && from.nl_pid != 0) continue;
    if (bytes >= 0) return bytes;
    if (errno == EAGAIN) return 0;
    if (errno == ENOBUFS) return -1;
    if (errno != EINTR) return -2;
  }
}

napi_value read_notification(napi_env env, napi_callback_info info) {
  size_t count = 2, length;
  napi_value arguments[2], result;
  int32_t fd;
  void *data;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count != 2 ||
      napi_get_value_int32(env, arguments[0], &fd) != napi_ok ||
      napi_get_buffer_info(env, arguments[1], &data, &length) != napi_ok) {
    napi_throw_type_error(env, NULL, "readNotification(fd: number, buffer: Buffer)");
    return NULL;
  }
  const ssize_t bytes = next_notification(fd, data, length);
  if (bytes < -1) return throw_errno(env, "recvfrom", errno);
  napi_create_int32(env, (int32_t)bytes, &result);
  return result;
}

/* One for the process, from the first call of onReadable on. */
static struct {
  int epoll;
  napi_env env;
  napi_ref callback;
} poll = {.epoll = -1};

static void tell_ready(uv_poll_t *handle, int status, int events) {
  (void)handle, (void)events;
  struct epoll_event ready[READY_AT_ONCE];
  const int count = status < 0 ? 0 : epoll_wait(poll.epoll, ready, READY_AT_ONCE, 0);
  if (count <= 0) return;
  const napi_env env = poll.env;
  napi_handle_scope scope;
  napi_value receiver, callback, descriptors, value;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  napi_create_array_with_length(env, (size_t)count, &descriptors);
  for (int i = 0; i < count; i++) {
    napi_create_int32(env, ready[i].data.fd, &value);
    napi_set_element(env, descriptors, (uint32_t)i, value);
  }
  napi_get_global(env, &receiver);
  napi_get_reference_value(env, poll.callback, &callback);
  if (napi_make_callback(env, NULL, receiver, callback, 1, &descriptors, NULL) == napi_pending_exception) {
    napi_value error;
    napi_get_and_clear_last_exception(env, &error);
    napi_fatal_exception(env, error);
  }
  napi_close_handle_scope(env, scope);
}

/* 0, or an errno. */
static int start_polling(napi_env env) {
  struct uv_loop_s *loop;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return EINVAL;
  uv_poll_t *handle = calloc(1, uv_handle_size(UV_POLL));
  const int fd = handle == NULL ? -1 : epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0) {
    const int failure = handle == NULL ? ENOMEM : errno;
    free(handle);
    return failure;
  }
  int failure = -uv_poll_init(loop, handle, fd);
  if (failure != 0) {
    free(handle);
    close(fd);
    return failure;
  }
  /* From here on the loop knows the handle, which is never closed. */
  uv_unref(handle);
  poll.epoll = fd;
  poll.env = env;
  return -uv_poll_start(handle, UV_READABLE, tell_ready);
}

napi_value on_readable(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value callback;
  napi_valuetype type;
  if (napi_get_cb_info(env, info, &count, &callback, NULL, NULL) != napi_ok || count != 1 ||
      napi_typeof(env, callback, &type) != napi_ok || type != napi_function || poll.callback != NULL ||
      napi_create_reference(env, callback, 1, &poll.callback) != napi_ok) {
    napi_throw_type_error(env, NULL, "onReadable(callback: function), once");
    return NULL;
  }
  const int failure = start_polling(env);
  if (failure == 0) return NULL;
  napi_delete_reference(env, poll.callback);
  poll.callback = NULL;
  return throw_errno(env, "epoll_create1", failure);
}

napi_value wake_once(napi_env env, napi_callback_info info) {
  int32_t fd;
  if (!number_argument(env, info, "wakeOnce(fd: number)", &fd)) return NULL;
  struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.fd = fd};
  if (epoll_ctl(poll.epoll, EPOLL_CTL_MOD, fd, &event) == 0) return NULL;
  if (errno == ENOENT && epoll_ctl(poll.epoll, EPOLL_CTL_ADD, fd, &event) == 0) return NULL;
  return throw_errno(env, "epoll_ctl", errno);
}
