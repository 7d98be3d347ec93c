/* The device's memory, and what is seen of it.
 *
 * One stretch of address space holds shared memory (a slot for each block that runs) and device memory. A shadow keeps
 * for every byte whether it belongs to an allocation and was written, and for every word of 4 bytes who wrote and read
 * it last and when. Two accesses of one word by different threads, one of them a write, must have a meeting of the two
 * between them; accesses narrower than a word are not compared, since bytes may rightly have different owners. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <map>

#include "emulate.h"
#include "watch.h"

namespace
{

const size_t SLOT_BYTES = 192 << 10, SLOTS = 64, SHARED = SLOT_BYTES * SLOTS;
const size_t MEMORY = SG_EMULATE_ASAN ? 256 << 20 : 512 << 20, ALL = SHARED + MEMORY, GAP = 256;

enum state : uint8_t { OUTSIDE, UNWRITTEN, WRITTEN };

/* 0 in `writer` or `reader`: nobody yet. */
struct stamps {
    uint32_t writer, written, reader, read;
};
/* Two bits above a thread's number. Of a writer: its access was an atomic. Of a reader: how far the latest readers, who
 * have not met, are spread; the number is one of theirs. */
const uint32_t KIND = 3u << 30, ATOMIC = 1u << 30;
const uint32_t ONE = 0, OF_WARP = 1u << 30, OF_BLOCK = 2u << 30, OF_GRID = 3u << 30;

struct arena {
    char *base;
    uint8_t *states;
    stamps *words;
    std::map<size_t, size_t> allocations; /* offset, bytes */
    int open = 0;

    arena()
    {
        base = map(ALL, PROT_NONE);
        states = reinterpret_cast<uint8_t *>(map(ALL, PROT_READ | PROT_WRITE));
        words = reinterpret_cast<stamps *>(map(ALL / 4 * sizeof(stamps), PROT_READ | PROT_WRITE));
        ASAN_POISON_MEMORY_REGION(base, ALL);
    }

    static char *map(size_t bytes, int protection)
    {
        void *at = mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (at == MAP_FAILED) {
            fprintf(stderr, "emulation: no address space for the device's memory\n");
            abort();
        }
        return static_cast<char *>(at);
    }
};

arena *the_arena()
{
    static arena *made = new arena; /* for ever */
    return made;
}

arena *const memory = the_arena();

void become(const void *at, size_t bytes, state s)
{
    size_t from = (size_t)(static_cast<const char *>(at) - memory->base);
    memset(memory->states + from, s, bytes);
}

/* As new: filled with NaNs, which show where the watch is off. */
void open_memory(char *at, size_t bytes)
{
    ASAN_UNPOISON_MEMORY_REGION(at, bytes);
    sg_watch_pages_open();
    memset(at, 0xff, bytes);
    sg_watch_pages_close();
    become(at, bytes, UNWRITTEN);
    size_t first = (size_t)(at - memory->base) / 4;
    memset(memory->words + first, 0, (bytes + 3) / 4 * sizeof(stamps));
}

void close_memory(char *at, size_t bytes)
{
    become(at, bytes, OUTSIDE);
    ASAN_POISON_MEMORY_REGION(at, bytes);
}

const char *space_of(size_t from)
{
    return from < SHARED ? "shared" : "device";
}

} // namespace

void *sg_watch_alloc(size_t bytes)
{
    size_t from = SHARED + GAP;
    for (auto &a : memory->allocations) {
        if (from + bytes + GAP <= a.first)
            break;
        from = (a.first + a.second + GAP + 255) / 256 * 256;
    }
    if (bytes > ALL || from + bytes + GAP > ALL)
        return nullptr;
    memory->allocations[from] = bytes;
    open_memory(memory->base + from, bytes);
    return memory->base + from;
}

bool sg_watch_free(void *at)
{
    size_t from = (size_t)(static_cast<char *>(at) - memory->base);
    auto found = memory->allocations.find(from);
    if (found == memory->allocations.end())
        return false;
    close_memory(memory->base + from, found->second);
    memory->allocations.erase(found);
    return true;
}

size_t sg_watch_bytes_left(void)
{
    size_t used = 0;
    for (auto &a : memory->allocations)
        used += a.second;
    return MEMORY - used;
}

