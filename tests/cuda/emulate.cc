/* Threads of a launch as fibres: emulate.h says what is promised.
 *
 * A fibre runs thread after thread until one of them has to wait; then it stands still with that thread, and another
 * fibre goes on: with a thread whose wait is over, or else with the next one that has not begun. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <deque>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "emulate.h"
#include "watch.h"

struct sg_emulated_place sg_emulated;
const struct sg_emulated_moments *sg_emulated_thread;

namespace
{

const size_t STACK_BYTES = SG_EMULATE_ASAN ? 512 << 10 : 128 << 10;
const size_t SHARED_BYTES_PLAIN = 48 << 10, SHARED_BYTES_MOST = 163 << 10, SHARED_GUARD = 64;

struct fibre {
    void *stack_pointer = nullptr;
    char *stack = nullptr;
    size_t stack_bytes = 0;
    void *fake_stack = nullptr;
};

struct site {
    const char *file = nullptr;
    int line = 0;
    const char *what = nullptr;
    bool operator==(const site &other) const
    {
        return line == other.line && strcmp(what, other.what) == 0 &&
               (file == other.file || strcmp(file, other.file) == 0);
    }
};

struct thread {
    sg_emulated_place place;
    sg_emulated_moments moments;
    fibre *on = nullptr;
    bool waits = false, ended = false;
    site where;
};

/* Lanes that meet; every lane must come. */
struct warp {
    int arrived = 0;
    site where;
    int turn = 0; /* words are kept twice: a lane may still read the last ones while another brings its next */
    uint64_t words[2][32];
    uint32_t met = 0;
};

struct shared_array {
    const void *key;
    char *at;
    size_t bytes;
};

struct block {
    size_t first = 0, n_threads = 0; /* of the wave's threads */
    std::vector<warp> warps;
    size_t arrived = 0, ended = 0;
    site where;
    int votes = 0, votes_result = 0;
    uint32_t met = 0;
    char *slot = nullptr;
    size_t slot_used = 0, dynamic_bytes = 0;
    char *dynamic = nullptr;
    std::vector<shared_array> arrays;
};

/* The blocks that run at once: one, or all of a cooperative launch. */
struct wave {
    std::vector<block> blocks;
    std::vector<thread> threads;
    size_t begun = 0, ended = 0;
    std::deque<thread *> ready;
    size_t grid_arrived = 0;
    site grid_where;
};

struct launch {
    const char *name;
    dim3 grid, block_size;
    size_t shared_bytes;
    bool cooperative;
    void (*body)(const void *);
    const char *argument;
    size_t argument_bytes;
};

std::recursive_mutex only_one;
const launch *running;
wave &now_running = *new wave;
thread *current;
fibre main_fibre;
fibre *here = &main_fibre; /* whose stack is in use */
jmp_buf end_of_launch;
/* For ever: a leak check at the end must still find what they hold. */
std::vector<fibre *> &idle = *new std::vector<fibre *>, &all_fibres = *new std::vector<fibre *>;
uint32_t moment = 1, grid_met = 1;
bool failed, catching;
char failure[1200], caught_text[1200], last_caught[1200];
std::set<std::string> names_run;
std::vector<std::pair<const void *, size_t>> opted_in;

extern "C" void sg_emulate_switch(void **save, void *load);
asm(R"(
.text
.p2align 4
.globl sg_emulate_switch
.type sg_emulate_switch, @function
sg_emulate_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size sg_emulate_switch, .-sg_emulate_switch
)");

void switch_fibre(fibre *from, fibre *to)
{
    here = to;
#if SG_EMULATE_ASAN
    __sanitizer_start_switch_fiber(&from->fake_stack, to->stack, to->stack_bytes);
#endif
    sg_emulate_switch(&from->stack_pointer, to->stack_pointer);
#if SG_EMULATE_ASAN
    __sanitizer_finish_switch_fiber(from->fake_stack, nullptr, nullptr);
#endif
}

void make_current(thread *t)
{
    current = t;
    if (t)
        sg_emulated = t->place;
    sg_emulated_thread = t ? &t->moments : nullptr;
}

fibre *any_idle_fibre();

block *block_of(const thread *t)
{
    return &now_running.blocks[now_running.blocks.size() == 1 ? 0 : t->moments.block];
}

size_t index_in_block(const thread *t)
{
    return (size_t)(t - &now_running.threads[0]) - block_of(t)->first;
}

