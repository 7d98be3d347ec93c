#!/usr/bin/env python3
"""The data commitment of src/data/commitment.h once more, from the definition and with nothing but the standard library.
Prints the golden value of tests/data/test_units.c (300 records, so that salts are drawn more than once)."""
import hashlib, hmac, struct


def chacha20(key, blocks):
    """ChaCha20 with a 64-bit block counter from 0 and nonce 0 (Bernstein 2008)."""
    out = b''
    for counter in range(blocks):
        start = [0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, *struct.unpack('<8I', key), counter & 0xffffffff, counter >> 32, 0, 0]
        s = start[:]
        def quarter(a, b, c, d):
            for x, y, z, r in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                s[x] = (s[x] + s[y]) & 0xffffffff
                v = s[z] ^ s[x]
                s[z] = (v << r | v >> (32 - r)) & 0xffffffff
        for _ in range(10):
            for q in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15), (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
                quarter(*q)
        out += struct.pack('<16I', *((a + b) & 0xffffffff for a, b in zip(s, start)))
    return out


def root(leaves):
    """RFC 6962, section 2.1."""
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return hashlib.sha256(b'\1' + root(leaves[:k]) + root(leaves[k:])).digest()


def commitment(key, schema, records, split_digest=bytes(32)):
    salts = chacha20(hmac.digest(key, b'sealgrad record salt', 'sha256'), len(records) // 4 + 1)
    leaves = [hashlib.sha256(b'\0' + salts[16 * i:16 * i + 16] + b''.join(f + b'\0' for f in r)).digest() for i, r in enumerate(records)]
    text = b'sealgrad data commitment' + root(leaves) + hashlib.sha256(schema).digest() + split_digest
    return hmac.digest(key, text, 'sha256')


SCHEMA = b'''layout: wide
unit: ID
columns:
  - {name: ID, role: id}
  - {name: A, role: feature, type: number, bounds: [0, 1000]}
  - {name: Y, role: label, positive: [1], negative: [0]}
split: {fractions: {train: 0.6, validation: 0.1, test: 0.3}, seed: 5}
'''
RECORDS = [[b'ID', b'A', b'Y']] + [[b'c%d' % i, b'%d' % (i % 7), b'%d' % (i % 2)] for i in range(299)]
if __name__ == '__main__':
    print(commitment(b'a key of thirty-two bytes ......', SCHEMA, RECORDS).hex())
