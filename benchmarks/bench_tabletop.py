"""How fast the tabletop simulates and renders, on one core: ./run_all.sh bench bench_tabletop [episodes]."""

import sys
import time

from lewm_core.sources.tabletop.source import Tabletop

if __name__ == "__main__":
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    print(f"{'kind':9} {'px':>4} {'frames':>6} {'frames/s':>9} {'s per 32 frames':>16} {'of it physics':>14}")
    for kind in ("tabletop", "play"):
        for size in (224, 128, 64):
            source = Tabletop(n, seed=0, image_size=size, kind=kind)
            ids = [info.id for info in source.infos()]
            source.load(ids[0])
            frames, physics, start = 0, 0.0, time.process_time()
            for id in ids:
                before = time.process_time()
                recording = source.record(id)
                physics += time.process_time() - before
                frames += len(source.render(recording).frames)
            seconds = time.process_time() - start
            print(f"{kind:9} {size:4} {frames:6} {frames / seconds:9.0f} {32 * seconds / frames:16.3f} "
                  f"{physics / seconds:13.0%}")  # fmt: skip
