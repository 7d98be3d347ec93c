/* cuRAND is loaded when it is asked for and never linked: its host generator runs without a GPU. The order of its words
 * is checked before they are used: word p is lane p % 4 of Philox4x32-10 under the seed, with the counter words {q /
 * 65536, q / 65536 / 2^32, q % 65536, 0}, q = p / 4. Offsets are positions in that stream. Keying it, or moving it,
 * takes about 6 ms (it sets up 65,536 subsequences), so a step's range is best asked for in one ascending walk. */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "noise_source.h"

enum { CURAND_RNG_PSEUDO_PHILOX4_32_10 = 161, CURAND_ORDERING_PSEUDO_DEFAULT = 101 }; /* curand.h */

struct library {
    void *handle;
    int (*create_host)(void **generator, int type);
    int (*destroy)(void *generator);
    int (*set_ordering)(void *generator, int ordering);
    int (*set_seed)(void *generator, unsigned long long seed);
    int (*set_offset)(void *generator, unsigned long long offset);
    int (*generate)(void *generator, unsigned int *out, size_t n);
};

struct curand {
    struct sg_noise_words words;
    struct library library;
    void *generator;
    uint64_t seed, next; /* next: the value whose words come now */
};

static enum sg_status failed(const char *what, int code)
{
    return sg_fail(SG_FAILED, "cuRAND could not %s (its status %d); use a cuRAND 10 library or noise_source: chacha20",
                   what, code);
}

static enum sg_status move_to(struct curand *self, uint64_t first)
{
    int code = self->library.set_seed(self->generator, self->seed);
    if (!code)
        code = self->library.set_offset(self->generator, 2 * first);
    self->next = first;
    return code ? failed("set seed and offset", code) : SG_OK;
}

static enum sg_status key_step(struct sg_noise_words *words, const uint8_t step_key[SG_KEY_BYTES])
{
    struct curand *self = (struct curand *)words;
    self->seed = sg_load_u64be(step_key);
    return move_to(self, 0);
}

static enum sg_status read_words(struct sg_noise_words *words, uint64_t first, int64_t n, uint64_t *word,
                                 const uint64_t **at)
{
    struct curand *self = (struct curand *)words;
    if (first != self->next)
        SG_TRY(move_to(self, first));
    int code = self->library.generate(self->generator, (unsigned int *)word, (size_t)n * 2);
    if (code)
        return failed("generate words", code);
    self->next = first + (uint64_t)n;
    *at = word;
    return SG_OK;
}

/* The library stays loaded: unloading it would lose what its C++ runtime allocated. */
static void close_words(struct sg_noise_words *words)
{
    struct curand *self = (struct curand *)words;
    if (self->generator)
        self->library.destroy(self->generator);
    sg_wipe(self, sizeof *self);
    free(self);
}

static bool find(void *handle, const char *name, void *function)
{
    void *symbol = dlsym(handle, name);
    memcpy(function, &symbol, sizeof symbol); /* a data pointer is not assigned to a function pointer in C */
    return symbol != NULL;
}

static bool find_all(struct library *library)
{
    void *h = library->handle;
    return find(h, "curandCreateGeneratorHost", &library->create_host) &&
           find(h, "curandDestroyGenerator", &library->destroy) &&
           find(h, "curandSetGeneratorOrdering", &library->set_ordering) &&
           find(h, "curandSetPseudoRandomGeneratorSeed", &library->set_seed) &&
           find(h, "curandSetGeneratorOffset", &library->set_offset) && find(h, "curandGenerate", &library->generate);
}

/* SEALGRAD_CURAND names the one library to take; else the loader's own, else the toolkit's usual place. */
static enum sg_status load(struct library *library)
{
    const char *chosen = getenv("SEALGRAD_CURAND");
    const char *places[] = {"libcurand.so.10", "/usr/local/cuda/lib64/libcurand.so.10"};
    if (chosen && *chosen) {
        library->handle = dlopen(chosen, RTLD_NOW | RTLD_LOCAL);
        if (!library->handle)
            return sg_fail(SG_FAILED, "noise source curand: cannot load SEALGRAD_CURAND: %s; or use chacha20", dlerror());
    }
    for (size_t i = 0; !library->handle && i < sizeof places / sizeof places[0]; i++)
        library->handle = dlopen(places[i], RTLD_NOW | RTLD_LOCAL);
    if (!library->handle)
        return sg_fail(SG_FAILED,
                       "noise source curand: libcurand.so.10 not found; install the CUDA toolkit or the PyPI wheel "
                       "nvidia-curand and set SEALGRAD_CURAND to its libcurand.so.10, or use chacha20");
    if (!find_all(library))
        return sg_fail(SG_FAILED, "noise source curand: the library lacks cuRAND's host generator functions");
    return SG_OK;
}

/* A library that gives other words than Philox4x32-10 in this order is refused: noise would not be reproducible, or
 * worse. */
static enum sg_status check_words(struct curand *self)
{
    static const uint64_t seed = 0xa4093822299f31d0;
    static const struct {
        uint64_t first;
        uint32_t word[8];
    } known[] = {
        {0, {0x1ccf620c, 0x7da0056a, 0xdcc7b938, 0xbad039c6, 0xdc0346a8, 0x0e455760, 0x10551ddb, 0x4c93d1d3}},
        {((uint64_t)1 << 39) + 131068,
         {0x46ff5ef8, 0x395f3436, 0x552938ab, 0x7312ea31, 0x000d3a79, 0x7b54d48e, 0x6633d202, 0x6214b7fd}},
    };
    for (size_t k = 0; k < sizeof known / sizeof known[0]; k++) {
        uint64_t word[4];
        const uint64_t *at;
        self->seed = seed;
        SG_TRY(move_to(self, known[k].first));
        SG_TRY(read_words(&self->words, known[k].first, 4, word, &at));
        if (memcmp(at, known[k].word, sizeof known[k].word))
            return sg_fail(SG_FAILED,
                           "noise source curand: the library's words are not Philox4x32-10 in the default order");
    }
    return SG_OK;
}

static enum sg_status open_generator(struct curand *self)
{
    SG_TRY(load(&self->library));
    int code = self->library.create_host(&self->generator, CURAND_RNG_PSEUDO_PHILOX4_32_10);
    if (!code)
        code = self->library.set_ordering(self->generator, CURAND_ORDERING_PSEUDO_DEFAULT);
    if (code)
        return failed("create a host generator", code);
    return check_words(self);
}

enum sg_status sg_noise_words_curand(struct sg_noise_words **out)
{
    struct curand *self = sg_alloc(1, sizeof *self);
    /* A call costs about 40 us however little it makes. */
    self->words = (struct sg_noise_words){1 << 16, key_step, read_words, close_words};
    enum sg_status status = open_generator(self);
    if (status != SG_OK)
        close_words(&self->words);
    else
        *out = &self->words;
    return status;
}
