"""Our tokenizer against the `tokenizers` library: ids and words of real messages, of every character, and of random strings.
usage: peers_tokenizer.py TOKENIZE_PROGRAM MODEL_FOLDER BANKING77_FOLDER [SEED]"""
import csv
import random
import subprocess
import sys
import tempfile

import tokenizers
from tokenizers import BertWordPieceTokenizer, Tokenizer, normalizers, pre_tokenizers

program, model, messages_folder = sys.argv[1:4]
seed = int(sys.argv[4]) if len(sys.argv) > 4 else random.SystemRandom().randrange(2**32)
draw = random.Random(seed)
SETTINGS = {'uncased': (True, True), 'cased': (False, False), 'lower-only': (True, False)}
SPECIALS = ['[CLS]', '[SEP]', '[PAD]', '[UNK]', '[MASK]']


def ours(texts, settings, what):
    with tempfile.TemporaryFile('w+') as stdin:
        stdin.writelines(t.encode().hex() + '\n' for t in texts)
        stdin.seek(0)
        lines = subprocess.run([program, model, settings, what], stdin=stdin, capture_output=True, check=True, text=True).stdout
    return [line.split() for line in lines.split('\n')[:len(texts)]]


def library_ids(texts, settings):
    if settings == 'as-found':
        library = Tokenizer.from_file(model + '/tokenizer.json')
        library.no_truncation()
        library.no_padding()
    else:
        lower, strip = SETTINGS[settings]
        library = BertWordPieceTokenizer(model + '/vocab.txt', lowercase=lower, strip_accents=strip)
    return [[str(i) for i in e.ids] for e in library.encode_batch(texts)]


def library_words(texts, settings):
    lower, strip = SETTINGS[settings]
    normal = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=strip, lowercase=lower)
    split = pre_tokenizers.BertPreTokenizer()
    return [[w.encode().hex() if len(w) <= 100 else '-' for w, _ in split.pre_tokenize_str(normal.normalize_str(t))] for t in texts]


def compare(name, texts, settings, what):
    mine, theirs = ours(texts, settings, what), (library_ids if what == 'ids' else library_words)(texts, settings)
    assert len(mine) == len(theirs) == len(texts)
    wrong = [i for i in range(len(texts)) if mine[i] != theirs[i]]
    for i in wrong[:5]:
        print(f'{name}, {settings}: {ascii(texts[i])}\n  ours    {mine[i]}\n  library {theirs[i]}')
    if wrong:
        sys.exit(f'seed {seed}: {name}: {len(wrong)} of {len(texts)} differ ({settings})')
    return len(texts)


def characters():
    return [chr(c) for c in range(0x110000) if not 0xd800 <= c < 0xe000]


def any_character():
    while True: # each plane and the inhabited parts of the first one equally often
        top = draw.choice([0x80, 0x250, 0x3000, 0x10000, 0x20000, 0x110000])
        c = draw.randrange(top)
        if not 0xd800 <= c < 0xe000:
            return chr(c)


def random_text(words, marks):
    parts = []
    for _ in range(draw.randrange(1, 24)):
        kind = draw.randrange(12)
        if kind < 4:
            parts.append(draw.choice(words))
        elif kind < 7:
            parts.append(any_character())
        elif kind < 8:
            parts.append(''.join(draw.choice(marks) for _ in range(draw.randrange(1, 6))))
        elif kind < 9:
            parts.append(draw.choice(SPECIALS))
        elif kind < 10:
            parts.append(draw.choice('abzAZ09') * draw.choice([1, 2, 98, 99, 100, 101, 102]))
        else:
            parts.append(draw.choice([' ', '\t', '\n', '\r\n', '  ', '\u3000', '[', ']', "'", '##', '.', '\0', '\u200b']))
    return ''.join(parts)


def read_messages():
    texts = []
    for name in 'train.csv', 'test.csv':
        with open(f'{messages_folder}/{name}', newline='', encoding='utf-8') as file:
            texts += [row[0] for row in list(csv.reader(file))[1:]]
    return texts


messages = read_messages()
done = [compare('BANKING77', messages, s, 'ids') for s in ['as-found', *SETTINGS]][0]
everything = characters()
for settings in SETTINGS:
    compare('every character', ['a' + c + 'b' for c in everything], settings, 'words')
    compare('every character among marks', ['e\u302e' + c + '\U0001d165\u1b44' + c + 'x' for c in everything], settings, 'words')
    compare('every character', everything, settings, 'ids')
import unicodedata
marks = [c for c in everything if unicodedata.category(c) in ('Mn', 'Mc', 'Me', 'Cn') and ord(c) < 0x20000 and
         (unicodedata.combining(c) or draw.random() < .1)]
words = sorted({w for t in messages for w in t.split()})
strings = [random_text(words, marks) for _ in range(100000)]
for settings in SETTINGS:
    compare('random strings', strings, settings, 'ids')
    compare('random strings', [t for t in strings if '[' not in t], settings, 'words')
print(f'tokenizers {tokenizers.__version__}: the same ids and words for {done} messages, {len(everything)} characters and '
      f'{len(strings)} random strings (seed {seed})')
