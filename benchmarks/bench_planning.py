"""How fast the cross-entropy method plans, and where its time goes.

    ./run_all.sh bench bench_planning [--model small|paper] [--tasks B] [--samples N] [--iterations I] [--steps S]

One thread on a CPU. Prints plans per second for B problems planned together, the predictor's share of the time, and
the same plans from a plain loop that rolls out one candidate after another, the peer.
"""

import argparse
import time

import torch

from lewm_core.config import MODELS
from lewm_core.diagnostics.cem import CEM, cem, goal_cost, plan_actions
from lewm_core.model import LeWM
from lewm_core.train import default_device


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="small", choices=MODELS)
    parser.add_argument("--tasks", type=int, default=8)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6)
    args = parser.parse_args()
    torch.set_num_threads(1)
    device, config = default_device(), MODELS[args.model]
    settings = CEM(args.samples, max(2, args.samples // 8), args.iterations, args.steps)
    model = LeWM(config).to(device).eval()
    b, h, d, a = args.tasks, config.history, config.dim, config.action_dim
    emb, goal_emb = torch.randn(b, h, d, device=device), torch.randn(b, d, device=device)
    past = torch.randn(b, h - 1, a, device=device)
    low, high = torch.full((a,), -3.0, device=device), torch.full((a,), 3.0, device=device)
    in_predictor, predict = [0.0], model.predict

    def clock() -> float:
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def timed_predict(*inputs):
        started = clock()
        out = predict(*inputs)
        in_predictor[0] += clock() - started
        return out

    def batched():
        return plan_actions(model, emb, past, goal_emb, low, high, settings, torch.Generator(device).manual_seed(0))

    def one_by_one(candidates):
        rows = [[goal_cost(model, emb[i : i + 1], goal_emb[i : i + 1],
                           torch.cat([past[i], actions])[None, None])[0, 0] for actions in candidates[i]]
                for i in range(b)]
        return torch.stack([torch.stack(row) for row in rows])

    def looped():
        mean = emb.new_zeros(b, settings.horizon, a)
        return cem(one_by_one, mean, low, high, settings, torch.Generator(device).manual_seed(0))

    batched()
    started = clock()
    ours = batched()
    seconds = clock() - started
    model.predict = timed_predict
    started = clock()
    batched()
    share = in_predictor[0] / (clock() - started)
    model.predict = predict
    started = clock()
    peer = looped()
    peer_seconds = clock() - started
    print(f"{args.model}, {b} problems, {settings} on {device}")
    print(f"batched: {b / seconds:.2f} plans/s, {b * args.samples * args.iterations / seconds:.0f} rollouts of "
          f"{args.steps} steps a second, {100 * share:.0f} % of it in the predictor")
    print(f"candidate by candidate: {b / peer_seconds:.2f} plans/s, {peer_seconds / seconds:.1f} times as long; costs "
          f"differ by {(ours[1] - peer[1]).abs().max():.1e}")


if __name__ == "__main__":
    main()
