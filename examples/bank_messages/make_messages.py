#!/usr/bin/env python3
"""SYNTHETIC customers' messages to a bank, about nobody: templates filled at random. usage: make_messages.py N SEED OUT.csv

Writes columns id, text, category, split (8 of 10 train, 1 validation, 1 test)."""
import csv
import random
import sys

OPENINGS = ['', '', '', 'hello, ', 'hi there. ', 'please help: ', 'good morning, ', 'I am a bit worried. ', 'quick question, ']
CLOSINGS = ['', '', '', '?', ' please', ' thanks', ', can you check', ' as soon as possible', ' and what do I do now?']
THINGS = {'CARD': ['card', 'debit card', 'bank card', 'new card', 'replacement card'],
          'TIME': ['yesterday', 'last week', 'two days ago', 'this morning', 'on Monday'],
          'PLACE': ['the shop', 'an ATM', 'a restaurant', 'the airport', 'a petrol station'],
          'AMOUNT': ['20 pounds', '100 euros', '5.50', 'a large amount', 'twice as much'],
          'COUNTRY': ['Spain', 'France', 'Japan', 'the US', 'Canada']}
TEMPLATES = {
    'card_arrival': ['my CARD has not arrived, I ordered it TIME', 'when will my CARD come', 'still waiting for the CARD'],
    'card_lost_or_stolen': ['I lost my CARD in PLACE', 'someone stole my CARD TIME', 'my CARD is gone, block it'],
    'pin_blocked': ['my PIN is blocked', 'I typed the wrong PIN at PLACE', 'how do I unblock the PIN of my CARD'],
    'card_payment_declined': ['my payment was declined in PLACE', 'PLACE refused my CARD TIME', 'why was my CARD not accepted'],
    'cash_withdrawal_charge': ['I was charged for taking cash at PLACE', 'why is there a fee on my withdrawal of AMOUNT'],
    'exchange_rate': ['what exchange rate do I get in COUNTRY', 'the rate for my purchase in COUNTRY looks wrong'],
    'transfer_not_received': ['the transfer of AMOUNT has not arrived', 'my friend did not get the money I sent TIME'],
    'refund_missing': ['the refund of AMOUNT from PLACE is missing', 'I returned something TIME and got no money back'],
    'top_up_failed': ['my top up of AMOUNT failed', 'I cannot top up with my CARD', 'topping up did not work TIME'],
    'change_address': ['I moved to COUNTRY, how do I change my address', 'please update where I live'],
    'close_account': ['I want to close my account', 'how do I cancel everything and leave'],
    'verify_identity': ['why do I have to verify who I am', 'my identity check failed TIME', 'which papers prove my identity'],
}


def fill(text, draw):
    for word, choices in THINGS.items():
        text = text.replace(word, draw.choice(choices))
    return text


def main():
    n, draw = int(sys.argv[1]), random.Random(int(sys.argv[2]))
    with open(sys.argv[3], 'w', newline='', encoding='utf-8') as f:
        out = csv.writer(f)
        out.writerow(['id', 'text', 'category', 'split'])
        for i in range(n):
            category = draw.choice(list(TEMPLATES))
            text = draw.choice(OPENINGS) + fill(draw.choice(TEMPLATES[category]), draw) + draw.choice(CLOSINGS)
            out.writerow([i, text, category, ['test', 'validation'][i % 10] if i % 10 < 2 else 'train'])


if __name__ == '__main__':
    main()
