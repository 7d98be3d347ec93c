#!/usr/bin/env python3
"""Registers, spills and shared memory of every kernel, as nvcc reports them: no card is needed.

cuda_kernels.py [OUT.md]: compiles every cuda/*.cu for sm_80 and sm_90 with the build's own flags and writes the table.
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NVCC = shutil.which('nvcc') or '/usr/local/cuda/bin/nvcc'
FLAGS = ['-std=c++17', '-O3', '--fmad=false', '--prec-div=true', '--prec-sqrt=true', '--ftz=false', '-Xptxas', '-v']
INCLUDES = ['cuda', 'cuda/include', 'src/ops/include', 'src/base/include', 'privacy/mechanism']
CARDS = ['80', '90']


def compile_one(path, card, folder):
    command = [NVCC, *FLAGS, '-gencode', 'arch=compute_%s,code=sm_%s' % (card, card), '-cubin']
    command += ['-I' + os.path.join(ROOT, i) for i in INCLUDES] + [path, '-o', os.path.join(folder, 'out.cubin')]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr


def number(pattern, text):
    found = re.search(pattern, text)
    return int(found.group(1)) if found else 0


def kernels_in(report):
    """What ptxas says of each kernel: {mangled name: (registers, stack, spilled, shared)}"""
    out = {}
    for part in report.split('Compiling entry function ')[1:]:
        name = re.match("'([^']+)'", part).group(1)
        out[name] = (number(r'Used (\d+) registers', part), number(r'(\d+) bytes stack frame', part),
                     number(r'(\d+) bytes spill stores', part) + number(r'(\d+) bytes spill loads', part),
                     number(r'(\d+) bytes smem', part))
    return out


def plain_name(mangled):
    text = subprocess.run(['c++filt', mangled], capture_output=True, text=True, check=True).stdout.strip()
    return re.sub(r'^void ', '', text.split('(')[0] if '<' not in text else re.sub(r'\(.*', '', text))


def main():
    table = {}
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(glob.glob(os.path.join(ROOT, 'cuda', '*.cu'))):
            for card in CARDS:
                for name, figures in kernels_in(compile_one(path, card, folder)).items():
                    table.setdefault((os.path.basename(path), plain_name(name)), {})[card] = figures
    version = subprocess.run([NVCC, '--version'], capture_output=True, text=True, check=True).stdout
    spilled = sum(1 for cards in table.values() if any(f[2] or f[1] for f in cards.values()))
    lines = ['# Kernels of the CUDA backend', '',
             'Written by `bench/cuda_kernels.py` from what ptxas (%s) says; no card was needed, nothing here is a time.'
             % re.search(r'release (\S+),', version).group(1), '',
             '%d kernels, %d of them with spills or a stack frame. Shared memory is the static part, in bytes.'
             % (len(table), spilled), '',
             '| file | kernel | sm_80: registers | stack | spills | shared | sm_90: registers | stack | spills | shared |',
             '| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |']
    for (path, name), cards in sorted(table.items()):
        cells = [str(f) for card in CARDS for f in cards.get(card, ('', '', '', ''))]
        lines.append('| %s | %s | %s |' % (path, name, ' | '.join(cells)))
    text = '\n'.join(lines) + '\n'
    if len(sys.argv) > 1:
        with open(sys.argv[1], 'w') as file:
            file.write(text)
    else:
        print(text, end='')


main()
