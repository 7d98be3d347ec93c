#!/usr/bin/env python3
"""The table at the end of run.sh: the models side by side. usage: summary.py budget.json verify.json SYNTHETIC NAME...

Of each NAME: NAME.json (the run), NAME.bench.json, NAME/statement.json."""
import json, sys

FAMILIES = {'bilstm_attention': 'BiLSTM + attention', 'tabular_transformer': 'tabular transformer'}


def load(path):
    with open(path) as file:
        return json.load(file)


budget, verify = load(sys.argv[1]), load(sys.argv[2])
synthetic, names = sys.argv[3] == 'yes', sys.argv[4:]
runs = [load(name + '.json') for name in names]
benches = [load(name + '.bench.json') for name in names]
statements = [load(name + '/statement.json') for name in names]
tests = [run['metrics']['test'] for run in runs]
kinds = [load(name + '/config.json')['model']['kind'] for name in names]


def row(name, *cells):
    print(('  %-26s' % name + ''.join(' %-30s' % cell for cell in cells)).rstrip())


print()
row('', *(FAMILIES[kind] for kind in kinds))
row('run', *(run['run_id'] for run in runs))
row('privacy', *('epsilon %.4g, delta %.3g' % (run['epsilon'], run['delta']) for run in runs))
row('trainable weights', *('%d' % run['plan']['n_weights'] for run in runs))
row('test AUC', *('%.4f (95 %%: %.4f to %.4f)' % (t['auc'], t['auc_low'], t['auc_high']) for t in tests))
row('test KS', *('%.4f' % t['ks'] for t in tests))
row('test Brier score', *('%.4f' % t['brier'] for t in tests))
row('processor ms per step', *('%.2f, non-private %.2f' % (b['private']['cpu_ms'], b['plain']['cpu_ms']) for b in benches))
print()
row('budget of the population', 'epsilon %.4g spent of %.4g, %.4g left, by %d run%s' % (
    budget['epsilon_spent'], budget['epsilon_limit'], budget['epsilon_left'], budget['runs'], '' if budget['runs'] == 1 else 's'))
row('ledger', verify['sentence'])
row('files', 'out/credit, out/transformer, out/scores.csv, out/ledger.db, out/keys, out/report.html, out/report.txt')
print('\nOne person who is in both models is covered by what the population spent, not by one model\'s epsilon.')
each = [s['claims'] + s['assumptions'] + s['not_covered'] for s in statements]
shared = [sentence for sentence in each[0] if all(sentence in other for other in each)]
print('\nWhat is claimed%s, and to whom:' % (' of each model' if len(names) > 1 else ''))
for sentence in shared:
    print('  - ' + sentence)
for kind, sentences in zip(kinds, each):
    for sentence in sentences:
        if sentence not in shared:
            print('  - %s: %s' % (FAMILIES[kind], sentence))
if synthetic:
    print('\nThe book is SYNTHETIC: made by make_book, about nobody.')
