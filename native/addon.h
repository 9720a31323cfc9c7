/* What the parts of the addon share. */
#ifndef WAYMARK_ADDON_H
#define WAYMARK_ADDON_H

#include <node_api.h>

/* Throws an Error with `errno` (positive) and `syscall`, and returns NULL. */
napi_value throw_errno(napi_env env, const char *syscall, int number);

/* Of native/process.c. */
napi_value start_process(napi_env env, napi_callback_info info);

#endif
