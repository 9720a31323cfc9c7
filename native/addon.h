/* What the parts of the addon share. */
#ifndef WAYMARK_ADDON_H
#define WAYMARK_ADDON_H

#include <node_api.h>
#include <stdint.h>

/* Throws an Error with `errno` (positive) and `syscall`, and returns NULL. */
napi_value throw_errno(napi_env env, const char *syscall, int number);

/* The one argument of a function that takes a number: 1, or 0 after a TypeError with the function's `usage`. */
int number_argument(napi_env env, napi_callback_info info, const char *usage, int32_t *number);

/*
 * An rtnetlink socket in the namespace that `target` refers to, which takes messages from the kernel only; or -1 with errno
 * and *syscall set.
 */
int socket_to_kernel(int target, const char **syscall);

/* Of native/process.c. */
napi_value start_process(napi_env env, napi_callback_info info);

/* Of native/notifications.c. */
napi_value open_notifications(napi_env env, napi_callback_info info);
napi_value read_notification(napi_env env, napi_callback_info info);
napi_value on_readable(napi_env env, napi_callback_info info);
napi_value wake_once(napi_env env, napi_callback_info info);

/* Of native/memory.c. */
napi_value unmap_code(napi_env env, napi_callback_info info);

#endif
