#!/usr/bin/env python3
"""The schema of the messages. usage: schema.py [categories.json]; without the file, for the synthetic messages."""
import json
import sys

from make_messages import TEMPLATES


def main():
    names = json.load(open(sys.argv[1], encoding='utf-8')) if len(sys.argv) > 1 else list(TEMPLATES)
    print(f'''layout: wide
unit: id
columns:
  - {{name: id, role: id}}
  - {{name: text, role: text, max_tokens: 128}}
  - {{name: category, role: label, categories: {json.dumps(names)}}}
  - {{name: split, role: split}}
split: {{column: split}}''')


if __name__ == '__main__':
    main()