/* Texts live in buffers that the next few calls leave alone: a fibre that fails is never unwound. */
char *text_buffer()
{
    static char buffers[8][256];
    static int next;
    return buffers[next++ % 8];
}

const char *name_thread(const thread *t)
{
    char *text = text_buffer();
    snprintf(text, 256, "thread %u,%u,%u of block %u,%u,%u", t->place.thread.x, t->place.thread.y, t->place.thread.z,
             t->place.block.x, t->place.block.y, t->place.block.z);
    return text;
}

const char *name_site(const site &s)
{
    const char *slash = strrchr(s.file, '/');
    char *text = text_buffer();
    snprintf(text, 256, "%s at %s:%d", s.what, slash ? slash + 1 : s.file, s.line);
    return text;
}

/* Nobody can go on although not all have ended. */
void fail_stuck()
{
    enum { PLACES = 4 };
    const thread *seen[PLACES];
    int n = 0;
    for (const thread &t : now_running.threads) {
        bool is_new = t.waits && n < PLACES;
        for (int i = 0; i < n; i++)
            is_new = is_new && !(seen[i]->where == t.where);
        if (is_new)
            seen[n++] = &t;
    }
    char places[1024] = "";
    for (int i = 0; i < n; i++)
        snprintf(places + strlen(places), sizeof places - strlen(places), "%s%s waits in %s", i ? "; " : "",
                 name_thread(seen[i]), name_site(seen[i]->where));
    sg_emulate_fail("threads wait for ever: %s", places);
}

/* The running thread, or a fibre without one, hands over; comes back when somebody switches to `me`. */
void go_on_elsewhere(fibre *me)
{
    thread *next = nullptr;
    if (!now_running.ready.empty()) {
        next = now_running.ready.front();
        now_running.ready.pop_front();
    }
    if (next) {
        make_current(next);
        if (next->on != me)
            switch_fibre(me, next->on);
    } else if (now_running.begun < now_running.threads.size()) {
        make_current(nullptr);
        switch_fibre(me, any_idle_fibre());
    } else if (now_running.ended == now_running.threads.size()) {
        make_current(nullptr);
        switch_fibre(me, &main_fibre);
    } else {
        fail_stuck();
    }
}

void wait_at(thread *t, const site &where)
{
    t->waits = true;
    t->where = where;
    fibre *me = t->on;
    go_on_elsewhere(me);
}

void wake(size_t first, size_t n, const thread *but)
{
    for (size_t i = first; i < first + n; i++) {
        thread *t = &now_running.threads[i];
        if (t != but) {
            t->waits = false;
            now_running.ready.push_back(t);
        }
    }
}

void thread_ended(thread *t)
{
    block *b = block_of(t);
    warp *w = &b->warps[index_in_block(t) / 32];
    t->ended = true;
    b->ended++;
    now_running.ended++;
    if (w->arrived)
        sg_emulate_fail("%s has ended while other lanes of its warp wait in %s", name_thread(t), name_site(w->where));
    if (b->arrived)
        sg_emulate_fail("%s has ended while others of its block wait in %s", name_thread(t), name_site(b->where));
    if (now_running.grid_arrived)
        sg_emulate_fail("%s has ended while others of the grid wait in %s", name_thread(t),
                        name_site(now_running.grid_where));
}

/* What a fibre does for ever. */
void fibre_loop(fibre *me)
{
    for (;;) {
        while (now_running.ready.empty() && now_running.begun < now_running.threads.size()) {
            thread *t = &now_running.threads[now_running.begun++];
            t->on = me;
            make_current(t);
            running->body(running->argument);
            thread_ended(t);
        }
        idle.push_back(me);
        go_on_elsewhere(me);
    }
}

fibre *starting; /* handed to a fibre that runs for the first time */

void fibre_begin()
{
#if SG_EMULATE_ASAN
    __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
    fibre_loop(starting);
    abort();
}

void fibre_reset(fibre *f)
{
    ASAN_UNPOISON_MEMORY_REGION(f->stack, f->stack_bytes);
    void **top = reinterpret_cast<void **>(f->stack + f->stack_bytes - 64);
    top[1] = nullptr; /* where a caller would be */
    top[0] = reinterpret_cast<void *>(&fibre_begin);
    memset(top - 6, 0, 6 * sizeof *top);
    f->stack_pointer = top - 6;
    f->fake_stack = nullptr;
}