bool sg_watch_holds(const void *at, size_t bytes)
{
    size_t from = (size_t)(static_cast<const char *>(at) - memory->base);
    auto after = memory->allocations.upper_bound(from);
    if (from >= ALL || after == memory->allocations.begin())
        return false;
    --after;
    return from + bytes <= after->first + after->second;
}

void sg_watch_mark_written(const void *at, size_t bytes)
{
    become(at, bytes, WRITTEN);
}

bool sg_watch_is_written(const void *at, size_t bytes)
{
    const uint8_t *s = memory->states + (static_cast<const char *>(at) - memory->base);
    for (size_t i = 0; i < bytes; i++)
        if (s[i] != WRITTEN)
            return false;
    return true;
}

void *sg_watch_shared_slot(size_t slot)
{
    return memory->base + slot * SLOT_BYTES;
}

size_t sg_watch_shared_slot_bytes(void)
{
    return SLOT_BYTES;
}

size_t sg_watch_shared_slots(void)
{
    return SLOTS;
}

void sg_watch_shared_open(void *at, size_t bytes)
{
    open_memory(static_cast<char *>(at), bytes);
}

void sg_watch_shared_close(void *at, size_t bytes)
{
    close_memory(static_cast<char *>(at), bytes);
}

void sg_watch_pages_open(void)
{
    if (memory->open++ == 0)
        mprotect(memory->base, ALL, PROT_READ | PROT_WRITE);
}

void sg_watch_pages_close(void)
{
    if (--memory->open == 0)
        mprotect(memory->base, ALL, PROT_NONE);
}

/* ---- Accesses ---- */

static inline uint32_t block_of(uint32_t id, const sg_emulated_moments *t)
{
    return (id - 1) / t->threads_of_block;
}

/* How far two threads are apart. */
static inline uint32_t spread(uint32_t x, uint32_t y, const sg_emulated_moments *t)
{
    if (x == y)
        return ONE;
    if (block_of(x, t) != block_of(y, t))
        return OF_GRID;
    return (x - 1) % t->threads_of_block / 32 == (y - 1) % t->threads_of_block / 32 ? OF_WARP : OF_BLOCK;
}

/* Whether accesses at moments up to `then`, by threads up to `apart` from the running one, came before what it does. */
static inline bool came_before(uint32_t apart, uint32_t then, const sg_emulated_moments *t)
{
    return apart == ONE || then < *t->grid_met || (apart <= OF_BLOCK && then < *t->block_met) ||
           (apart == OF_WARP && then < *t->warp_met);
}

static inline uint32_t wider(uint32_t x, uint32_t y)
{
    return x > y ? x : y;
}

static __attribute__((noinline, noreturn)) void fail_race(size_t from, const char *mine, const char *theirs,
                                                          uint32_t other, const sg_emulated_moments *t)
{
    other &= ~KIND;
    sg_emulate_fail("a word of %s memory is %s by thread %u of block %u and %s by thread %u of block %u, with no "
                    "barrier between",
                    space_of(from), theirs, (other - 1) % t->threads_of_block, (other - 1) / t->threads_of_block, mine,
                    (t->id - 1) % t->threads_of_block, t->block);
}

static inline void see_word(size_t from, bool is_write, bool is_atomic, const sg_emulated_moments *t)
{
    stamps *w = &memory->words[from / 4];
    uint32_t now = *t->now;
    uint32_t writer = w->writer & ~KIND, reader = w->reader & ~KIND;
    if (writer && !(is_atomic && (w->writer & ATOMIC)) && !came_before(spread(writer, t->id, t), w->written, t))
        fail_race(from, is_write ? "written" : "read", "written", writer, t);
    uint32_t apart = reader ? wider(w->reader & KIND, spread(reader, t->id, t)) : ONE;
    bool readers_before = !reader || came_before(apart, w->read, t);
    if (is_write) {
        if (!readers_before)
            fail_race(from, "written", "read", reader, t);
        w->writer = t->id | (is_atomic ? ATOMIC : 0);
        w->written = now;
    } else {
        w->reader = readers_before ? t->id : reader | apart;
        w->read = now;
    }
}

