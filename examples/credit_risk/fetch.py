#!/usr/bin/env python3
"""Gets UCI's own "Default of Credit Card Clients" table and converts it. usage: fetch.py OUT.csv

Step 1: https://archive.ics.uci.edu/static/public/350/data.csv (dataset 350, CC BY 4.0), within two minutes or not at all.
Step 2: the header ID,X1..X23,Y gets the names of UCI's variable table; line ends become LF; nothing else is changed.
Step 3: the SHA-256 of the result must be the one below, which is that of the table in its published order, integers as digits.
"""
import hashlib, os, sys, urllib.request

URL = 'https://archive.ics.uci.edu/static/public/350/data.csv'
SHA256 = 'f7b7d22d1f8dd27dadb25d4b78d8a4ae7c441ab6cc12d1ea58c0efc54d4d1788'
NAMES = (['ID', 'LIMIT_BAL', 'SEX', 'EDUCATION', 'MARRIAGE', 'AGE', 'PAY_0'] + ['PAY_%d' % i for i in range(2, 7)] +
         ['BILL_AMT%d' % i for i in range(1, 7)] + ['PAY_AMT%d' % i for i in range(1, 7)] + ['default.payment.next.month'])


def convert(raw):
    """UCI's bytes in, the converted table's bytes out; ValueError when the header is not the one expected."""
    lines = raw.decode('ascii').replace('\r\n', '\n').replace('\r', '\n').rstrip('\n').split('\n')
    found = [name.strip().strip('"') for name in lines[0].split(',')]
    if found not in (['ID'] + ['X%d' % i for i in range(1, 24)] + ['Y'], NAMES):
        raise ValueError('the header is not the one UCI published')
    return ('\n'.join([','.join(NAMES)] + lines[1:]) + '\n').encode('ascii')


def main():
    out = sys.argv[1]
    try:
        with urllib.request.urlopen(URL, timeout=120) as reply:
            table = convert(reply.read(64 << 20))
    except (OSError, ValueError) as fault:
        sys.exit('fetch: UCI\'s file could not be had (%s); download the table yourself and give it with --file' % fault)
    if hashlib.sha256(table).hexdigest() != SHA256:
        sys.exit('fetch: the converted table is not the published one (wrong SHA-256); nothing was kept')
    with open(out + '.part', 'wb') as file:
        file.write(table)
    os.replace(out + '.part', out)


if __name__ == '__main__':
    main()
