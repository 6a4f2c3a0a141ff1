import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { acceptEdit } from '../../src/core/accept/edit.ts';
import { forkSession } from '../../src/core/accept/fork.ts';
import { acceptEnterNode } from '../../src/core/accept/node.ts';
import { acceptRestore } from '../../src/core/accept/restore.ts';
import { acceptRedo, acceptRewind } from '../../src/core/accept/rewind.ts';
import { acceptState } from '../../src/core/accept/state.ts';
import type { Entry } from '../../src/core/entry.ts';
import { isTimeline } from '../../src/core/entry-format.ts';
import { isRefusal } from '../../src/core/errors.ts';
import { markOf, nodeIn } from '../../src/core/history.ts';
import { isVisible } from '../../src/core/intervals.ts';
import type { NodeRules } from '../../src/core/node.ts';
import type { NodeMove } from '../../src/core/node-entry.ts';
import { visibleState } from '../../src/core/state-reading.ts';
import { foldTranscript } from '../../src/core/transcript.ts';
import { unansweredIn } from '../support/answered-prompt.ts';
import { PureSession, callPart, rulesWith, textPart } from '../support/pure-session.ts';
import { seedOf } from '../support/seed.ts';

/** A turn as the model keeps it: its id, and what was said in it; null: the agent opened it. */
interface ModelTurn {
  readonly id: string;
  readonly said: string | null;
  /** What was done in it and up to the next turn: a key of the state written (null: deleted), or a node entered. */
  readonly did: readonly (Wrote | Entered)[];
}

interface Wrote {
  readonly key: string;
  readonly value: number | null;
}

interface Entered {
  readonly node: string;
}

/** The turns of a conversation, and before them one that has no id: what was written before the first. */
type Version = readonly ModelTurn[];

const beginning: ModelTurn = { id: '', said: '', did: [{ node: 'hall' }] };

function stateOf(version: Version): Readonly<Record<string, number>> {
  const values = new Map<string, number>();
  for (const done of version.flatMap(({ did }) => did)) {
    if (!('key' in done)) continue;
    if (done.value === null) values.delete(done.key);
    else values.set(done.key, done.value);
  }
  return Object.fromEntries(values);
}

function entered(version: Version): readonly string[] {
  return version.flatMap(({ did }) => did).flatMap((done) => ('node' in done ? [done.node] : []));
}

function nodeOf(version: Version): string {
  return entered(version).at(-1) ?? '';
}

function turnsOf(version: Version): readonly Pick<ModelTurn, 'id' | 'said'>[] {
  return version.slice(1).map(({ id, said }) => ({ id, said }));
}

/** From each node lead some; two of them are entered with a greeting. */
const nodes: NodeRules = {
  first: 'hall',
  nodes: new Map([
    ['hall', { transitions: new Set(['desk', 'office']), greeting: null, ends: false }],
    ['desk', { transitions: new Set(['hall', 'office']), greeting: { kind: 'text', text: 'This is the desk.' }, ends: false }],
    ['office', { transitions: new Set(['hall']), greeting: { kind: 'model' }, ends: false }],
  ]),
};
const nodeNames = [...nodes.nodes.keys()];

/** The naive model: a full copy of every version of the conversation. */
interface Model {
  visible: Version;
  /** All that redo would show. */
  redo: Version | null;
  /** Each branch by its first turn left, with the whole conversation that restoring shows. */
  branches: Map<string, Version>;
}

const operations = ['say', 'say', 'sayWithTool', 'sayWithTool', 'go', 'enter', 'enter', 'replace', 'rewind', 'rewind', 'redo', 'edit', 'retry', 'restore', 'restore', 'stop', 'crash', 'crash', 'fork', 'write', 'write'] as const;
const runs = { seed: seedOf('history model'), numRuns: Number(process.env['HOLDFAST_HISTORY_RUNS'] ?? 600) };
const steps = fc.array(fc.record({ operation: fc.constantFrom(...operations), pick: fc.nat(999), leavesOpen: fc.boolean() }), { minLength: 5, maxLength: 40, size: 'max' });

