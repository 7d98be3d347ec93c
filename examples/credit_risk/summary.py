#!/usr/bin/env python3
"""The short table at the end of run.sh. usage: summary.py train.json bench.json budget.json verify.json statement.json SYNTHETIC"""
import json, sys

train, bench, budget, verify, statement = (json.load(open(p)) for p in sys.argv[1:6])
synthetic = sys.argv[6] == 'yes'
test = train['metrics']['test']


def row(name, text):
    print('  %-28s %s' % (name, text))


print()
row('model', 'BiLSTM + attention, run ' + train['run_id'])
row('privacy', 'epsilon %.4g, delta %.3g' % (train['epsilon'], train['delta']))
row('test AUC', '%.4f  (95 %%: %.4f to %.4f)' % (test['auc'], test['auc_low'], test['auc_high']))
row('test KS', '%.4f' % test['ks'])
row('test Brier score', '%.4f' % test['brier'])
row('time per step', '%.2f ms private, %.2f ms non-private (%+.1f %%), generated rows of this shape, one core' % (
    bench['private']['median_ms'], bench['plain']['median_ms'], (bench['private_over_plain'] - 1) * 100))
row('budget of the population', 'epsilon %.4g spent of %.4g, %.4g left, by %d run%s' % (
    budget['epsilon_spent'], budget['epsilon_limit'], budget['epsilon_left'], budget['runs'],
    '' if budget['runs'] == 1 else 's'))
row('ledger', verify['sentence'])
row('files', 'out/model, out/scores.csv, out/ledger.db, out/keys, out/report.html, out/report.txt')
print('\nWhat is claimed, and to whom:')
for sentence in statement['claims'] + statement['assumptions'] + statement['not_covered']:
    print('  - ' + sentence)
if synthetic:
    print('\nThe book is SYNTHETIC: made by make_book, about nobody.')
