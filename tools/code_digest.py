#!/usr/bin/env python3
"""Writes a C header with the SHA-256 of the source tree: what is compiled in as the identity of the code.

usage: code_digest.py SOURCE_ROOT OUT VERSION
The digest is over the sorted list "sha256  path\\n" of every .c, .h, .cu, .cuh and meson file below src, privacy, audit, cuda
and of the meson files at the top: anyone can recompute it with sha256sum."""
import hashlib, os, sys

root, out, version = sys.argv[1:4]
names = ['meson.build', 'meson_options.txt']
for top in ('src', 'privacy', 'audit', 'cuda'):
    for folder, _, files in os.walk(os.path.join(root, top)):
        names += [os.path.relpath(os.path.join(folder, f), root) for f in files
                  if f.endswith(('.c', '.h', '.cu', '.cuh', '.inc')) or f == 'meson.build']
lines = ''.join('%s  %s\n' % (hashlib.sha256(open(os.path.join(root, n), 'rb').read()).hexdigest(), n) for n in sorted(names))
digest = hashlib.sha256(lines.encode()).hexdigest()
text = ('/* Made by tools/code_digest.py. */\n#ifndef SG_CODE_DIGEST_H\n#define SG_CODE_DIGEST_H\n'
        '#define SG_VERSION "%s"\n#define SG_CODE_DIGEST "%s"\n#endif\n' % (version, digest))
if not os.path.exists(out) or open(out).read() != text:
    open(out, 'w').write(text)
