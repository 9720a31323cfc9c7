/*
 * unmapCode()
 *
 * Lets go of the pages of the runtime's executable that the process has mapped: its code, its constants and the snapshot it
 * started from, most of which only a start needs. What is used again is mapped again, from the page cache, without a read
 * from disk as long as it is there.
 *
 * Only segments that nobody may write to count, so no page of theirs differs from the file. One that is locked in memory is
 * left as it is.
 *
 * Sources: dl_iterate_phdr(3), elf(5), madvise(2), Node-API.
 */
#define _GNU_SOURCE
#include "addon.h"
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* The first object is the program itself: it ends there. */
static int unmap_segments(struct dl_phdr_info *program, size_t size, void *data) {
  (void)size;
  (void)data;
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  for (int i = 0; i < program->dlpi_phnum; i++) {
    const ElfW(Phdr) *segment = &program->dlpi_phdr[i];
    if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W) != 0) continue;
    /* A page at an end can be shared with the segment beside it. */
    const uintptr_t start = program->dlpi_addr + segment->p_vaddr;
    const uintptr_t first = (start + page - 1) & ~(page - 1);
    const uintptr_t end = (start + segment->p_memsz) & ~(page - 1);
    if (first < end) madvise((void *)first, end - first, MADV_DONTNEED);
  }
  return 1;
}

napi_value unmap_code(napi_env env, napi_callback_info info) {
  (void)env;
  (void)info;
  dl_iterate_phdr(unmap_segments, NULL);
  return NULL;
}
