#!/usr/bin/env python3
"""Test AUC on the UCI credit-card default book (30,000 customers, ../shared/data/taiwan-default) over fresh run secrets.

usage: bench/accuracy.py [--secrets N] [--rows NAME,...] [--no-ledger] [--sealgrad PROGRAM] [--out results.jsonl]

Every run trains on the 24,000 training customers of splits.csv and is judged on its 6,000 test customers. Each run has a
world of its own: new key, new ledger, the book registered anew (public for the runs without privacy, else with a limit of
just the run's epsilon and delta), a run secret from the operating system. --no-ledger leaves all that out.
The settings below were chosen by five-fold cross-validation inside the training customers, never by the test customers;
examples/credit_risk/credit.yaml, transformer.yaml and logistic.yaml hold the same ones. Plain Python, no packages."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHARED = os.environ.get('SEALGRAD_SHARED', os.path.join(ROOT, '..', 'shared'))
BOOK = os.path.join(SHARED, 'data', 'taiwan-default')
DELTA = 1e-5
POPULATION = 24000  # public: the size of the training part as published

SGD = {'expected_batch_size': 2048, 'steps': 200, 'optimizer': 'sgd', 'momentum': .9, 'schedule': 'linear', 'decay_start': .5,
       'average_decay': .97}
ADAM = {'expected_batch_size': 1024, 'steps': 600, 'optimizer': 'adam', 'learning_rate': .01, 'schedule': 'linear',
        'decay_start': .5, 'average_decay': .99}
TRANSFORMER = {'kind': 'tabular_transformer', 'width': 16, 'heads': 2, 'layers': 1, 'intermediate': 32, 'linear_path': False}
BILSTM = {'kind': 'bilstm_attention', 'hidden': 16, 'attention': 32, 'mlp': 0, 'linear_path': False}

ROWS = {  # asked: the mean test AUC below which the exit status is 1
    'bilstm': dict(asked=.782, model=BILSTM, training=ADAM),
    'bilstm-3': dict(asked=.772, epsilon=3, max_grad_norm=4, model=BILSTM, training={**SGD, 'learning_rate': .7}),
    'bilstm-1': dict(asked=.769, epsilon=1, max_grad_norm=2, model=BILSTM, training={**SGD, 'learning_rate': .5}),
    'transformer': dict(asked=.782, model=TRANSFORMER, training=ADAM),
    'transformer-3': dict(asked=.772, epsilon=3, max_grad_norm=4, model=TRANSFORMER, training={**SGD, 'learning_rate': .3}),
    'transformer-1': dict(asked=.769, epsilon=1, max_grad_norm=2, model=TRANSFORMER, training={**SGD, 'learning_rate': .4}),
    'logistic-1': dict(asked=.767, epsilon=1, max_grad_norm=4, model={'kind': 'logistic'}, training={**SGD, 'learning_rate': .125}),
}


def schema():
    """The example's schema without a validation part, so that all 24,000 customers train."""
    with open(os.path.join(ROOT, 'examples', 'credit_risk', 'taiwan.yaml')) as f:
        text = f.read()
    lines = [line for line in text.splitlines() if not line.strip().startswith(('validation_fraction', 'seed:'))]
    return '\n'.join(lines) + '\n'


def call(command):
    r = subprocess.run(command, capture_output=True, text=True)
    if r.returncode:
        sys.exit(f'{" ".join(command)}\nexit status {r.returncode}: {r.stderr.strip()}')
    return r.stdout


def train(sealgrad, row, with_ledger, folder):
    data = {'file': os.path.join(BOOK, 'UCI_Credit_Card.csv'), 'schema': 'schema.yaml'}
    register = [sealgrad, 'dataset', 'register', data['file'], '--schema', f'{folder}/schema.yaml', '--ledger', f'{folder}/ledger.db',
                '--key', f'{folder}/signing.key', '--name', 'credit', '--population', 'customers', '--population-size', str(POPULATION),
                '--quiet']
    if 'epsilon' in row:
        privacy = {'target_epsilon': row['epsilon'], 'target_delta': DELTA, 'max_grad_norm': row['max_grad_norm']}
        register += ['--epsilon-limit', str(row['epsilon']), '--delta-limit', str(DELTA)]
    else:
        privacy = 'none'
        register += ['--public']
    command = [sealgrad, 'train', f'{folder}/config.yaml', '--out', f'{folder}/model', '--quiet', '--json']
    population = {} if with_ledger else {'population_size': POPULATION}  # the ledger knows it
    if with_ledger:
        data['dataset'] = 'credit'
    with open(f'{folder}/schema.yaml', 'w') as f:
        f.write(schema())
    with open(f'{folder}/config.yaml', 'w') as f:  # JSON is YAML
        json.dump({'data': data, 'model': row['model'], 'privacy': privacy,
                   'training': {**row['training'], **population}}, f)
    if with_ledger:
        call([sealgrad, 'keygen', '--out', folder, '--no-passphrase'])
        call([sealgrad, 'ledger', 'init', f'{folder}/ledger.db', '--origin', 'bench.example/accuracy', '--key', f'{folder}/signing.key'])
        call(register)
        command += ['--ledger', f'{folder}/ledger.db', '--key', f'{folder}/signing.key']
    else:
        command += ['--no-ledger']
    start = time.time()
    result = json.loads(call(command))
    return result, time.time() - start


def main():
    p = argparse.ArgumentParser(description='Test AUC on the credit-card default book over fresh run secrets.')
    p.add_argument('--secrets', type=int, default=10)
    p.add_argument('--rows', default=','.join(ROWS))
    p.add_argument('--no-ledger', action='store_true')
    p.add_argument('--sealgrad', default=os.path.join(ROOT, 'build', 'src', 'cli', 'sealgrad'))
    p.add_argument('--out', help='append every run as one JSON line')
    args = p.parse_args()
    print('| row | epsilon | noise multiplier | mean test AUC | standard error | asked | KS | Brier | log loss | s a run | AUC of every run |\n'
          '|---|---|---|---|---|---|---|---|---|---|---|')
    failed = False
    for name in args.rows.split(','):
        row, runs, seconds = ROWS[name], [], []
        for i in range(args.secrets):
            with tempfile.TemporaryDirectory() as folder:
                result, s = train(args.sealgrad, row, not args.no_ledger, folder)
            runs.append(result['metrics']['test'])
            seconds.append(s)
            if args.out:
                with open(args.out, 'a') as f:
                    f.write(json.dumps({'row': name, 'run': i, 'epsilon': result['epsilon'], 'test': runs[-1]}) + '\n')
        auc = [r['auc'] for r in runs]
        mean = statistics.mean(auc)
        error = statistics.stdev(auc) / len(auc) ** .5 if len(auc) > 1 else float('nan')
        failed |= mean < row['asked']
        epsilon = 'none' if result['epsilon'] is None else f"{result['epsilon']:.4f}"
        print(f"| {name} | {epsilon} | {result['plan'].get('noise_multiplier', 0):.3f} | {mean:.4f} | {error:.4f} | {row['asked']} | " +
              ' | '.join(f'{statistics.mean(r[k] for r in runs):.4f}' for k in ('ks', 'brier', 'log_loss')) +
              f' | {statistics.median(seconds):.1f} | ' + ' '.join(f'{a:.4f}' for a in auc) + ' |', flush=True)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
