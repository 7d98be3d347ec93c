"""Would catch: a kernel that exists and that no emulated test runs.

kernels.py SOURCE... -- RECORD...: the names in the sources against those that the tests recorded.
"""
import os
import re
import sys


def main():
    at = sys.argv.index('--')
    sources, records = sys.argv[1:at], sys.argv[at + 1:]
    missing = [os.path.basename(r) for r in records if not os.path.exists(r)]
    if missing:
        print('SKIPPED: run the whole suite cuda first; no ' + ', '.join(missing))
        return 77
    exist, ran = set(), set()
    for path in sources:
        with open(path) as file:
            exist |= set(re.findall(r'\b[A-Z_]*KERNEL\((sg_k_\w+)', file.read()))
    for path in records:
        with open(path) as file:
            ran |= set(file.read().split())
    not_run = sorted(exist - ran)
    print('kernels emulated: %d of %d' % (len(exist) - len(not_run), len(exist)))
    for name in not_run:
        print('never run: ' + name)
    return 1 if not_run or not exist else 0


sys.exit(main())
