import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { acceptEdit } from '../../src/core/accept/edit.ts';
import { forkSession } from '../../src/core/accept/fork.ts';
import { acceptRestore } from '../../src/core/accept/restore.ts';
import { acceptRedo, acceptRewind } from '../../src/core/accept/rewind.ts';
import { acceptState } from '../../src/core/accept/state.ts';
import type { Entry } from '../../src/core/entry.ts';
import { isTimeline } from '../../src/core/entry-format.ts';
import { isRefusal } from '../../src/core/errors.ts';
import { markOf } from '../../src/core/history.ts';
import { isVisible } from '../../src/core/intervals.ts';
import { visibleState } from '../../src/core/state-reading.ts';
import { foldTranscript } from '../../src/core/transcript.ts';
import { unansweredIn } from '../support/answered-prompt.ts';
import { PureSession, callPart, textPart } from '../support/pure-session.ts';
import { seedOf } from '../support/seed.ts';

/** A turn as the model keeps it: its id, and what was said in it. */
interface ModelTurn {
  readonly id: string;
  readonly said: string;
  /** What was written of the state in it and up to the next turn: key and value; null: deleted. */
  readonly wrote: readonly (readonly [key: string, value: number | null])[];
}

/** The turns of a conversation, and before them one that has no id: what was written before the first. */
type Version = readonly ModelTurn[];

const beginning: ModelTurn = { id: '', said: '', wrote: [] };

function stateOf(version: Version): Readonly<Record<string, number>> {
  const values = new Map<string, number>();
  for (const [key, value] of version.flatMap(({ wrote }) => wrote)) if (value === null) values.delete(key); else values.set(key, value);
  return Object.fromEntries(values);
}

function turnsOf(version: Version): readonly Pick<ModelTurn, 'id' | 'said'>[] {
  return version.slice(1).map(({ id, said }) => ({ id, said }));
}

/** The naive model: a full copy of every version of the conversation. */
interface Model {
  visible: Version;
  /** All that redo would show. */
  redo: Version | null;
  /** Each branch by its first turn left, with the whole conversation that restoring shows. */
  branches: Map<string, Version>;
}

const operations = ['say', 'say', 'sayWithTool', 'rewind', 'rewind', 'redo', 'edit', 'retry', 'restore', 'restore', 'stop', 'crash', 'fork', 'write', 'write'] as const;
const runs = { seed: seedOf('history model'), numRuns: Number(process.env['HOLDFAST_HISTORY_RUNS'] ?? 600) };
const steps = fc.array(fc.record({ operation: fc.constantFrom(...operations), pick: fc.nat(999), leavesOpen: fc.boolean() }), { minLength: 5, maxLength: 40, size: 'max' });

function transcriptOf(log: readonly Entry[], visible: PureSession['session']['visible']): ReturnType<typeof turnsOf> {
  return foldTranscript(log, visible).filter(({ role }) => role === 'user')
    .map(({ metadata, parts }) => ({ id: metadata.turnId, said: parts.map((part) => ('text' in part ? part.text : '')).join('') }));
}

/** What is kept from before the first turn is no turn's. */
function idOf(version: { readonly id: string } | undefined): string | null {
  return version === undefined || version.id === '' ? null : version.id;
}

class World {
  readonly pure = new PureSession({});
  readonly model: Model = { visible: [beginning], redo: null, branches: new Map() };
  /** The branch ids in the order that they were filed. */
  readonly filed: string[] = [];
  #said = 0;
  #wrote = 0;
  forks = 0;
  toolWrites = 0;

