"""One EM iteration of the textbook HMM on 1 M observations, 6 states, 40 symbols: ours against hmmlearn.

Run: python benchmarks/hmm.py [--events 1000000]
CPU time of the process, one thread, both in the same run from the same start; the full silence-aware model
(5 silence boundaries, 3 touches, 12 channels) is timed beside it on as many events.
"""

from __future__ import annotations

import argparse
import json
from time import process_time

import numpy as np
from hmmlearn.hmm import CategoricalHMM

from sojourn.states.hmm import model as hm
from sojourn.states.hmm.textbook import flat_prior, symbol_sequences, textbook_model

STATES, SYMBOLS, LENGTH = 6, 40, 250


def cpu_seconds(run, repeats: int) -> float:
    """The least CPU time of several runs: noise only ever adds."""
    best = np.inf
    for _ in range(repeats):
        start = process_time()
        run()
        best = min(best, process_time() - start)
    return best


def make_start(rng):
    transitions, emissions = rng.dirichlet(np.ones(STATES), STATES), rng.dirichlet(np.ones(SYMBOLS), STATES)
    return rng.dirichlet(np.ones(STATES)), transitions, emissions


def time_textbook(rng, n_events: int, repeats: int) -> dict[str, float]:
    sequences = [rng.integers(0, SYMBOLS, LENGTH) for _ in range(n_events // LENGTH)]
    initial, transitions, emissions = make_start(rng)
    data = symbol_sequences(sequences, SYMBOLS)
    model = textbook_model(initial, transitions, emissions)
    prior = flat_prior(model)

    def iterate():
        return hm.maximise(model, hm.expect(model, data), data, prior)

    iterate()  # compiles
    found = {"sojourn": cpu_seconds(iterate, repeats)}
    column, lengths = np.concatenate(sequences)[:, None], [LENGTH] * len(sequences)
    for implementation in ("scaling", "log"):
        other = CategoricalHMM(
            STATES, n_iter=1, tol=-np.inf, init_params="", implementation=implementation, n_features=SYMBOLS
        )

        def fit(other=other):
            other.startprob_, other.transmat_ = initial.copy(), transitions.copy()
            other.emissionprob_ = emissions.copy()
            other.fit(column, lengths)

        found[f"hmmlearn {implementation}"] = cpu_seconds(fit, repeats)
        np.testing.assert_allclose(other.transmat_, iterate().event_transitions[0], atol=1e-8)
    return found


def time_silence_aware(rng, n_events: int, repeats: int) -> float:
    n_bounds, n_touches, channels = 5, 3, []
    for c in range(12):
        n = SYMBOLS if c == 0 else 4
        names = tuple(map(str, range(n)))
        channels.append(hm.Channel(f"c{c}", names, rng.dirichlet(np.ones(n), STATES), 1.0 if c == 0 else 0.2))
    model = hm.Model(
        states=tuple(map(str, range(STATES))),
        touches=("a", "b", "c"),
        initial=rng.dirichlet(np.ones(STATES)),
        event_transitions=rng.dirichlet(np.ones(STATES), (1 + n_touches, STATES)),
        boundaries_s=np.array([1800.0, 86400, 7 * 86400, 30 * 86400, 90 * 86400]),
        hazards=rng.uniform(0.1, 0.9, (STATES, n_bounds)),
        silent_transitions=rng.dirichlet(np.ones(STATES), (n_bounds, STATES)),
        channels=tuple(channels),
    )
    # Symbols that linger, as fingerprints do: some tens of thousands of distinct combinations.
    symbols = rng.integers(0, 4, (n_events, 12)).astype(np.uint8)
    lingers = rng.random((n_events, 12)) < 0.9
    for i in range(1, 12):
        at = np.where(lingers[:, i], 0, np.arange(n_events))
        symbols[:, i] = symbols[np.maximum.accumulate(at), i] % (4 if i < 5 else 2)
    symbols[:, 0] = rng.integers(0, SYMBOLS, n_events)
    code, combos = hm.encode(symbols)
    n_customers = n_events // LENGTH
    data = hm.Sequences(
        hm.index_starts([LENGTH] * n_customers),
        code[: n_customers * LENGTH],
        rng.integers(0, model.n_steps, n_customers * LENGTH).astype(np.int32),
        rng.integers(0, n_bounds + 1, n_customers),
        combos,
    )
    prior = flat_prior(model)
    hm.maximise(model, hm.expect(model, data), data, prior)
    seconds = cpu_seconds(lambda: hm.maximise(model, hm.expect(model, data), data, prior), repeats)
    print(f"# silence-aware: {len(combos):,} distinct observations, {model.n_steps} step kinds")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    found = time_textbook(rng, options.events, options.repeats)
    found["sojourn, silence-aware"] = time_silence_aware(rng, options.events, options.repeats)
    ours = found["sojourn"]
    print("| one EM iteration | CPU s | ns per event | times ours |")
    print("|---|---|---|---|")
    for name, seconds in found.items():
        print(f"| {name} | {seconds:.3f} | {seconds * 1e9 / options.events:.0f} | {seconds / ours:.1f} |")
    print(json.dumps({"benchmark": "hmm", "events": options.events, "cpu_s": found}))


if __name__ == "__main__":
    main()