/** The turns that begin in a history, as the transcript shows what was said in them. */
function transcriptOf(log: readonly Entry[], visible: PureSession['session']['visible']): ReturnType<typeof turnsOf> {
  const said = new Map(foldTranscript(log, visible).filter(({ role }) => role === 'user').map(({ metadata, parts }) => [metadata.turnId, parts.map((part) => ('text' in part ? part.text : '')).join('')]));
  return log.filter((entry) => isVisible(visible, entry.seq) && (entry.kind === 'user-message' || entry.kind === 'turn-started'))
    .map((entry) => ('turnId' in entry ? { id: entry.turnId ?? '', said: said.get(entry.turnId ?? '') ?? null } : { id: '', said: null }));
}

/** Each of it has to have happened, lest the test say nothing of it. */
const whatHappens = [
  'history-rewound', 'history-redone', 'branch-discarded', 'branch-restored', 'fork', 'attempt-lost', 'stopped turn', 'state-changed', 'tool write', 'node-entered',
  'move byTool', 'move byCall', 'move stale', 'move notAllowed', 'move lost', 'move greeted',
];

/** What is kept from before the first turn is no turn's. */
function idOf(version: { readonly id: string } | undefined): string | null {
  return version === undefined || version.id === '' ? null : version.id;
}

/** The calls of a step that are open: a tool that may take a transition, and those that ask for one and nothing else. */
interface OpenStep {
  readonly tool: 'pay' | 'look';
  readonly takes: NodeMove | null;
  readonly asks: readonly NodeMove[];
}

class World {
  readonly pure = new PureSession({}, rulesWith({ nodes }));
  #step: OpenStep | null = null;
  readonly model: Model = { visible: [beginning], redo: null, branches: new Map() };
  /** The branch ids in the order that they were filed. */
  readonly filed: string[] = [];
  #said = 0;
  #wrote = 0;
  forks = 0;
  toolWrites = 0;
  readonly moved = { byTool: 0, byCall: 0, stale: 0, notAllowed: 0, lost: 0, greeted: 0 };