  /** The conversation goes on: what could be redone is a branch from now on. */
  #goesOn(turn: Omit<ModelTurn, 'wrote'>, from: Version = this.model.visible): void {
    this.#file();
    this.model.visible = [...from, { ...turn, wrote: [] }];
  }

  /** Something is written in what is visible, and belongs to its last turn. */
  #remembers(key: string, value: number | null): void {
    this.#file();
    const { visible } = this.model;
    const last = visible.at(-1) ?? beginning;
    this.model.visible = [...visible.slice(0, -1), { ...last, wrote: [...last.wrote, [key, value]] }];
  }

  #nextValue(): number {
    this.#wrote += 1;
    return this.#wrote;
  }

  #write(pick: number): void {
    const { pure, model } = this;
    const key = `key ${pick % 3}`;
    const deletes = pick % 4 === 0;
    const value = this.#nextValue();
    const result = pure.command(acceptState([deletes ? { op: 'delete', scopeText: '', key } : { op: 'set', scopeText: '', key, value }], { by: 'api' }));
    expect(isRefusal(result)).toBe(false);
    // Deleting what is not there is nothing.
    if (!deletes || key in stateOf(model.visible)) this.#remembers(key, deletes ? null : value);
  }

  #file(): void {
    const { redo } = this.model;
    if (redo === null) return;
    this.model.redo = null;
    this.#learn(redo);
  }

  /** A version was left as the branch that the session has filed last. */
  #learn(version: Version): void {
    const id = [...this.pure.branches.keys()].find((branchId) => !this.model.branches.has(branchId));
    if (id === undefined) throw new Error('the session has filed a branch');
    this.model.branches.set(id, version);
  }

  do(operation: (typeof operations)[number], pick: number, leavesOpen: boolean): void {
    const { pure, model } = this;
    const turns = model.visible.length - 1;
    const place = turns === 0 ? 0 : 1 + (pick % turns);
    const turnId = place === 0 ? null : (model.visible[place]?.id ?? null);
    switch (operation) {
      case 'say':
      case 'sayWithTool': {
        if (pure.session.turn !== null) return this.#finish();
        const said = this.#nextText();
        const sent = pure.send(said);
        if (isRefusal(sent)) throw new Error(sent.message);
        this.#goesOn({ id: sent.turnId, said });
        pure.claim();
        if (operation === 'sayWithTool') pure.generated([callPart(0, pick % 2 === 0 ? 'pay' : 'look')]);
        if (!leavesOpen) this.#finish();
        return;
      }
      case 'rewind': {
        const to = pick % 7 === 0 ? null : turnId;
        const busy = pure.session.turn !== null;
        const result = pure.command(acceptRewind({ turnId: to, stop: pick % 2 === 0 }));
        if (busy && pick % 2 === 1) return expect(result).toMatchObject({ refused: 'session_busy' });
        expect(isRefusal(result)).toBe(false);
        const kept = model.visible.slice(0, to === null ? 1 : place + 1);
        if (kept.length === model.visible.length) return;
        model.redo = [...model.visible, ...(model.redo ?? model.visible).slice(model.visible.length)];
        model.visible = kept;
        expect(pure.last('history-rewound')?.toTurnId).toBe(idOf(kept.at(-1)));
        return;
      }
      case 'redo': {
        const result = pure.command(acceptRedo());
        if (pure.session.turn !== null) return expect(result).toMatchObject({ refused: 'session_busy' });
        if (model.redo !== null) model.visible = model.redo;
        model.redo = null;
        return;
      }
      case 'edit':
      case 'retry': {
        if (turnId === null) return expect(pure.command(acceptEdit({ turnId: 'turn_none', message: pure.message('x'), stop: true }))).toMatchObject({ refused: 'turn_not_found' });
        const said = operation === 'edit' ? this.#nextText() : (model.visible[place]?.said ?? '');
        const edited = pure.command(acceptEdit({ turnId, message: pure.message(said), stop: true }));
        if (isRefusal(edited)) throw new Error(edited.message);
        model.redo = [...model.visible, ...(model.redo ?? model.visible).slice(model.visible.length)];
        expect(pure.last('history-rewound')?.toTurnId).toBe(idOf(model.visible[place - 1]));
        this.#goesOn({ id: edited.turnId, said }, model.visible.slice(0, place));
        pure.claim();
        if (!leavesOpen) this.#finish();
        return;
      }
      case 'restore': {
        const ids = [...model.branches.keys()];
        const branchId = ids[pick % Math.max(1, ids.length)] ?? 'br_none';
        const version = model.branches.get(branchId);
        const present = model.visible;
        const result = pure.command(acceptRestore({ branchId, stop: true }), undefined, branchId);
        if (version === undefined) return expect(result).toMatchObject({ refused: 'branch_not_found' });
        expect(isRefusal(result)).toBe(false);
        model.branches.delete(branchId);
        this.#file();
        // What is shown in its place is a branch, unless it is the beginning of what is restored.
        if (present.some(({ id, wrote }, at) => version[at]?.id !== id || wrote.some((one, nth) => version[at]?.wrote[nth] !== one))) this.#learn(present);
        model.visible = version;
        return;
      }
      case 'stop':
        pure.stop();
        return;
      case 'crash':
        if (pure.session.claim !== null) pure.takeOver(`wrk_${pick}`);
        return;
      case 'write':
        this.#write(pick);
        return;
      case 'fork':
        this.#fork(place, turnId);
    }
  }

  #nextText(): string {
    this.#said += 1;
    return `message ${this.#said}`;
  }

  /** Lets the running turn come to its end. */
  #finish(): void {
    const { pure } = this;
    for (let tries = 0; pure.session.turn !== null && tries < 20; tries += 1) {
      pure.untilDue();
      if (pure.session.claim === null) pure.claim();
      if (pure.work?.kind === 'run-calls') {
        const value = this.#nextValue();
        const writes = pure.work.run.some(({ index }) => index === 0);
        expect(pure.results(writes ? { 0: { stateWrites: { writes: [{ op: 'set', scopeText: '', key: 'by a tool', value }] } } } : {})).toBe(null);
        if (writes) this.#remembers('by a tool', value);
        if (writes) this.toolWrites += 1;
      }
      else pure.generated([textPart('so be it')]);
    }
    expect(pure.session.turn).toBe(null);
  }

  #fork(place: number, turnId: string | null): void {
    const { pure, model } = this;
    const bounds = turnId === null ? null : pure.log.find((entry) => entry.kind === 'turn-ended' && entry.turnId === turnId);
    const next = bounds == null ? undefined : pure.log.find((entry) => entry.kind === 'user-message' && entry.seq > bounds.seq && isVisible(pure.session.visible, entry.seq));
    const untilSeq = bounds == null ? pure.session.lastSeq : (next?.seq ?? pure.session.lastSeq + 1) - 1;
    const entries = pure.log.filter((entry) => isTimeline(entry) && isVisible(pure.session.visible, entry.seq) && entry.seq <= untilSeq);
    const change = forkSession(pure.session, entries, { tenant: 'acme', id: 'ses_fork' }, { turnId, endAfterInactivityMs: null, deleteAfterRestMs: null }, pure.circumstances);
    const log = change.entries;
    expect(log.map(({ seq }) => seq)).toEqual(log.map((_entry, at) => at + 1));
    const version = bounds === undefined || bounds === null ? model.visible : model.visible.slice(0, place + 1);
    expect(transcriptOf(log, change.session.visible)).toEqual(turnsOf(version));
    const marks = log.map((entry) => ({ seq: entry.seq, mark: markOf(entry) ?? '' }));
    const state = [...visibleState(marks, change.session.visible).values()].map(({ seq }) => log[seq - 1]).flatMap((entry) => (entry?.kind === 'state-changed' && entry.deleted !== true ? [[entry.key, entry.value] as const] : []));
    expect(Object.fromEntries(state)).toEqual(stateOf(version));
    expect([change.session.turn, change.session.usage.attempts, change.session.forkedFrom]).toEqual([null, 0, { sessionId: 'ses_1', turnId }]);
    expect(unansweredIn(log, change.session.visible)).toBe(null);
    this.forks += 1;
  }

  check(): void {
    const { pure, model } = this;
    expect(transcriptOf(pure.log, pure.session.visible)).toEqual(turnsOf(model.visible));
    expect(pure.stateIn()).toEqual(stateOf(model.visible));
    expect(pure.session.rewound === null).toBe(model.redo === null);
    if (model.redo !== null) expect(pure.session.rewound?.turns).toBe(model.redo.length - model.visible.length);
    expect(new Set(pure.branches.keys())).toEqual(new Set(model.branches.keys()));
    for (const [id, version] of model.branches) {
      const branch = pure.branches.get(id);
      const intervals = [...(branch?.before ?? []), ...(branch?.intervals ?? [])];
      expect(transcriptOf(pure.log, intervals)).toEqual(turnsOf(version));
      expect(pure.stateIn(intervals)).toEqual(stateOf(version));
      expect(branch?.turns).toBe(transcriptOf(pure.log, branch?.intervals ?? []).length);
    }
    if (pure.session.turn?.attempt) expect(unansweredIn(pure.log, pure.session.visible)).toBe(null);
  }
}

describe('moving through the history of a session', () => {
  it('shows what a model with a full copy of every version shows, after every command', () => {
    const met = new Map<string, number>();
    fc.assert(fc.property(steps, (commands) => {
      const world = new World();
      for (const { operation, pick, leavesOpen } of commands) {
        world.do(operation, pick, leavesOpen);
        world.check();
      }
      for (const { kind } of world.pure.log) met.set(kind, (met.get(kind) ?? 0) + 1);
      met.set('fork', (met.get('fork') ?? 0) + world.forks);
      met.set('tool write', (met.get('tool write') ?? 0) + world.toolWrites);
    }), runs);
    console.log(`history model: ${runs.numRuns} runs, ${['history-rewound', 'history-redone', 'branch-discarded', 'branch-restored', 'fork', 'attempt-lost', 'state-changed', 'tool write'].map((kind) => `${met.get(kind) ?? 0} ${kind}`).join(', ')}`);
    for (const kind of ['history-rewound', 'history-redone', 'branch-discarded', 'branch-restored', 'fork', 'attempt-lost', 'state-changed', 'tool write']) expect(met.get(kind), kind).toBeGreaterThan(0);
  });
});
