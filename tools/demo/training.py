"""Trains in float first, then quantization-aware with fake int4 weights; also validation loss and generation."""

import contextlib
import math
import time

import torch
import torch.nn.functional as F

_PEAK_RATE = 2e-3
_WARM_UP_STEPS = 200
# Fraction of the steps after which the weights are int4 in the forward pass.
_INT4_FROM = 0.6
_IGNORE = -100


def _batch(rows, size, generator, device):
    """Returns inputs and targets [size, time - 1] of random rows; targets that are not learned are -100."""
    tokens, learn = rows
    index = torch.randint(tokens.shape[0], (size,), generator=generator, device=device)
    ids = tokens[index].long()
    targets = torch.where(learn[index], ids, torch.full_like(ids, _IGNORE))
    return ids[:, :-1], targets[:, 1:]


def _loss(network, batch, fake_int4):
    ids, targets = batch
    logits = network(ids, fake_int4)
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=_IGNORE)


def _rate(step, steps):
    if step < _WARM_UP_STEPS:
        return _PEAK_RATE * (step + 1) / _WARM_UP_STEPS
    progress = (step - _WARM_UP_STEPS) / max(1, steps - _WARM_UP_STEPS)
    return _PEAK_RATE * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def _mixed_precision(device):
    if device.type == "cuda":
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return contextlib.nullcontext()


def train(network, long_rows, short_rows, device, batch_sizes, seconds, steps, seed, log):
    """Trains in place for `steps` steps, or for as many as fit into `seconds` if steps is 0.

    long_rows and short_rows are (tokens, learn) numpy pairs; batch_sizes are their rows per step. The loss is the
    mean of the two kinds' losses, so that sums and small talk make up half of it. Returns the number of steps.
    """
    move = lambda rows: (torch.from_numpy(rows[0]).to(device), torch.from_numpy(rows[1]).to(device))
    long_rows, short_rows = move(long_rows), move(short_rows)
    generator = torch.Generator(device=device)
    generator.manual_seed(seed)
    decayed = network.matrices()
    plain = [p for p in network.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}],
                                  lr=_PEAK_RATE, betas=(0.9, 0.98), eps=1e-9)
    network.train()
    measure_from, measure_to = 20, 100
    total, step, start = steps or 10 ** 9, 0, time.time()
    sums = torch.zeros(2, device=device)
    fake_int4, counted = False, 0
    while step < total:
        if not steps and step in (measure_from, measure_to):
            if device.type == "cuda":
                torch.cuda.synchronize()
            if step == measure_from:
                mark = time.time()
            else:
                # The warm-up does not depend on the total, so the total can be set here. Steps with fake int4
                # weights are slower, for which 15% of the time is reserved.
                per_step = (time.time() - mark) / (measure_to - measure_from)
                total = max(measure_to + 100, int(seconds / per_step / 1.15))
                log(f"{per_step * 1e3:.1f} ms a step: {total} steps")
        if not fake_int4 and total < 10 ** 9 and step >= _INT4_FROM * total:
            fake_int4 = True
            log(f"step {step}: weights are int4 in the forward pass from here")
        for group in optimizer.param_groups:
            group["lr"] = _rate(step, total)
        optimizer.zero_grad(set_to_none=True)
        with _mixed_precision(device):
            long_loss = _loss(network, _batch(long_rows, batch_sizes[0], generator, device), fake_int4)
            short_loss = _loss(network, _batch(short_rows, batch_sizes[1], generator, device), fake_int4)
        (0.5 * (long_loss + short_loss)).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        sums += torch.stack([long_loss.detach(), short_loss.detach()])
        step += 1
        counted += 1
        if step % 250 == 0 or step == total:
            long_mean, short_mean = (sums / counted).tolist()
            if not math.isfinite(long_mean + short_mean):
                raise RuntimeError(f"the loss is not finite at step {step}")
            log(f"step {step:6d}  stories and conversations {long_mean:.4f}  single turns {short_mean:.5f}  "
                f"rate {_rate(step - 1, total):.2e}  {time.time() - start:.0f} s")
            sums.zero_()
            counted = 0
            if not steps and time.time() - start > 1.25 * seconds:
                log("stopped early: the time is used up")
                break
    network.eval()
    return step


@torch.no_grad()
def validation_loss(network, rows, device, size, fake_int4=True):
    """Returns the mean loss over all rows, which come from another seed than the training rows."""
    losses = []
    for first in range(0, rows[0].shape[0], size):
        ids = torch.from_numpy(rows[0][first:first + size]).to(device).long()
        learn = torch.from_numpy(rows[1][first:first + size]).to(device)
        targets = torch.where(learn, ids, torch.full_like(ids, _IGNORE))
        with _mixed_precision(device):
            losses.append(_loss(network, (ids[:, :-1], targets[:, 1:]), fake_int4).item())
    return sum(losses) / len(losses)


@torch.no_grad()
def generate(network, prompts, limit, stop_ids, temperature=0.0, seed=0):
    """Continues each prompt (list of ids); greedy at temperature 0. Returns the new ids, without the stop id.

    Recomputes the whole sequence for every token, which is simple and fast enough for a few hundred tokens.
    """
    device = network.embed.device
    generator = torch.Generator(device=device)
    generator.manual_seed(seed)
    lengths = torch.tensor([len(p) for p in prompts], device=device)
    width = min(int(lengths.max()) + limit, network.config.context_length)
    ids = torch.zeros(len(prompts), width, dtype=torch.long, device=device)
    for i, prompt in enumerate(prompts):
        ids[i, :len(prompt)] = torch.tensor(prompt, device=device)
    done = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    stops = torch.tensor(stop_ids, device=device)
    rows = torch.arange(len(prompts), device=device)
    results = [[] for _ in prompts]
    for _ in range(limit):
        if bool(done.all()) or int(lengths.max()) >= width:
            break
        logits = network(ids[:, :int(lengths.max())])[rows, lengths - 1].float()
        if temperature > 0:
            chosen = torch.multinomial(torch.softmax(logits / temperature, -1), 1, generator=generator)[:, 0]
        else:
            chosen = logits.argmax(-1)
        done |= (chosen[:, None] == stops).any(-1)
        ids[rows, lengths] = torch.where(done, ids[rows, lengths], chosen)
        for i, (token, over) in enumerate(zip(chosen.tolist(), done.tolist())):
            if not over:
                results[i].append(token)
        lengths = lengths + (~done).long()
    return results
