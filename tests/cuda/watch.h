/* What the parts of the emulation show each other: watch.cc keeps the device's memory, emulate.cc the threads. */
#ifndef SG_TESTS_CUDA_WATCH_H
#define SG_TESTS_CUDA_WATCH_H

#include <stddef.h>
#include <stdint.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define SG_EMULATE_ASAN 1
#else
#define SG_EMULATE_ASAN 0
#define ASAN_POISON_MEMORY_REGION(at, bytes) ((void)(at), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(at, bytes) ((void)(at), (void)(bytes))
#endif

/* ---- emulate.cc ---- */

/* The moments of the running thread: an access of another thread at moment m came before it when m is below the last
 * meeting of the two. Moments count upwards through the whole program. */
struct sg_emulated_moments {
    uint32_t id;    /* of the launch, 1 .. */
    uint32_t block; /* of the launch, 0 .. */
    uint32_t threads_of_block;
    const uint32_t *now, *grid_met, *block_met, *warp_met;
};
/* NULL outside of kernels. */
extern const struct sg_emulated_moments *sg_emulated_thread;

/* What this kernel may have of dynamic shared memory from here on. */
void sg_emulate_opt_in(const void *kernel, size_t bytes);

/* Whether a kernel may use this memory of the host: its own stack, and constants of the program. */
bool sg_emulate_is_own(const void *at);

/* Ends the running launch with one line. */
void sg_emulate_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* ---- watch.cc ---- */

/* Memory of the device; NULL when there is none left. Unwritten at first. */
void *sg_watch_alloc(size_t bytes);
/* False when this is no allocation. */
bool sg_watch_free(void *at);
/* Whether [at, at + bytes) lies within one allocation. */
bool sg_watch_holds(const void *at, size_t bytes);
void sg_watch_mark_written(const void *at, size_t bytes);
/* Whether all of it was written. */
bool sg_watch_is_written(const void *at, size_t bytes);
/* Memory for the shared memory of one block of those that run; unwritten and without bounds until carved. */
void *sg_watch_shared_slot(size_t slot);
size_t sg_watch_shared_slot_bytes(void);
size_t sg_watch_shared_slots(void);
/* A part of a slot becomes an array; the slot ends being used. */
void sg_watch_shared_open(void *at, size_t bytes);
void sg_watch_shared_close(void *at, size_t bytes);
/* The device's pages open for kernels and copies, closed to the host otherwise. Calls nest. */
void sg_watch_pages_open(void);
void sg_watch_pages_close(void);
/* What the hooks call for each access, and atomics. */
void sg_watch_access(const void *at, size_t bytes, bool is_write, bool is_atomic);
size_t sg_watch_bytes_left(void);

#endif
