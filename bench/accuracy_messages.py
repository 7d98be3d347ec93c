#!/usr/bin/env python3
"""Accuracy of the messages example on BANKING77's official test, over fresh run secrets.

usage: bench/accuracy_messages.py BASE_ENCODER [--secrets N] [--epsilons 1,3,8] [--sealgrad PROGRAM] [--workers N]

BASE_ENCODER is the folder that examples/bank_messages/base_encoder.py fills. Settings are those of examples/bank_messages/run.sh, found
by 108 trials inside the training file (five splits, four fifths trained on, one fifth measured; the test file was not looked at).
Data: ../shared/data/banking77, or the folder that SEALGRAD_SHARED names. One line a run, then mean and standard error."""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
EXAMPLE = os.path.join(ROOT, 'examples', 'bank_messages')
DATA = os.path.join(os.environ.get('SEALGRAD_SHARED', os.path.join(ROOT, '..', 'shared')), 'data', 'banking77')


def settings():
    """{epsilon: (steps, clip, rate, momentum)} as run.sh has them."""
    with open(os.path.join(EXAMPLE, 'run.sh'), encoding='utf-8') as f:
        line = next(line for line in f if line.startswith('for setting in '))
    return {s.split()[0]: s.split()[1:] for s in re.findall('"([^"]+)"', line)}


def main():
    p = argparse.ArgumentParser()
    p.add_argument('base')
    p.add_argument('--secrets', type=int, default=5)
    p.add_argument('--epsilons', default='1,3,8')
    p.add_argument('--sealgrad', default=os.path.join(ROOT, 'build', 'src', 'cli', 'sealgrad'))
    p.add_argument('--workers', default='1')
    args = p.parse_args()
    with open(os.path.join(EXAMPLE, 'messages.yaml'), encoding='utf-8') as f:
        template = f.read()
    with tempfile.TemporaryDirectory() as folder:
        os.symlink(os.path.realpath(args.base), os.path.join(folder, 'base'))
        subprocess.run([sys.executable, os.path.join(EXAMPLE, 'join_splits.py'), os.path.join(DATA, 'train.csv'),
                        os.path.join(DATA, 'test.csv'), os.path.join(folder, 'messages.csv')], check=True)
        with open(os.path.join(folder, 'schema.yaml'), 'w', encoding='utf-8') as f:
            subprocess.run([sys.executable, os.path.join(EXAMPLE, 'schema.py'), os.path.join(DATA, 'categories.json')], stdout=f,
                           check=True)
        for epsilon in args.epsilons.split(','):
            steps, clip, rate, momentum = settings()[epsilon]
            text = template.replace('sample_rate: 1 ', 'population_size: 10003\n  sample_rate: 1 ')
            for name, value in dict(EPSILON=epsilon, STEPS=steps, CLIP=clip, LEARNING_RATE=rate, MOMENTUM=momentum).items():
                text = text.replace(': ' + name, ': ' + value)
            config = os.path.join(folder, 'messages.yaml')
            with open(config, 'w', encoding='utf-8') as f:
                f.write(text)
            values = []
            for i in range(args.secrets):
                out = subprocess.run([args.sealgrad, 'train', config, '--no-ledger', '--out', os.path.join(folder, 'model'), '--json',
                                      '--quiet', '--workers', args.workers], capture_output=True, text=True)
                if out.returncode:
                    sys.exit(out.stderr)
                run = json.loads(out.stdout)
                values.append(run['metrics']['test']['accuracy'])
                print(f'epsilon {run["epsilon"]:.6f} delta {run["delta"]:g} secret {i + 1}: accuracy {values[-1]:.4f} '
                      f'macro F1 {run["metrics"]["test"]["macro_f1"]:.4f}', flush=True)
            error = statistics.stdev(values) / len(values) ** .5 if len(values) > 1 else float('nan')
            print(f'epsilon {epsilon}: mean {statistics.mean(values):.4f}, standard error {error:.4f}', flush=True)


if __name__ == '__main__':
    main()