fibre *fibre_make()
{
    fibre *f = new fibre;
    f->stack_bytes = STACK_BYTES;
    size_t page = 4096;
    char *map = static_cast<char *>(
        mmap(nullptr, STACK_BYTES + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (map == MAP_FAILED || mprotect(map, page, PROT_NONE) != 0) {
        fprintf(stderr, "emulation: no memory for another thread's stack\n");
        abort();
    }
    f->stack = map + page;
    fibre_reset(f);
    all_fibres.push_back(f);
    return f;
}

fibre *any_idle_fibre()
{
    if (idle.empty())
        idle.push_back(fibre_make());
    fibre *f = idle.back();
    idle.pop_back();
    starting = f;
    return f;
}

/* ---- A launch ---- */

void find_main_stack()
{
#if SG_EMULATE_ASAN
    static thread_local char *stack;
    static thread_local size_t bytes;
    if (!stack) {
        pthread_attr_t attributes;
        void *at;
        pthread_getattr_np(pthread_self(), &attributes);
        pthread_attr_getstack(&attributes, &at, &bytes);
        pthread_attr_destroy(&attributes);
        stack = static_cast<char *>(at);
    }
    main_fibre.stack = stack;
    main_fibre.stack_bytes = bytes;
#endif
}

uint3 index3(size_t i, dim3 size)
{
    return uint3{(unsigned)(i % size.x), (unsigned)(i / size.x % size.y), (unsigned)(i / size.x / size.y)};
}

size_t count3(dim3 size)
{
    return (size_t)size.x * size.y * size.z;
}

char *carve(block *b, size_t bytes)
{
    size_t whole = (bytes + 15) / 16 * 16;
    if (b->slot_used + whole + SHARED_GUARD > sg_watch_shared_slot_bytes())
        sg_emulate_fail("a block asks for more than %zu bytes of shared memory", SHARED_BYTES_MOST);
    char *at = b->slot + b->slot_used;
    b->slot_used += whole + SHARED_GUARD;
    sg_watch_shared_open(at, bytes);
    return at;
}

void block_begin(block *b, const launch *l, size_t index, size_t first_thread, size_t slot)
{
    size_t n = count3(l->block_size);
    *b = block();
    b->first = first_thread;
    b->n_threads = n;
    b->warps.resize((n + 31) / 32);
    b->slot = static_cast<char *>(sg_watch_shared_slot(slot));
    b->slot_used = SHARED_GUARD;
    b->dynamic_bytes = l->shared_bytes;
    for (size_t i = 0; i < n; i++) {
        thread *t = &now_running.threads[first_thread + i];
        *t = thread();
        t->place = {index3(i, l->block_size), index3(index, l->grid), l->block_size, l->grid};
        t->moments = {(uint32_t)(index * n + i + 1), (uint32_t)index, (uint32_t)n, &moment, &grid_met, &b->met,
                      &b->warps[i / 32].met};
    }
    if (b->dynamic_bytes)
        b->dynamic = carve(b, b->dynamic_bytes);
}

void block_end(block *b)
{
    sg_watch_shared_close(b->slot, b->slot_used);
}

/* Blocks [first, first + n) at once. */
void run_wave(const launch *l, size_t first, size_t n)
{
    size_t per_block = count3(l->block_size);
    now_running.blocks.resize(n);
    now_running.threads.resize(n * per_block);
    now_running.begun = now_running.ended = now_running.grid_arrived = 0;
    now_running.ready.clear();
    for (size_t i = 0; i < n; i++)
        block_begin(&now_running.blocks[i], l, first + i, i * per_block, i);
    switch_fibre(&main_fibre, any_idle_fibre());
    make_current(nullptr);
    if (failed)
        longjmp(end_of_launch, 1);
    for (size_t i = 0; i < n; i++)
        block_end(&now_running.blocks[i]);
}

size_t opted_bytes(const void *kernel)
{
    for (auto &pair : opted_in)
        if (pair.first == kernel)
            return pair.second;
    return SHARED_BYTES_PLAIN;
}

void check_launch(const launch *l, const void *kernel)
{
    if (count3(l->block_size) == 0 || count3(l->block_size) > 1024 || l->block_size.z > 64)
        sg_emulate_fail("a block of %u x %u x %u threads; a card takes 1 to 1024", l->block_size.x, l->block_size.y,
                        l->block_size.z);
    if (count3(l->grid) == 0 || l->grid.x > 0x7fffffff || l->grid.y > 65535 || l->grid.z > 65535)
        sg_emulate_fail("a grid of %u x %u x %u blocks; a card takes 1 to 2^31 - 1 x 65535 x 65535", l->grid.x,
                        l->grid.y, l->grid.z);
    if (l->shared_bytes > opted_bytes(kernel))
        sg_emulate_fail("%zu bytes of dynamic shared memory, allowed are %zu (sg_cuda_shared_opt_in allows more)",
                        l->shared_bytes, opted_bytes(kernel));
    if (l->cooperative && count3(l->grid) > sg_watch_shared_slots())
        sg_emulate_fail("%zu blocks of a cooperative launch, at once there may be %zu", count3(l->grid),
                        sg_watch_shared_slots());
}

/* After a failure the fibres stand anywhere: they begin anew, and what they held is forgotten. */
void abandon()
{
    for (block &b : now_running.blocks)
        if (b.slot)
            block_end(&b);
    now_running.blocks.clear();
    now_running.threads.clear();
    idle = all_fibres;
    for (fibre *f : all_fibres)
        fibre_reset(f);
}

void record_names()
{
    const char *path = getenv("SEALGRAD_KERNELS_RUN");
    FILE *f = path ? fopen(path, "w") : nullptr;
    if (!f)
        return;
    for (const std::string &name : names_run)
        fprintf(f, "%s\n", name.c_str());
    fclose(f);
}

/* "(sg_k_x<4>)" ran sg_k_x. */
void name_ran(const char *name)
{
    static bool registered = atexit(record_names) == 0;
    (void)registered;
    const char *from = strstr(name, "sg_k_");
    size_t n = from ? strspn(from, "abcdefghijklmnopqrstuvwxyz_0123456789") : 0;
    names_run.insert(from ? std::string(from, n) : std::string(name));
}

} // namespace

void sg_emulate_fail(const char *format, ...)
{
    char text[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    snprintf(failure, sizeof failure, "%s: %s", running ? running->name : "outside of kernels", text);
    if (!catching || !running) {
        fprintf(stderr, "emulation: %s\n", failure);
        abort();
    }
    failed = true;
    memcpy(caught_text, failure, sizeof failure);
    make_current(nullptr);
    if (here != &main_fibre)
        switch_fibre(here, &main_fibre); /* run_wave goes on, and this fibre never */
    longjmp(end_of_launch, 1);
}

void sg_emulate_catch(bool caught)
{
    catching = caught;
}

const char *sg_emulate_caught(void)
{
    memcpy(last_caught, caught_text, sizeof last_caught);
    caught_text[0] = 0;
    return last_caught[0] ? last_caught : nullptr;
}

bool sg_emulate_watches(void)
{
    return !SG_EMULATE_ASAN;
}

void sg_emulate_opt_in(const void *kernel, size_t bytes)
{
    opted_in.push_back({kernel, bytes});
    for (auto &pair : opted_in)
        if (pair.first == kernel)
            pair.second = bytes;
}

static void launch_all(const launch *l, const void *kernel)
{
    check_launch(l, kernel);
    size_t n = count3(l->grid);
    if (l->cooperative)
        run_wave(l, 0, n);
    else
        for (size_t i = 0; i < n; i++)
            run_wave(l, i, 1);
}

void sg_emulate_run(const char *name, const void *kernel, dim3 grid, dim3 block_size, size_t shared_bytes,
                    bool cooperative, void (*body)(const void *), const void *argument, size_t argument_bytes)
{
    std::lock_guard<std::recursive_mutex> lock(only_one);
    launch l = {name,          grid, block_size, shared_bytes, cooperative, body, static_cast<const char *>(argument),
                argument_bytes};
    name_ran(name);
    running = &l;
    failed = false;
    find_main_stack();
    grid_met = ++moment;
    sg_watch_pages_open();
    if (setjmp(end_of_launch) == 0)
        launch_all(&l, kernel);
    else
        abandon();
    sg_watch_pages_close();
    grid_met = ++moment;
    running = nullptr;
}

/* ---- What threads do with each other ---- */

void *sg_emulate_shared(const void *key, size_t bytes)
{
    block *b = block_of(current);
    for (const shared_array &a : b->arrays)
        if (a.key == key)
            return a.at;
    b->arrays.push_back({key, carve(b, bytes), bytes});
    size_t sum = 0;
    for (const shared_array &a : b->arrays)
        sum += a.bytes;
    if (sum > SHARED_BYTES_PLAIN || sum + b->dynamic_bytes > SHARED_BYTES_MOST)
        sg_emulate_fail("%zu bytes of static shared memory; 49152 are the most, and %zu with the dynamic", sum,
                        SHARED_BYTES_MOST);
    return b->arrays.back().at;
}

void *sg_emulate_dynamic_shared(void)
{
    block *b = block_of(current);
    if (!b->dynamic)
        sg_emulate_fail("dynamic shared memory is used, but the launch gave none");
    return b->dynamic;
}

/* The place of those who wait before; the first one sets it. */
static void same_place(thread *t, site *first, size_t arrived, const site &mine, const char *whose)
{
    if (arrived == 0)
        *first = mine;
    else if (!(*first == mine))
        sg_emulate_fail("%s is in %s while others of its %s wait in %s", name_thread(t), name_site(mine), whose,
                        name_site(*first));
}

static int barrier(int vote, const char *file, int line, const char *what)
{
    thread *t = current;
    block *b = block_of(t);
    site mine = {file, line, what};
    if (b->ended)
        sg_emulate_fail("%s is in %s while others of its block have ended", name_thread(t), name_site(mine));
    same_place(t, &b->where, b->arrived, mine, "block");
    b->votes += vote;
    if (++b->arrived < b->n_threads) {
        wait_at(t, mine);
    } else {
        b->arrived = 0;
        b->votes_result = b->votes;
        b->votes = 0;
        b->met = ++moment;
        wake(b->first, b->n_threads, t);
    }
    return b->votes_result;
}

void sg_emulate_barrier(const char *file, int line)
{
    barrier(0, file, line, "__syncthreads");
}

/* The result stays until the next barrier with votes is complete, for which every thread must have left this one. */
int sg_emulate_barrier_count(int predicate, const char *file, int line)
{
    return barrier(predicate != 0, file, line, "__syncthreads with a vote");
}

void sg_emulate_grid_barrier(const char *file, int line)
{
    thread *t = current;
    site mine = {file, line, "sg_grid_sync"};
    if (!running->cooperative)
        sg_emulate_fail("sg_grid_sync in a launch that is not cooperative");
    if (now_running.ended)
        sg_emulate_fail("%s is in %s while others of the grid have ended", name_thread(t), name_site(mine));
    same_place(t, &now_running.grid_where, now_running.grid_arrived, mine, "grid");
    if (++now_running.grid_arrived < now_running.threads.size()) {
        wait_at(t, mine);
        return;
    }
    now_running.grid_arrived = 0;
    grid_met = ++moment;
    wake(0, now_running.threads.size(), t);
}

const uint64_t *sg_emulate_exchange(const char *what, unsigned mask, uint64_t word, const char *file, int line)
{
    thread *t = current;
    block *b = block_of(t);
    size_t in_block = index_in_block(t), first = in_block / 32 * 32;
    warp *w = &b->warps[in_block / 32];
    site mine = {file, line, what};
    if (mask != 0xffffffffu || first + 32 > b->n_threads)
        sg_emulate_fail("%s: all 32 lanes must exist and be named (mask %08x, %zu threads in the block)",
                        name_site(mine), mask, b->n_threads);
    for (size_t i = first; i < first + 32; i++)
        if (now_running.threads[b->first + i].ended)
            sg_emulate_fail("%s is in %s while lanes of its warp have ended", name_thread(t), name_site(mine));
    same_place(t, &w->where, (size_t)w->arrived, mine, "warp");
    uint64_t *words = w->words[w->turn];
    words[in_block - first] = word;
    if (++w->arrived < 32) {
        wait_at(t, mine);
        return words;
    }
    w->arrived = 0;
    w->turn ^= 1;
    /* A shuffle promises nothing about memory; __syncwarp does. */
    if (strcmp(what, "__syncwarp") == 0)
        w->met = ++moment;
    wake(b->first + first, 32, t);
    return words;
}

uint64_t sg_emulate_lane_word(const uint64_t *words, int lane)
{
    return words[lane];
}

extern "C" const char __executable_start, _end;

bool sg_emulate_is_own(const void *at)
{
    const char *byte = static_cast<const char *>(at);
    return (byte >= here->stack && byte < here->stack + here->stack_bytes) ||
           (byte >= running->argument && byte < running->argument + running->argument_bytes) ||
           (byte >= &__executable_start && byte < &_end);
}

void sg_emulate_atomic(const void *at, size_t bytes)
{
    sg_watch_access(at, bytes, true, true);
}
