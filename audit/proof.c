#include "audit/proof.h"

#include <assert.h>
#include <string.h>

/* The largest power of two below n >= 2, as an exponent. */
static int split_level(uint64_t n)
{
    return 63 - __builtin_clzll(n - 1);
}

static enum sg_status range_root(sg_node_reader *node, void *context, uint64_t begin, uint64_t n,
                                 uint8_t out[SG_DIGEST_BYTES])
{
    if ((n & (n - 1)) == 0)
        return node(context, __builtin_ctzll(n), begin >> __builtin_ctzll(n), out);
    int level = split_level(n);
    uint64_t left = (uint64_t)1 << level;
    uint8_t left_hash[SG_DIGEST_BYTES], right_hash[SG_DIGEST_BYTES];
    SG_TRY(node(context, level, begin >> level, left_hash));
    SG_TRY(range_root(node, context, begin + left, n - left, right_hash));
    sg_merkle_node(left_hash, right_hash, out);
    return SG_OK;
}

enum sg_status sg_proof_root(sg_node_reader *node, void *context, uint64_t size, uint8_t out[SG_DIGEST_BYTES])
{
    if (size == 0) {
        sg_sha256("", 0, out);
        return SG_OK;
    }
    return range_root(node, context, 0, size, out);
}

enum sg_status sg_proof_inclusion(sg_node_reader *node, void *context, uint64_t index, uint64_t size,
                                  struct sg_proof *out)
{
    assert(index < size);
    uint64_t begin[SG_PROOF_MAX], count[SG_PROOF_MAX], at = 0, n = size;
    size_t depth = 0;
    while (n > 1) { /* siblings from the root down; the proof lists them from the leaf up */
        uint64_t left = (uint64_t)1 << split_level(n);
        bool go_left = index - at < left;
        begin[depth] = go_left ? at + left : at;
        count[depth++] = go_left ? n - left : left;
        at = go_left ? at : at + left;
        n = go_left ? left : n - left;
    }
    out->n = depth;
    for (size_t i = 0; i < depth; i++)
        SG_TRY(range_root(node, context, begin[depth - 1 - i], count[depth - 1 - i], out->hash[i]));
    return SG_OK;
}

enum sg_status sg_proof_consistency(sg_node_reader *node, void *context, uint64_t old_size, uint64_t size,
                                    struct sg_proof *out)
{
    assert(old_size > 0 && old_size <= size);
    uint64_t begin[SG_PROOF_MAX], count[SG_PROOF_MAX], at = 0, n = size, m = old_size;
    size_t depth = 0;
    while (m != n) { /* RFC 9162 2.1.4.1, SUBPROOF(m, D[at : at + n], at == 0) */
        uint64_t left = (uint64_t)1 << split_level(n);
        bool go_left = m <= left;
        begin[depth] = go_left ? at + left : at;
        count[depth++] = go_left ? n - left : left;
        if (!go_left) {
            at += left;
            m -= left;
        }
        n = go_left ? left : n - left;
    }
    out->n = 0;
    if (depth > 0 && at != 0) /* the old tree is not itself a node on this path: its last part comes first */
        SG_TRY(range_root(node, context, at, n, out->hash[out->n++]));
    for (size_t i = 0; i < depth; i++)
        SG_TRY(range_root(node, context, begin[depth - 1 - i], count[depth - 1 - i], out->hash[out->n++]));
    return SG_OK;
}

bool sg_proof_check_inclusion(const uint8_t leaf_hash[SG_DIGEST_BYTES], uint64_t index, uint64_t size,
                              const uint8_t root[SG_DIGEST_BYTES], const struct sg_proof *proof)
{
    if (index >= size || proof->n > SG_PROOF_MAX)
        return false;
    uint64_t fn = index, sn = size - 1;
    uint8_t hash[SG_DIGEST_BYTES];
    memcpy(hash, leaf_hash, sizeof hash);
    for (size_t i = 0; i < proof->n; i++) {
        if (sn == 0)
            return false;
        if (fn & 1 || fn == sn) {
            sg_merkle_node(proof->hash[i], hash, hash);
            for (; fn && !(fn & 1); fn >>= 1)
                sn >>= 1;
        } else {
            sg_merkle_node(hash, proof->hash[i], hash);
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 && memcmp(hash, root, SG_DIGEST_BYTES) == 0;
}

bool sg_proof_check_consistency(uint64_t old_size, const uint8_t old_root[SG_DIGEST_BYTES], uint64_t size,
                                const uint8_t root[SG_DIGEST_BYTES], const struct sg_proof *proof)
{
    if (old_size == 0 || old_size > size || proof->n > SG_PROOF_MAX)
        return false;
    if (old_size == size)
        return proof->n == 0 && memcmp(old_root, root, SG_DIGEST_BYTES) == 0;
    bool is_power = (old_size & (old_size - 1)) == 0;
    size_t i = is_power ? 0 : 1;
    if (proof->n < i || proof->n == 0)
        return false;
    uint64_t fn = old_size - 1, sn = size - 1;
    for (; fn & 1; fn >>= 1)
        sn >>= 1;
    uint8_t fr[SG_DIGEST_BYTES], sr[SG_DIGEST_BYTES];
    memcpy(fr, is_power ? old_root : proof->hash[0], sizeof fr);
    memcpy(sr, fr, sizeof sr);
    for (; i < proof->n; i++) {
        if (sn == 0)
            return false;
        if (fn & 1 || fn == sn) {
            sg_merkle_node(proof->hash[i], fr, fr);
            sg_merkle_node(proof->hash[i], sr, sr);
            for (; fn && !(fn & 1); fn >>= 1)
                sn >>= 1;
        } else {
            sg_merkle_node(sr, proof->hash[i], sr);
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 && memcmp(fr, old_root, SG_DIGEST_BYTES) == 0 && memcmp(sr, root, SG_DIGEST_BYTES) == 0;
}
