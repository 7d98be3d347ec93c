#!/usr/bin/env python3
"""A second implementation of the grid noise, from docs/privacy-noise.md and not from the C code: exact integers and rationals
of Python, ChaCha20 and Philox4x32-10 written out. It prints the golden values that test_noise.c compares.
Run: python3 noise_golden.py"""
import hashlib
import hmac
import struct
from fractions import Fraction

B, G, F, W = 12, 8, 24, 128
CELLS = 1 << B


def exp_minus(x, bits):
    """2^bits exp(-x) for a rational 0 <= x, nearly (64 guard bits)."""
    one = 1 << (bits + 64)
    x = x.numerator * one // x.denominator
    halvings = max(0, x.bit_length() - (bits + 64) + 8)
    x >>= halvings
    total, term, n = one, one, 0
    while term:
        n += 1
        term = term * x // one // n
        total += -term if n % 2 else term
    for _ in range(halvings):
        total = total * total // one
    return total >> 64


def build_table():
    precision = 400
    density = [1 << precision]
    for c in range(1, CELLS):
        edge = Fraction(c) - Fraction(1, 1 << (F + 1))
        density.append(exp_minus(edge * edge / (1 << (2 * G + 1)), precision))
    total = sum(density)
    weight = [((d << (W + 1)) + total) // (2 * total) for d in density]
    weight[0] = (1 << W) - sum(weight[1:])
    room = 1 << (W - B)
    own, alias = [0] * CELLS, list(range(CELLS))
    small = [c for c in reversed(range(CELLS)) if weight[c] < room]
    large = [c for c in range(CELLS) if weight[c] >= room]
    while small:
        poor, rich = small.pop(), large[0]
        own[poor], alias[poor] = weight[poor], rich
        weight[rich] -= room - weight[poor]
        if weight[rich] < room:
            small.append(large.pop(0))
    assert all(weight[c] == room for c in large)
    return own, alias


def rotate(x, n):
    return ((x << n) | (x >> (32 - n))) & 0xffffffff


def chacha20_block(key, counter, nonce):
    state = [0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, *struct.unpack('<8I', key), counter & 0xffffffff,
             counter >> 32, nonce & 0xffffffff, nonce >> 32]
    x = list(state)
    for i in range(10):
        for a, b, c, d in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                           (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
            for p, q, r, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                x[p] = (x[p] + x[q]) & 0xffffffff
                x[r] = rotate(x[r] ^ x[p], n)
    return struct.unpack('<8Q', struct.pack('<16I', *((s + t) & 0xffffffff for s, t in zip(state, x))))


def philox(seed, position):
    q = position // 4
    c, k0, k1 = [(q >> 16) & 0xffffffff, q >> 48, q & 0xffff, 0], seed & 0xffffffff, seed >> 32
    for _ in range(10):
        p, r = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(r >> 32) ^ c[1] ^ k0, r & 0xffffffff, (p >> 32) ^ c[3] ^ k1, p & 0xffffffff]
        k0, k1 = (k0 + 0x9E3779B9) & 0xffffffff, (k1 + 0xBB67AE85) & 0xffffffff
    return c[position % 4]


def reject(t):
    """floor(2^200 (1 - exp(-t))): the borders of the golden values are never as near as 2^-120."""
    return (1 << 200) - exp_minus(t, 200)


def value(own, alias, first_word, key, index):
    word, attempt = first_word, 0
    while True:
        more = chacha20_block(key, attempt, index)
        column, offset, negative = word & 4095, (word >> 32) & 0xffffff, word >> 63
        kept = (((word >> 12) & 8191) << 103) | ((more[0] << 64 | more[1]) >> 25)
        accept = ((((word >> 56) & 127) << 7 | (word >> 25) & 127) << 114) | ((more[2] << 64 | more[3]) >> 14)
        cell = column if kept < own[column] else alias[column]
        j = Fraction(offset) + Fraction(more[4] | 1, 1 << 64)
        y = Fraction(cell << F) + j - Fraction(1, 2)
        edge = Fraction(cell << F) - Fraction(1, 2) if cell else Fraction(0)
        t = (y * y - edge * edge) / (1 << (2 * (F + G) + 1))
        magnitude = cell << F | offset
        if accept << 72 >= reject(t) and not (negative and magnitude == 0):
            return -magnitude if negative else magnitude
        word, attempt = more[5], attempt + 1


def step_key(key, purpose, step):
    return hmac.new(key, purpose + struct.pack('>Q', step), hashlib.sha256).digest()


def main():
    own, alias = build_table()
    key, step, first, n = bytes(range(32)), 7, (1 << 35) - 10001, 20000
    words_key = step_key(key, b'noise first words of step', step)
    more_key = step_key(key, b'noise further words of step', step)
    seed = struct.unpack('>Q', words_key[:8])[0]
    sources = {
        'chacha20': lambda i: chacha20_block(words_key, i // 8, 0)[i % 8],
        'curand': lambda i: philox(seed, 2 * i) | philox(seed, 2 * i + 1) << 32,
    }
    for name, word in sources.items():
        values = [value(own, alias, word(i), more_key, i) for i in range(first, first + n)]
        digest = hashlib.sha256(struct.pack('<%dq' % n, *values)).hexdigest()
        print(name, values[:4], digest)


if __name__ == '__main__':
    main()
