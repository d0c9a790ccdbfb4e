/* Scratch memory of the kernels: one block a thread, which grows to the largest request and is reused.

   arena(bytes) returns the calling thread's block, 64-byte aligned, with at least that many bytes; its
   content lasts until the thread's next call. Once every size has been seen no call allocates:
   arena_allocations() counts the allocations of all threads, and a test watches it. */
#ifndef FASTNN_ARENA_H
#define FASTNN_ARENA_H

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static __thread void *arena_block;
static __thread size_t arena_bytes;
static int64_t arena_count;
static pthread_key_t arena_key;
static pthread_once_t arena_once = PTHREAD_ONCE_INIT;

/* The key's destructor frees a thread's block when the thread ends. */
static void arena_create_key(void) { pthread_key_create(&arena_key, free); }

static void arena_grow(size_t bytes) {
    pthread_once(&arena_once, arena_create_key);
    free(arena_block);
    bytes = (bytes + 4095) / 4096 * 4096;
    if (posix_memalign(&arena_block, 64, bytes) != 0) {
        /* Nothing can be returned to a caller in the middle of a program; the scratch is small and bounded. */
        fprintf(stderr, "fastnn: out of memory for %zu bytes of scratch\n", bytes);
        abort();
    }
    arena_bytes = bytes;
    pthread_setspecific(arena_key, arena_block);
    __atomic_fetch_add(&arena_count, 1, __ATOMIC_RELAXED);
}

static inline void *arena(size_t bytes) {
    if (bytes > arena_bytes) arena_grow(bytes);
    return arena_block;
}

static inline int64_t arena_allocations(void) { return __atomic_load_n(&arena_count, __ATOMIC_RELAXED); }

#endif
