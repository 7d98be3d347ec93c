#!/usr/bin/env python3
"""Accuracy against epsilon. usage: summary.py train.EPSILON.json ..."""
import json
import sys

runs = sorted((json.load(open(path)) for path in sys.argv[1:]), key=lambda r: r['epsilon'])
print(f'\n{"epsilon":>10} {"delta":>8} {"accuracy":>10} {"top 3":>8} {"macro F1":>9}')
for run in runs:
    test = run['metrics']['test']
    print(f'{run["epsilon"]:>10.4f} {run["delta"]:>8.0e} {test["accuracy"]:>10.4f} {test["top_3_accuracy"]:>8.4f} '
          f'{test["macro_f1"]:>9.4f}')
