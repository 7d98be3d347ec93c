#!/usr/bin/env python3
"""Our training step beside the usual frameworks', on one pinned core, from the same weights and the same batch.

usage: PYTHON bench/peers.py [--rounds N] [--workloads W1,W1L,T24,W2,W3] [--units N] [--systems torch,hooks,ghost] [--core C] [--out results.jsonl]

PYTHON is the interpreter of a virtual environment with numpy and the peers (torch, opacus). The peers' side is
../shared/bench/peers_cpu.py (environment SEALGRAD_SHARED names another folder than ../shared); this driver
  1. writes its batch and weights to a safetensors file for `sealgrad bench WORKLOAD --tensors FILE`,
  2. in every round runs ours (private and plain steps interleaved in one process for the wall time; then for each kind a
     short and a long process, for peak memory and, by difference, for processor time) and each peer, one after another
     on the same core,
  3. prints one table a workload: medians over the rounds, ratios taken inside each round before the median.
g1, the norm of the noise-free first mean gradient (clipped at .3 where private), proves that all do the same work.

Torch holds two biases a direction where we hold one: our rows get a constant-1 feature whose weight column is the second.
T24 (24 steps of 200 inputs, hidden 128, random rows) is defined here; the others are the peers' own."""
import argparse
import importlib.util
import json
import os
import resource
import statistics
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
SHARED = os.environ.get('SEALGRAD_SHARED', os.path.join(ROOT, '..', 'shared'))
PROCESS_LIMIT_S = 600
KINDS = ('private', 'plain')


def peers():
    """The peers' module with T24 added to its workloads."""
    os.environ['SHARED'] = SHARED
    spec = importlib.util.spec_from_file_location('peers_cpu', os.path.join(SHARED, 'bench', 'peers_cpu.py'))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.CFG['T24'] = dict(B=1024, T=24, F=200, H=128, S=7)
    theirs = module.batch

    def batch(w):
        if w != 'T24':
            return theirs(w)
        c, r = module.CFG[w], module.np.random.default_rng(1)
        x = r.standard_normal((c['B'], c['T'], c['F'])).astype('f4')
        return (x, r.standard_normal((c['B'], 7)).astype('f4')), (r.random(c['B']) < .22).astype('f4')

    module.batch = batch
    return module


def our_recurrent(np, x, z, p):
    """Every weight is (outputs, [inputs, bias])."""
    column = lambda name: p[name][:, None]
    ours = {'x': np.concatenate([x, np.ones_like(x[..., :1])], -1), 'statics': z}
    for direction, s in (('forward', ''), ('reverse', '_reverse')):
        ours[f'lstm.0.{direction}.weight'] = np.concatenate(
            [p['rnn.weight_ih_l0' + s], column('rnn.bias_hh_l0' + s), p['rnn.weight_hh_l0' + s], column('rnn.bias_ih_l0' + s)], 1)
    ours['attention.weight'] = np.concatenate([p['a.weight'], column('a.bias')], 1)
    ours['attention.score.weight'] = p['v.weight']
    ours['mlp.weight'] = np.concatenate([p['m1.weight'], column('m1.bias')], 1)
    ours['output.weight'] = np.concatenate([p['m2.weight'], column('m2.bias')], 1)
    return ours


BLOCK = {'q': 'attention.self.query', 'k': 'attention.self.key', 'v': 'attention.self.value', 'o': 'attention.output.dense',
         'n1': 'attention.output.LayerNorm', 'f1': 'intermediate.dense', 'f2': 'output.dense', 'n2': 'output.LayerNorm'}
OUTSIDE = {'e': 'embeddings.word_embeddings', 'p': 'embeddings.position_embeddings', 'n': 'embeddings.LayerNorm', 'c': 'classifier'}


def our_name(theirs):
    """b.0.qA.weight is encoder.layer.0.attention.self.query.lora_A.weight here."""
    *layer, suffix = theirs.split('.')
    if len(layer) == 1:
        return f'{OUTSIDE[layer[0]]}.{suffix}'
    if layer[2][-1] in 'AB':
        return f'encoder.layer.{layer[1]}.{BLOCK[layer[2][:-1]]}.lora_{layer[2][-1]}.{suffix}'
    return f'encoder.layer.{layer[1]}.{BLOCK[layer[2]]}.{suffix}'


