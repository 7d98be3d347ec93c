/* The low-level calls: EVP looks its algorithm up for every digest, which costs more than the 65 bytes of a node. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/merkle.h"

#include <openssl/sha.h>
#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"

void sg_merkle_leaf(const void *bytes, size_t n, uint8_t out[SG_DIGEST_BYTES])
{
    SHA256_CTX state;
    SHA256_Init(&state);
    SHA256_Update(&state, "\0", 1);
    SHA256_Update(&state, bytes, n);
    SHA256_Final(out, &state);
}

void sg_merkle_node(const uint8_t left[SG_DIGEST_BYTES], const uint8_t right[SG_DIGEST_BYTES],
                    uint8_t out[SG_DIGEST_BYTES])
{
    uint8_t bytes[1 + 2 * SG_DIGEST_BYTES] = {1};
    memcpy(bytes + 1, left, SG_DIGEST_BYTES);
    memcpy(bytes + 1 + SG_DIGEST_BYTES, right, SG_DIGEST_BYTES);
    SHA256_CTX state;
    SHA256_Init(&state);
    SHA256_Update(&state, bytes, sizeof bytes);
    SHA256_Final(out, &state);
}

void sg_merkle_append(struct sg_merkle *tree, const uint8_t leaf_hash[SG_DIGEST_BYTES])
{
    uint8_t hash[SG_DIGEST_BYTES];
    memcpy(hash, leaf_hash, sizeof hash);
    int bit = 0;
    for (; tree->size >> bit & 1; bit++)
        sg_merkle_node(tree->subtree[bit], hash, hash);
    memcpy(tree->subtree[bit], hash, sizeof hash);
    tree->size++;
}

void sg_merkle_root(const struct sg_merkle *tree, uint8_t out[SG_DIGEST_BYTES])
{
    if (tree->size == 0) {
        sg_sha256("", 0, out);
        return;
    }
    bool started = false;
    for (int bit = 0; bit < 64; bit++) {
        if (!(tree->size >> bit & 1))
            continue;
        if (started)
            sg_merkle_node(tree->subtree[bit], out, out);
        else
            memcpy(out, tree->subtree[bit], SG_DIGEST_BYTES);
        started = true;
    }
}