static __attribute__((noinline)) void see_slow(size_t from, size_t bytes, bool is_write, const sg_emulated_moments *t)
{
    (void)t;
    uint8_t *s = memory->states + from;
    for (size_t i = 0; i < bytes; i++) {
        if (s[i] == OUTSIDE)
            sg_emulate_fail("%zu bytes are %s outside of any %s of %s memory", bytes, is_write ? "written" : "read",
                            from < SHARED ? "array" : "allocation", space_of(from));
        if (s[i] == UNWRITTEN && !is_write)
            sg_emulate_fail("%zu bytes of %s memory are read before anybody wrote them", bytes, space_of(from));
    }
    memset(s, WRITTEN, bytes);
}

void sg_watch_access(const void *at, size_t bytes, bool is_write, bool is_atomic)
{
    size_t from = (size_t)(static_cast<const char *>(at) - memory->base);
    if (from >= ALL) {
        if (sg_emulated_thread && !sg_emulate_is_own(at))
            sg_emulate_fail("%zu bytes are %s in memory of the host", bytes, is_write ? "written" : "read");
        return;
    }
    const sg_emulated_moments *t = sg_emulated_thread;
    if (!t) {
        if (memory->open)
            return; /* the emulation's own copies */
        sg_emulate_fail("the host touches memory of the device");
    }
    if (SG_EMULATE_ASAN && !is_atomic)
        return;
    if (from % (bytes & -bytes) != 0)
        sg_emulate_fail("%zu bytes at an address that is not a multiple of them", bytes);
    bool written = true;
    for (size_t i = 0; i < bytes; i++)
        written = written && memory->states[from + i] == WRITTEN;
    if (!SG_EMULATE_ASAN && !written) {
        if (is_atomic)
            see_slow(from, bytes, false, t); /* reads as well */
        see_slow(from, bytes, is_write, t);
    }
    if (SG_EMULATE_ASAN)
        return;
    for (size_t i = 0; bytes >= 4 && i < bytes; i += 4)
        see_word(from + i, is_write, is_atomic, t);
}

/* ---- What the compiler's instrumentation calls. `-fsanitize=thread` is only compiled with, never linked. ---- */
#if !SG_EMULATE_ASAN
extern "C" {
#define SG_HOOK(name, type, bytes, is_write)                                                                           \
    void name(type *at);                                                                                               \
    void name(type *at)                                                                                                \
    {                                                                                                                  \
        sg_watch_access(at, bytes, is_write, false);                                                                   \
    }
SG_HOOK(__tsan_read1, void, 1, false)
SG_HOOK(__tsan_read2, void, 2, false)
SG_HOOK(__tsan_read4, void, 4, false)
SG_HOOK(__tsan_read8, void, 8, false)
SG_HOOK(__tsan_read16, void, 16, false)
SG_HOOK(__tsan_write1, void, 1, true)
SG_HOOK(__tsan_write2, void, 2, true)
SG_HOOK(__tsan_write4, void, 4, true)
SG_HOOK(__tsan_write8, void, 8, true)
SG_HOOK(__tsan_write16, void, 16, true)
SG_HOOK(__tsan_unaligned_read2, void, 2, false)
SG_HOOK(__tsan_unaligned_read4, void, 4, false)
SG_HOOK(__tsan_unaligned_read8, void, 8, false)
SG_HOOK(__tsan_unaligned_read16, void, 16, false)
SG_HOOK(__tsan_unaligned_write2, void, 2, true)
SG_HOOK(__tsan_unaligned_write4, void, 4, true)
SG_HOOK(__tsan_unaligned_write8, void, 8, true)
SG_HOOK(__tsan_unaligned_write16, void, 16, true)

void __tsan_init(void);
void __tsan_init(void) {}
void __tsan_func_entry(void *);
void __tsan_func_entry(void *) {}
void __tsan_func_exit(void *);
void __tsan_func_exit(void *) {}
void __tsan_read_range(void *at, size_t bytes);
void __tsan_read_range(void *at, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 4)
        sg_watch_access(static_cast<char *>(at) + i, bytes - i < 4 ? 1 : 4, false, false);
}
void __tsan_write_range(void *at, size_t bytes);
void __tsan_write_range(void *at, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 4)
        sg_watch_access(static_cast<char *>(at) + i, bytes - i < 4 ? 1 : 4, true, false);
}
}
#endif
