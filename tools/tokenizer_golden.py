#!/usr/bin/env python3
"""Writes tests/data/tokenizer/vocab.txt, a small vocabulary, and golden.txt beside it, what the `tokenizers` library (0.23)
makes of texts with it. usage: tokenizer_golden.py FOLDER

golden.txt:  words SETTINGS SHA-256     of the words of two texts for every character c in turn, "a" + c + "b", and c among
                                        marks that keep their place by combining class (MARKED); each word ended by a line
                                        feed, each text by one more
             ids SETTINGS TEXT ID...    the text in hexadecimal"""
import hashlib
import random
import sys

from tokenizers import BertWordPieceTokenizer, normalizers, pre_tokenizers

folder = sys.argv[1]
SETTINGS = {'uncased': (True, True), 'cased': (False, False), 'lower-only': (True, False)}
MARKED = 'e\u302e%s\U0001d165\u1b44%sx'
SPECIALS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
WORDS = '''my your card the a is not has still account bank transfer top up pin fee rate exchange cash atm lost stolen arrived when how
i can do what why it in to of for with refund pending balance verify identity cafe café naive naïve strasse straße istanbul
İstanbul ΑΒΓ αβγ σς русский 東 京 銀行 한국 ﬁ ½ € £ don t 2 10 100'''.split()
PIECES = '##s ##ed ##ing ##er ##ly ##fer ##ar ##rd ##e ##é ##́ ##̇ ##̈ ##á ##0 ##00 ##ß ##京 ##α ##ский ##国 ##ive ##ve'.split()
LETTERS = 'abcdefghiklmnoprstuvwyABCEIT0123456789.,?!-\'"()[]#&@/%+=:;'


def vocabulary():
    tokens = SPECIALS + ['[unused0]', '##', '#'] + WORDS + PIECES + [c for c in LETTERS] + ['##' + c for c in LETTERS if c.isalnum() and c not in 'qxz']
    return list(dict.fromkeys(tokens))


def texts():
    draw = random.Random(23)
    fixed = ['', ' ', 'My card still has not arrived.', 'cards carding CARDS card\u0301s', 'caf\u00e9 cafe\u0301 CAF\u00c9', '\u0130stanbul istanbul \u0130',
             'stra\u00dfe STRASSE', 'a' * 100, 'a' * 101, '\u00e9' * 100, '\u00e9' * 101, 'e\u0301' * 51, '\u6771\u4eac\u9280\u884c \u6771a\u4eac', '\ud55c\uad6d \u1112\u1161\u11ab',
             'a\0b\u200bc\u00add\ufffde', 'a\u00a0b\u3000c\u2028d\te\nf\r\ng\u000bh', 'a[SEP]b [MASK]s [mask] [[CLS] [CLS', "don't \u2018don\u2019t\u2019 10.00% \u00bd \u20ac10 \u00a3100",
             '##s ## #s', '\ufb01 \u212b \u2126 \u00c5', 'a\u0327\u0301\u0323 a\u0323\u0301\u0327 \u0301a', '\U0001d165\u0301\U0001d16d a\U0001f600b', '\U000111c9 \u1c89 \ua7cb \U00016ea0',
             '\u302e\u0334\u0301\u302e a\u302e\u1bf2b', '\u0378 \ue000 \U000e0001 \U0010ffff a\U000f0000b', 'q xq cardq', '\u3400\u9fff\uf900\U00020000\U0002b820\U0002b920\U0002f800']
    for start in list(range(0, 0x3000, 0x80)) + list(range(0x3000, 0x20000, 0x400)) + [0x20000, 0x2f800, 0xe0000, 0xf0000]:
        fixed.append('a' + ''.join(chr(c) for c in range(start, start + 8) if not 0xd800 <= c < 0xe000) + 'b')
    for _ in range(300):
        parts = []
        for _ in range(draw.randrange(1, 12)):
            parts.append(draw.choice([draw.choice(WORDS), draw.choice(PIECES)[2:], draw.choice(LETTERS), draw.choice(SPECIALS),
                                      chr(draw.choice([draw.randrange(0x20, 0xd800), draw.randrange(0xe000, 0x110000)])), ' ']))
        fixed.append(''.join(parts))
    return fixed


tokens = vocabulary()
with open(folder + '/vocab.txt', 'w', encoding='utf-8', newline='\n') as out:
    out.write(''.join(t + '\n' for t in tokens))
with open(folder + '/golden.txt', 'w', encoding='ascii') as out:
    for name, (lower, strip) in SETTINGS.items():
        normal = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=strip, lowercase=lower)
        split, digest = pre_tokenizers.BertPreTokenizer(), hashlib.sha256()
        for c in range(0x110000):
            if not 0xd800 <= c < 0xe000:
                for text in 'a' + chr(c) + 'b', MARKED % (chr(c), chr(c)):
                    words = split.pre_tokenize_str(normal.normalize_str(text))
                    digest.update((''.join(w + '\n' for w, _ in words) + '\n').encode())
        out.write(f'words {name} {digest.hexdigest()}\n')
        library = BertWordPieceTokenizer({t: i for i, t in enumerate(tokens)}, lowercase=lower, strip_accents=strip)
        for text in texts():
            ids = library.encode(text).ids
            out.write(' '.join(['ids', name, text.encode().hex() or '-', *map(str, ids)]) + '\n')
