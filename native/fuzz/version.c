/*
 * libFuzzer: whatever a config is, find_version() comes to an end, stays within it, and gives a version: 1.1.0, or
 * digits and dots that stand in the config, quoted, behind "cniVersion".
 */
#define main shim_main
#include "../shim.c"
#undef main

static const uint8_t *find(const uint8_t *text, size_t length, const char *what) {
  return memmem(text, length, what, strlen(what));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
  /* A copy that ends where the config ends, so that the sanitizer sees a byte too many. */
  uint8_t *config = malloc(length == 0 ? 1 : length);
  memcpy(config, data, length);
  char version[VERSION_BYTES], quoted[VERSION_BYTES + 2] = "\"";
  memset(version, 'x', sizeof version);
  find_version((struct bytes){.data = config, .length = length}, version);

  const size_t size = strnlen(version, sizeof version);
  if (size == 0 || size == sizeof version || strspn(version, "0123456789.") != size) abort();
  if (strcmp(version, "1.1.0") != 0) {
    const uint8_t *key = find(config, length, "\"cniVersion\"");
    memcpy(quoted + 1, version, size);
    quoted[size + 1] = '"';
    if (key == NULL || find(key, length - (size_t)(key - config), quoted) == NULL) abort();
  }
  free(config);
  return 0;
}
