import { acceptRewind, type MoveReply } from '../../src/core/accept/rewind.ts';
import type { Accept, Accepted } from '../../src/core/accept/transition.ts';
import type { CommandHost, CommandOptions } from '../../src/commands/command-host.ts';
import { branchesOf, conversation, moving, shown } from '../../src/store/conformance/branch-kit.ts';
import type { InWork } from '../../src/store/conformance/kit.ts';
import type { SessionRef, Store, UpdateRequest, UpdateResult } from '../../src/store/store.ts';
import { realSystem } from '../../src/system.ts';
import type { Schedule } from './postgres-schedule-kit.ts';

/** A conversation of two turns that are over, and a third in work. */
export interface Working extends InWork {
  readonly turnIds: readonly [string, string, string];
}

export async function working({ kit }: Schedule): Promise<Working> {
  const { ref, turnIds: [first = '', second = ''] } = await conversation(kit, 2);
  const { turnId } = await kit.send(ref, 'message 3');
  return { ...await kit.claimed(ref, 'wrk_a'), turnIds: [first, second, turnId] };
}

/** A conversation of three turns at rest. */
export async function resting({ kit }: Schedule): Promise<{ readonly ref: SessionRef; readonly turnIds: readonly [string, string, string] }> {
  const { ref, turnIds: [first = '', second = '', third = ''] } = await conversation(kit, 3);
  return { ref, turnIds: [first, second, third] };
}

/** A move through the history, which may be refused. */
export function moves<Reply>(schedule: Schedule, store: Store, ref: SessionRef, accept: Accept<Reply>, { branchId, ...rest }: Partial<UpdateRequest<Accepted<Reply>>> & { readonly branchId?: string; readonly expectedRevision?: number } = {}): Promise<UpdateResult<Accepted<Reply>>> {
  return schedule.command(store, ref, accept, { reads: { ...moving, ...(branchId === undefined ? {} : { branchId }) }, ...rest });
}

export function rewinds(schedule: Schedule, store: Store, ref: SessionRef, turnId: string | null, stop = false): Promise<UpdateResult<Accepted<MoveReply>>> {
  return moves(schedule, store, ref, acceptRewind({ turnId, stop }));
}

/** What is said in the visible history, how many turns are in each branch, and how many rewinding has cut off. */
export async function futures({ kit, b }: Schedule, ref: SessionRef): Promise<readonly [readonly string[], readonly number[], number]> {
  const branches = (await branchesOf(kit, ref, {}, b)).map(({ turns }) => turns);
  return [await shown(kit, ref, b), branches, (await b.readSession(ref))?.rewound?.turns ?? 0];
}

/** The tables in whose rows a text is found. */
export async function placesOf(schedule: Schedule, text: string): Promise<readonly string[]> {
  const found = await Promise.all(['session', 'entry', 'chunk', 'outcome', 'operation', 'whole_result', 'branch'].map(async (table) => {
    const rows = await schedule.query(`SELECT 1 FROM {schema}.${table} AS row WHERE strpos(row::text, $1) > 0`, [text]);
    return rows.map(() => table);
  }));
  return found.flat();
}

/** A process that takes commands, by the clock and the ids of the schedule, and has no worker. */
export function hostOf({ kit }: Schedule, store: Store): CommandHost {
  const system = realSystem();
  const clock = { ...system.clock, nowMs: () => kit.nowMs };
  return { store, system: { ...system, clock, ids: { ...system.ids, mint: (prefix) => kit.mint(prefix) } }, agents: new Map(), work: null, committed: () => undefined };
}

/** Who asks: somebody who may reach every owner's sessions. */
export function asking(idempotencyKey?: string): CommandOptions {
  return { principal: { owner: 'ops', tenant: 'acme', roles: ['system'] }, ...(idempotencyKey === undefined ? {} : { idempotencyKey }) };
}

/** What a command came to: `done`, `replayed`, or the code of its refusal. */
export function answered(result: { readonly replayed: boolean } | { readonly refused: string }): string {
  if ('refused' in result) return result.refused;
  return result.replayed ? 'replayed' : 'done';
}
