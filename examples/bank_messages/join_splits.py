#!/usr/bin/env python3
"""The two files of BANKING77 as one, with a column that says which. usage: join_splits.py train.csv test.csv OUT.csv"""
import csv
import sys


def main():
    with open(sys.argv[3], 'w', newline='', encoding='utf-8') as f:
        out = csv.writer(f)
        out.writerow(['id', 'text', 'category', 'split'])
        n = 0
        for path, split in (sys.argv[1], 'train'), (sys.argv[2], 'test'):
            with open(path, newline='', encoding='utf-8') as data:
                for row in csv.DictReader(data):
                    out.writerow([n, row['text'], row['category'], split])
                    n += 1


if __name__ == '__main__':
    main()
