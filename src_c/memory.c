/* What the operating system is told of memory that is about to be filled. */
#define _DEFAULT_SOURCE
#include "fastinit.h"

#ifndef _WIN32
#include <sys/mman.h>
#include <unistd.h>
#endif

void fi_prefer_huge_pages(void *memory, size_t bytes)
{
#ifdef MADV_HUGEPAGE
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)memory;
    uintptr_t first = (at + page - 1) / page * page, end = (at + bytes) / page * page;
    if (first < end)
        madvise((void *)first, end - first, MADV_HUGEPAGE);   /* a hint: a refusal changes nothing */
#else
    (void)memory, (void)bytes;
#endif
}