def our_encoder(np, ids, mask, p):
    """Tokens without their padding. The peers embed no types: ours is zero and does not learn."""
    ours = {our_name(name): value for name, value in p.items()}
    ours['embeddings.token_type_embeddings.weight'] = np.zeros((1, p['e.weight'].shape[1]), 'f4')
    return {**ours, 'length': mask.sum(1), 'token': ids[mask > 0]}


def export(workload, path, units=0):
    """Batch and weights in our names and layout; units: another batch than the peers'."""
    m = peers()
    np = m.np
    m.CFG[workload]['B'] = units or m.CFG[workload]['B']
    (x, z), y = m.batch(workload)
    p, _ = m.weights(workload)
    ours = {**(our_encoder if 'V' in m.CFG[workload] else our_recurrent)(np, x, z, p), 'label': y}
    header, at, data = {}, 0, []
    for name, value in ours.items():
        data.append(np.ascontiguousarray(value, '<f4').tobytes())
        header[name] = {'dtype': 'F32', 'shape': list(value.shape), 'data_offsets': [at, at + len(data[-1])]}
        at += len(data[-1])
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text)
        f.writelines(data)


def peer(workload, system, micro):
    """One peer, in this process; prints its JSON line."""
    m = peers()
    out = dict(work=workload, system=system, phys=micro or m.CFG[workload]['B'])
    try:
        (m.run_jax if system.startswith('jax') else m.run_torch)(workload, system, out['phys'], out)
    except Exception as e:
        out['error'] = f'{type(e).__name__}: {e}'[:300]
    print(json.dumps(out), flush=True)


