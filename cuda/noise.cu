/* Noise of the grid Gaussian added to integers in device memory. Each thread makes the words of eight values, a block
 * of 2,048 values lays them in shared memory, and then goes over its integers side by side. The one value in 600 that
 * its word does not decide waits in a list until the block has done its share: the long path, which a warp would else
 * take for one of its lanes, is then taken by many lanes at once. The decisions are privacy/mechanism/noise_decide.h's,
 * the one text that the host compiles too.
 *
 * Only the keys of a step come here, as arguments of the kernel; the driver's copy of them cannot be wiped from here,
 * but they are of no use for another step. Words in shared memory are overwritten before a block ends. */
#include <assert.h>

#include "launch.h"
#include "noise.h"
#include "noise_decide.h"
#include "noise_words.h"

#define THREADS 256
#define TILE (THREADS * 8)
#define TILES_MAX 8 /* of a block */
#define OPEN_MAX                                                                                                       \
    48 /* values that wait; eight tiles leave 27 on average. One for which there is no room is done at once */
#define PLACE(i) ((i) / 8 * 9 + (i) % 8) /* threads write eight words each: a ninth keeps them in different banks */

struct open_value {
    uint64_t index, word;
};

struct noise_words {
    struct noise_key first, further;
    uint64_t seed;
};

/* Further words are a block of ChaCha20 for each attempt, the index as nonce, whatever the first word came from. */
SG_DEVICE int64_t decide_slowly(const struct sg_noise_table *table, const struct noise_key *key, uint64_t index,
                                uint64_t word)
{
    int64_t value;
    for (uint64_t attempt = 0;; attempt++) {
        uint64_t block[8];
        chacha_block(key, attempt, index, block);
        const struct sg_noise_draw draw = noise_extend(word, block);
        if (noise_decide(table, &draw, &value) || noise_decide_quickly(table->quick, block[5], &value))
            return value;
        word = block[5];
    }
}

template <enum sg_noise_words_kind KIND>
SG_DEVICE void make_words(const struct noise_words *from, uint64_t block, uint64_t *words)
{
    uint64_t word[8];
    if (KIND == SG_NOISE_WORDS_CHACHA20)
        chacha_block(&from->first, block, 0, word);
    else
        philox_words(from->seed, block, word);
    SG_UNROLL
    for (int k = 0; k < 8; k++)
        words[PLACE(threadIdx.x * 8) + k] = word[k];
}

/* Adds what the words of the values start .. start + TILE decide; the others go into the list. */
SG_DEVICE void add_tile(const struct noise_words *from, const struct sg_noise_table *table, const uint32_t *quick,
                        const uint64_t *words, uint64_t start, uint64_t first, uint64_t end, int64_t *sum,
                        struct open_value *open, int *n_open)
{
    for (int i = threadIdx.x; i < TILE; i += THREADS) {
        const uint64_t index = start + (uint64_t)i, word = words[PLACE(i)];
        int64_t value = 0;
        if (index < first || index >= end)
            continue;
        if (!noise_decide_quickly(quick, word, &value)) {
            const int at = atomicAdd(n_open, 1);
            value = 0;
            if (at < OPEN_MAX)
                open[at].index = index, open[at].word = word;
            else
                value = decide_slowly(table, &from->further, index, word);
        }
        if (value != 0)
            sum[index - first] += value;
    }
}

template <enum sg_noise_words_kind KIND>
SG_KERNEL(sg_k_gaussian_grid)
(struct noise_words from, const struct sg_noise_table *table, uint64_t first, int64_t n, int tiles, int64_t *sum)
{
    SG_SHARED(uint32_t, quick, SG_NOISE_CELLS);
    SG_SHARED(uint64_t, words, PLACE(TILE));
    SG_SHARED(struct open_value, open, OPEN_MAX);
    SG_SHARED(int, n_open, 1);
    const uint64_t end = first + (uint64_t)n;
    uint64_t start = first / 8 * 8 + (uint64_t)blockIdx.x * (unsigned)tiles * TILE;
    for (int i = threadIdx.x; i < SG_NOISE_CELLS; i += THREADS)
        quick[i] = table->quick[i];
    if (threadIdx.x == 0)
        *n_open = 0;
    for (int tile = 0; tile < tiles && start < end; tile++, start += TILE) {
        make_words<KIND>(&from, start / 8 + threadIdx.x, words);
        __syncthreads();
        add_tile(&from, table, quick, words, start, first, end, sum, open, n_open);
        __syncthreads();
    }
    __syncthreads();
    const int waiting = *n_open < OPEN_MAX ? *n_open : OPEN_MAX;
    for (int i = threadIdx.x; i < waiting; i += THREADS)
        sum[open[i].index - first] += decide_slowly(table, &from.further, open[i].index, open[i].word);
    __syncthreads();
    volatile uint64_t *wiped = words;
    for (int i = threadIdx.x; i < PLACE(TILE); i += THREADS)
        wiped[i] = 0;
    for (int i = threadIdx.x; i < OPEN_MAX; i += THREADS)
        ((volatile struct open_value *)open)[i].word = 0;
}

static struct noise_key key_of(const uint8_t bytes[32])
{
    struct noise_key key;
    for (int i = 0; i < 8; i++)
        key.word[i] = (uint32_t)bytes[4 * i] | (uint32_t)bytes[4 * i + 1] << 8 | (uint32_t)bytes[4 * i + 2] << 16 |
                      (uint32_t)bytes[4 * i + 3] << 24;
    return key;
}

/* The library's stores to memory that dies are dropped by compilers, so these are volatile. */
static void wipe(struct noise_words *words)
{
    volatile unsigned char *at = (volatile unsigned char *)words;
    for (size_t i = 0; i < sizeof *words; i++)
        at[i] = 0;
}

static void add(enum sg_noise_words_kind kind, const struct sg_noise_keys *keys, const void *table, uint64_t first,
                int64_t n, int64_t *sum)
{
    assert(n >= 0 && first < (uint64_t)1 << 62);
    if (n == 0)
        return;
    struct noise_words from = {key_of(keys->first), key_of(keys->further), 0};
    for (int i = 0; i < 8; i++)
        from.seed = from.seed << 8 | keys->first[i];
    const int64_t n_tiles = (n + (int64_t)(first % 8) + TILE - 1) / TILE, wanted = n_tiles / 1024 + 1;
    const int tiles = (int)(wanted < TILES_MAX ? wanted : TILES_MAX), blocks = sg_blocks(n_tiles, tiles);
    const struct sg_noise_table *at = (const struct sg_noise_table *)table;
    if (kind == SG_NOISE_WORDS_CHACHA20)
        SG_LAUNCH(sg_k_gaussian_grid<SG_NOISE_WORDS_CHACHA20>, blocks, THREADS, 0, from, at, first, n, tiles, sum);
    else
        SG_LAUNCH(sg_k_gaussian_grid<SG_NOISE_WORDS_PHILOX>, blocks, THREADS, 0, from, at, first, n, tiles, sum);
    wipe(&from);
}

const struct sg_device_noise *sg_cuda_noise(void)
{
    static const struct sg_device_noise noise = {sizeof(struct sg_noise_table), add};
    return &noise;
}
