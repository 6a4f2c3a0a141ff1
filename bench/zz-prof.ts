import { measureTurns, withBenchHoldfast } from '../src/cli/bench/turn-bench.ts';
import { measureFloor } from '../src/cli/bench/floor-bench.ts';
import { rmSync } from 'node:fs';
const c = Number(process.env.C ?? 16);
for (const f of ['', '-wal', '-shm']) rmSync('/tmp/prof.db' + f, { force: true });
await withBenchHoldfast('/tmp/prof.db', async (h) => { await measureTurns(h, c, 1000); const floor = await measureFloor('/tmp/floor.db', c, 1500); const r = await measureTurns(h, c, 4000); console.log(r, floor, r.turnsPerSecond / floor); });