def last_json(command, limit):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        # A child counts what its parent held at exec as its own peak memory; a shell between the two holds next to nothing.
        r = subprocess.run(['sh', '-c', '"$@"; exit $?', 'sh', *command], capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return {'error': f'more than {limit} s'}
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    lines = [line for line in r.stdout.splitlines() if line.startswith('{')]
    if r.returncode or not lines:
        return {'error': (r.stderr.strip().splitlines() or ['no result'])[-1][:200]}
    return {**json.loads(lines[-1]), 'process_cpu_ms': (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3}


def our_round(args, pin, workload, tensors, units):
    def run(*more):
        command = [args.sealgrad, 'bench', workload, '--tensors', tensors, '--json', '--units', str(units), *more]
        r = last_json(pin + command, PROCESS_LIMIT_S)
        if 'error' in r:
            sys.exit(f'sealgrad bench {workload}: {r["error"]}')
        return r

    steps = args.steps or (41 if workload == 'W1' else 9)  # a second of work at least
    both = run('--steps', str(steps))
    out = dict(ratio=both['private_over_plain'], cpu_ratio=both['private_over_plain_cpu'], noise_ms=both['private']['noise_ms'],
               weights=both['weights'], rows=both['rows'])
    short = {kind: run('--mode', kind, '--steps', '1') for kind in KINDS}
    for kind in KINDS:
        long = run('--mode', kind, '--steps', str(steps + 1))
        out[kind + '_cpu_ms'] = (long['process_cpu_ms'] - short[kind]['process_cpu_ms']) / steps
        out[kind + '_mib'] = short[kind]['peak_rss_kib'] / 1024
        out[kind + '_ms'] = both[kind]['median_ms']
        out[kind + '_g1'] = both[kind]['g1']
    return out


def median(rounds, f):
    values = [f(r) for r in rounds]
    return statistics.median(values), min(values), max(values)


def spread(values, form):
    return form.format(values[0]) + ' (' + form.format(values[1]) + ' to ' + form.format(values[2]) + ')'


def table(workload, rounds, systems, batch):
    ours = [r['ours'] for r in rounds]
    print(f'\n**{workload}**, batch {batch}; median (least to most) over {len(rounds)} rounds\n')
    print('| step | CPU ms | wall ms | examples per CPU second | peak MiB | g1 |\n|---|---|---|---|---|---|')
    for kind in KINDS:
        cpu = median(ours, lambda r: r[kind + '_cpu_ms'])
        print(f'| ours, {"private" if kind == "private" else "no privacy"} | {spread(cpu, "{:.1f}")} | '
              f'{median(ours, lambda r: r[kind + "_ms"])[0]:.1f} | '
              f'{batch / cpu[0] * 1e3:.0f} | {median(ours, lambda r: r[kind + "_mib"])[0]:.1f} | {ours[0][kind + "_g1"]:.5f} |')
    for system in systems:
        done = [r[system] for r in rounds if system in r and 'error' not in r[system]]
        if not done:
            print(f'| {system} | {next((r[system]["error"] for r in rounds if system in r), "not run")} | | | | |')
            continue
        cpu = median(done, lambda r: r['cpu_ms'])
        print(f'| {system} | {spread(cpu, "{:.1f}")} | {median(done, lambda r: r["wall_ms"])[0]:.1f} | '
              f'{batch / cpu[0] * 1e3:.0f} | '
              f'{median(done, lambda r: r["rss_mb"])[0]:.0f} | {done[0]["g1"]:.5f} |')
    print(f'\n- private / plain: {spread(median(ours, lambda r: r["ratio"]), "{:.3f}")} by interleaved steps, '
          f'{spread(median(ours, lambda r: r["cpu_ratio"]), "{:.3f}")} by their processor time, '
          f'memory {spread(median(ours, lambda r: r["private_mib"] / r["plain_mib"]), "{:.3f}")}; '
          f'noise {median(ours, lambda r: r["noise_ms"])[0]:.2f} ms of the private step')
    for system in systems:
        done = [r for r in rounds if system in r and 'error' not in r[system]]
        if done:
            print(f'- our private step / {system}: '
                  f'{spread(median(done, lambda r: r["ours"]["private_cpu_ms"] / r[system]["cpu_ms"]), "{:.3f}")} by processor time')


def main():
    if len(sys.argv) > 1 and sys.argv[1] == 'peer':
        return peer(sys.argv[2], sys.argv[3], int(sys.argv[4]) if len(sys.argv) > 4 else 0)
    p = argparse.ArgumentParser(description='Our training step beside the peers\'.')
    p.add_argument('--sealgrad', default=os.path.join(ROOT, 'build', 'src', 'cli', 'sealgrad'))
    p.add_argument('--workloads', default='W1,W1L,T24,W2,W3')
    p.add_argument('--systems', default='torch', help='torch, hooks, ghost, jaxp:16, ... (name[:micro-batch])')
    p.add_argument('--systems-once', default='', help='slow peers, measured in the first round only')
    p.add_argument('--rounds', type=int, default=3)
    p.add_argument('--steps', type=int, help='timed steps of each of our kinds in a round (default: W1 41, others 9)')
    p.add_argument('--units', type=int, default=0, help='units a step, ours only (leave --systems empty); default: the peers\' batch')
    p.add_argument('--core', default='0')
    p.add_argument('--out', help='append every round as one JSON line')
    args = p.parse_args()
    pin = ['taskset', '-c', args.core]
    every, once = ([s for s in names.split(',') if s] for names in (args.systems, args.systems_once))
    for workload in args.workloads.split(','):
        rounds = []
        with tempfile.TemporaryDirectory() as folder:
            tensors = os.path.join(folder, workload + '.safetensors')
            export(workload, tensors, args.units)
            units = args.units or peers().CFG[workload]['B']
            for i in range(args.rounds):
                r = {'ours': our_round(args, pin, workload, tensors, units)}
                for system in every + (once if i == 0 else []):
                    r[system] = last_json(pin + [sys.executable, os.path.abspath(__file__), 'peer', workload] + system.split(':'),
                                          PROCESS_LIMIT_S)
                rounds.append(r)
                if args.out:
                    with open(args.out, 'a') as f:
                        f.write(json.dumps({'workload': workload, 'round': i, **r}) + '\n')
        table(workload, rounds, every + once, units)


if __name__ == '__main__':
    main()