  /** The conversation goes on: what could be redone is a branch from now on. */
  #goesOn(turn: Omit<ModelTurn, 'did'>, from: Version = this.model.visible): void {
    this.#file();
    this.model.visible = [...from, { ...turn, did: [] }];
  }

  /** Something is done in what is visible, and belongs to its last turn. */
  #remembers(done: Wrote | Entered): void {
    this.#file();
    const { visible } = this.model;
    const last = visible.at(-1) ?? beginning;
    this.model.visible = [...visible.slice(0, -1), { ...last, did: [...last.did, done] }];
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
    if (!deletes || key in stateOf(model.visible)) this.#remembers({ key, value: deletes ? null : value });
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

  /** The calls of the open step come to their ends; `ran`: the tool did, and wrote. */
  #answered(ran: number | null): void {
    const step = this.#step;
    this.#step = null;
    if (step === null) return;
    const before = nodeOf(this.model.visible);
    const { takes, asks, tool } = step;
    if (ran !== null && tool === 'pay' && (takes === null || takes.from === before)) {
      this.#remembers({ key: 'by a tool', value: ran });
      this.toolWrites += 1;
    }
    const moves = [...(ran === null || takes === null ? [] : [takes]), ...asks];
    const move = moves.find(({ from }) => from === before);
    this.moved.stale += moves.length - (move === undefined ? 0 : 1);
    if (move === undefined) return;
    this.#remembers({ node: move.to });
    if (asks.includes(move)) this.moved.byCall += 1;
    else this.moved.byTool += 1;
  }

  /** A transition from the present node to another one. */
  #move(pick: number): NodeMove {
    const from = nodeOf(this.model.visible);
    const targets = [...(nodes.nodes.get(from)?.transitions ?? [])];
    return { from, to: targets[pick % targets.length] ?? 'hall' };
  }

  #enter(pick: number, leavesOpen: boolean): void {
    const { pure, model } = this;
    const node = nodeNames[pick % nodeNames.length] ?? 'hall';
    const from = nodeOf(model.visible);
    const result = pure.command(acceptEnterNode({ node }, nodes));
    if (node !== from && nodes.nodes.get(from)?.transitions.has(node) !== true) {
      this.moved.notAllowed += 1;
      return expect(result).toMatchObject({ refused: 'node_not_allowed' });
    }
    if (isRefusal(result)) throw new Error(result.message);
    expect([result.node, result.from]).toEqual([node, from]);
    if (node === from) return;
    const greets = pure.log.at(-1)?.kind === 'turn-ended' || result.turnId !== null;
    expect(greets).toBe((pure.session.turn === null || result.turnId !== null) && (nodes.nodes.get(node)?.greeting ?? null) !== null && !entered(model.visible).includes(node));
    if (result.turnId !== null) {
      this.#goesOn({ id: result.turnId, said: null });
      this.moved.greeted += 1;
    }
    this.#remembers({ node });
    if (pure.session.turn === null || result.turnId === null) return;
    pure.claim();
    if (!leavesOpen) this.#finish();
  }

  do(operation: (typeof operations)[number], pick: number, leavesOpen: boolean): void {
    this.#do(operation, pick, leavesOpen);
    // What a turn that is over had asked for is not done any more.
    if (this.pure.session.turn !== null || this.#step === null) return;
    if (this.#step.takes !== null || this.#step.asks.length > 0) this.moved.lost += 1;
    this.#step = null;
  }

  #do(operation: (typeof operations)[number], pick: number, leavesOpen: boolean): void {
    const { pure, model } = this;
    const turns = model.visible.length - 1;
    const place = turns === 0 ? 0 : 1 + (pick % turns);
    const turnId = place === 0 ? null : (model.visible[place]?.id ?? null);
    switch (operation) {
      case 'say':
      case 'go':
      case 'sayWithTool': {
        if (pure.session.turn !== null) return this.#finish();
        const said = this.#nextText();
        const sent = pure.send(said);
        if (isRefusal(sent)) throw new Error(sent.message);
        this.#goesOn({ id: sent.turnId, said });
        pure.claim();
        if (operation === 'sayWithTool') this.#callTool(pick);
        if (operation === 'go') this.#go(pick);
        if (!leavesOpen) this.#finish();
        return;
      }
      case 'replace': {
        if (pure.session.turn === null) return;
        const left = model.visible;
        const said = this.#nextText();
        const sent = pure.send(said, 'replace');
        if (isRefusal(sent)) throw new Error(sent.message);
        this.#goesOn({ id: sent.turnId, said }, left.slice(0, -1));
        this.#learn(left);
        this.#step = null;
        pure.claim();
        if (!leavesOpen) this.#finish();
        return;
      }
      case 'enter':
        return this.#enter(pick, leavesOpen);
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
        this.#step = null;
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
        if (present.some(({ id, did }, at) => version[at]?.id !== id || did.some((one, nth) => version[at]?.did[nth] !== one))) this.#learn(present);
        model.visible = version;
        return;
      }
      case 'stop':
        pure.stop();
        return;
      case 'crash':
        if (pure.session.claim === null) return;
        pure.takeOver(`wrk_${pick}`);
        // What may have run has come to an end by that, and its step with it; what is run again has not.
        if (pure.session.turn !== null && this.#step?.tool === 'pay') this.#answered(null);
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

  /** The model calls a tool, which may take a transition, and asks for transitions beside it. */
  #callTool(pick: number): void {
    const tool = pick % 2 === 0 ? 'pay' : 'look';
    const asks = [...(pick % 3 === 0 ? [this.#move(pick)] : []), ...(pick % 6 === 0 ? [this.#move(pick + 1)] : [])];
    this.#step = { tool, takes: pick % 5 < 2 ? this.#move(pick + 1) : null, asks };
    this.pure.generated([callPart(0, tool), ...asks.map((transition, at) => callPart(at + 1, `go_to_${transition.to}`, { transition }))]);
  }

  /** The model asks for a transition, which needs nobody to run it. */
  #go(pick: number): void {
    const transition = this.#move(pick);
    this.#step = { tool: 'look', takes: null, asks: [transition] };
    this.pure.generated([callPart(0, `go_to_${transition.to}`, { transition })]);
    this.#answered(null);
  }

  /** Lets the running turn come to its end. */
  #finish(): void {
    const { pure } = this;
    for (let tries = 0; pure.session.turn !== null && tries < 20; tries += 1) {
      pure.untilDue();
      if (pure.session.claim === null) pure.claim();
      if (pure.work?.kind === 'run-calls') {
        const value = this.#nextValue();
        const { takes = null, tool } = this.#step ?? {};
        const writes = tool === 'pay' ? { stateWrites: { writes: [{ op: 'set' as const, scopeText: '', key: 'by a tool', value }] } } : {};
        expect(pure.results({ 0: { ...writes, ...(takes === null ? {} : { nodeMove: takes }) } })).toBe(null);
        this.#answered(value);
      }
      else pure.generated([textPart('so be it')]);
    }
    expect(pure.session.turn).toBe(null);
  }

  #fork(place: number, turnId: string | null): void {
    const { pure, model } = this;
    const bounds = turnId === null ? null : pure.log.find((entry) => entry.kind === 'turn-ended' && entry.turnId === turnId);
    const next = bounds == null ? undefined : pure.log.find((entry) => (entry.kind === 'user-message' || entry.kind === 'turn-started') && entry.seq > bounds.seq && isVisible(pure.session.visible, entry.seq));
    const untilSeq = bounds == null ? pure.session.lastSeq : (next?.seq ?? pure.session.lastSeq + 1) - 1;
    const entries = pure.log.filter((entry) => isTimeline(entry) && isVisible(pure.session.visible, entry.seq) && entry.seq <= untilSeq);
    const change = forkSession(pure.session, entries, { tenant: 'acme', id: 'ses_fork' }, { turnId, endAfterInactivityMs: null, deleteAfterRestMs: null, nodes }, pure.circumstances);
    const log = change.entries;
    expect(log.map(({ seq }) => seq)).toEqual(log.map((_entry, at) => at + 1));
    const version = bounds === undefined || bounds === null ? model.visible : model.visible.slice(0, place + 1);
    expect(transcriptOf(log, change.session.visible)).toEqual(turnsOf(version));
    const marks = log.map((entry) => ({ seq: entry.seq, mark: markOf(entry) ?? '' }));
    const state = [...visibleState(marks, change.session.visible).values()].map(({ seq }) => log[seq - 1]).flatMap((entry) => (entry?.kind === 'state-changed' && entry.deleted !== true ? [[entry.key, entry.value] as const] : []));
    expect(Object.fromEntries(state)).toEqual(stateOf(version));
    expect([change.session.node, nodeIn(marks, change.session.visible)]).toEqual([nodeOf(version), nodeOf(version)]);
    expect([change.session.turn, change.session.usage.attempts, change.session.forkedFrom]).toEqual([null, 0, { sessionId: 'ses_1', turnId }]);
    expect(unansweredIn(log, change.session.visible)).toBe(null);
    this.forks += 1;
  }

  check(): void {
    const { pure, model } = this;
    expect(transcriptOf(pure.log, pure.session.visible)).toEqual(turnsOf(model.visible));
    expect(pure.stateIn()).toEqual(stateOf(model.visible));
    expect(pure.session.node).toBe(nodeOf(model.visible));
    expect(pure.session.rewound === null).toBe(model.redo === null);
    if (model.redo !== null) expect(pure.session.rewound?.turns).toBe(model.redo.length - model.visible.length);
    expect(new Set(pure.branches.keys())).toEqual(new Set(model.branches.keys()));
    for (const [id, version] of model.branches) {
      const branch = pure.branches.get(id);
      const intervals = [...(branch?.before ?? []), ...(branch?.intervals ?? [])];
      expect(transcriptOf(pure.log, intervals)).toEqual(turnsOf(version));
      expect(pure.stateIn(intervals)).toEqual(stateOf(version));
      expect(nodeIn(pure.marks(), intervals)).toBe(nodeOf(version));
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
      for (const [what, times] of Object.entries(world.moved)) met.set(`move ${what}`, (met.get(`move ${what}`) ?? 0) + times);
      met.set('stopped turn', (met.get('stopped turn') ?? 0) + world.pure.entries('turn-ended').filter(({ reason }) => reason === 'stopped').length);
    }), runs);
    console.log(`history model: ${runs.numRuns} runs, ${whatHappens.map((kind) => `${met.get(kind) ?? 0} ${kind}`).join(', ')}`);
    for (const kind of whatHappens) expect(met.get(kind), kind).toBeGreaterThan(0);
  }, 600_000);
});
