#!/usr/bin/env python3
"""Writes src/data/tokenizer_unicode.c from the `tokenizers` library: what it takes each character for.
usage: tokenizer_tables.py OUT     (needs tokenizers 0.23 and libutf8proc 2.8)
The class of a character is asked of the library, one character at a time; nothing is copied from a table of its sources."""
import ctypes
import sys

from tokenizers import normalizers, pre_tokenizers

DROPPED, SPACE, PUNCTUATION, MARK, IDEOGRAPH, INERT = 1, 2, 4, 8, 16, 32


def bert(**on):
    steps = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return normalizers.BertNormalizer(**{**steps, **on}).normalize_str


clean, cjk, strip, lower = bert(clean_text=True), bert(handle_chinese_chars=True), bert(strip_accents=True), bert(lowercase=True)
nfd = normalizers.NFD().normalize_str
words = pre_tokenizers.BertPreTokenizer().pre_tokenize_str


class Property(ctypes.Structure):
    _fields_ = [('category', ctypes.c_int16), ('combining_class', ctypes.c_int16)]


utf8proc = ctypes.CDLL('libutf8proc.so.2')
utf8proc.utf8proc_get_property.restype = ctypes.POINTER(Property)
utf8proc.utf8proc_tolower.restype = ctypes.c_int32


def moves(c):
    """Whether the library gives the character a combining class: it changes places with one of the lowest or highest."""
    return nfd(c + '\u0334') == '\u0334' + c or nfd('\u0345' + c) == c + '\u0345'


def is_composed(code):
    buffer, boundary = (ctypes.c_int32 * 16)(), ctypes.c_int(0)
    n = utf8proc.utf8proc_decompose_char(code, buffer, 16, 1 << 4, ctypes.byref(boundary))
    return n != 1 or buffer[0] != code


def classes(code):
    c, result = chr(code), 0
    cleaned = clean(c)
    if cleaned == '':
        return DROPPED
    if cleaned == ' ':
        return SPACE
    if len(words('a' + c + 'b')) == 3:
        result |= PUNCTUATION
    if cjk(c) != c:
        result |= IDEOGRAPH
    if nfd(c) == c:
        if strip(c) == '':
            result |= MARK
        if is_composed(code) or (utf8proc.utf8proc_get_property(code).contents.combining_class and not moves(c) and
                                 c not in '\u0334\u0345'):
            result |= INERT
    return result


def lower_difference(code):
    got = lower(chr(code))
    return ord(got) - code if len(got) == 1 and ord(got) != utf8proc.utf8proc_tolower(code) else 0


def ranges(function):
    result = []
    for code in range(0x80, 0x110000):
        value = 0 if 0xd800 <= code < 0xe000 else function(code)
        if result and result[-1][1] == code - 1 and result[-1][2] == value:
            result[-1][1] = code
        else:
            result.append([code, code, value])
    return [r for r in result if r[2]]


def table(rows, per_line):
    cells = ['{0x%x, 0x%x, %d}' % tuple(r) for r in rows]
    return ''.join('    %s,\n' % ', '.join(cells[i:i + per_line]) for i in range(0, len(cells), per_line))


with open(sys.argv[1], 'w') as out:
    out.write('''/* Made by tools/tokenizer_tables.py; characters above U+007F. */
#include "tokenizer_unicode.h"

/* clang-format off */
const struct character_range character_ranges[] = {
%s};
const size_t n_character_ranges = sizeof character_ranges / sizeof *character_ranges;

const struct lower_range lower_ranges[] = {
%s};
const size_t n_lower_ranges = sizeof lower_ranges / sizeof *lower_ranges;
''' % (table(ranges(classes), 5), table(ranges(lower_difference), 5)))
