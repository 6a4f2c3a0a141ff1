import path from 'node:path';
import { compareConversation, type Comparison } from '../../src/cli/replay/compare.ts';
import { RunEvidence, type ConversationEvidence, type Kill } from '../../src/cli/replay/evidence.ts';
import { ExecutionJournal, readJournals, type ExecutionLine, type JournalLine } from '../../src/cli/replay/execution-journal.ts';
import { atOnce } from '../../src/cli/replay/pace.ts';
import type { Recording } from '../../src/cli/replay/recording.ts';
import { replayAgents } from '../../src/cli/replay/replay-agents.ts';
import { sendConversation } from '../../src/cli/replay/send-conversation.ts';
import type { Entry, EntryOf, EntryKind } from '../../src/core/entry.ts';
import type { Operation } from '../../src/core/operation.ts';
import type { Session } from '../../src/core/session.ts';
import { createHoldfast } from '../../src/create-holdfast.ts';
import { temporaryFolder } from './temporary-folder.ts';

/** What a real run of one recorded conversation left behind; a test plants a fault in a copy of it. */
export interface Planted {
  entries: Mutable<Entry>[];
  session: Mutable<Session>;
  sent: Mutable<ConversationEvidence['sent'][number]>[];
  seen: Map<number, string>;
  steers: Mutable<ConversationEvidence['steers'][number]>[];
  answers: Map<string, ConversationEvidence['answers'] extends ReadonlyMap<string, infer Answer> ? Answer : never>;
  operations: Mutable<Operation>[];
  journal: JournalLine[];
  kills: Kill[];
}

export type Mutable<Value> = { -readonly [Key in keyof Value]: Value[Key] };

/** A conversation that was replayed once, and the comparison of what faults make of it. */
export class ReplayedConversation {
  readonly real: Planted;
  readonly #recording: Recording;

  constructor(recording: Recording, real: Planted) {
    this.#recording = recording;
    this.real = real;
  }

  compare(plant: (planted: Planted) => void = () => undefined): Comparison {
    const planted = structuredClone(this.real);
    plant(planted);
    const { journal, kills, entries, ...known } = planted;
    return compareConversation({ recording: this.#recording, ...known, entries: entries as Entry[] }, new RunEvidence(journal, kills));
  }

  /** What is found of a planted fault, as `count: problem`. The digests are taken anew, so that the change itself is not what is found. */
  found(plant: (planted: Planted) => void, options: { readonly keepSeen?: true } = {}): readonly string[] {
    return this.compare((planted) => {
      plant(planted);
      if (options.keepSeen !== true) planted.seen.clear();
    }).differences.map(({ count, problem }) => `${count}: ${problem}`);
  }
}

/** Replays a recording in this process, and reads all that it left behind. Throws when the replay itself has problems. */
export async function replayOnce(recording: Recording): Promise<ReplayedConversation> {
  const folder = await temporaryFolder();
  try {
    using journal = new ExecutionJournal(folder.path, { worker: 1, pid: process.pid });
    const agents = replayAgents({ runId: 'planted', recordings: [recording], journal, pace: atOnce, seed: 1 });
    await using holdfast = await createHoldfast({ agents, store: `sqlite:${path.join(folder.path, 'a.db')}` });
    const signal = new AbortController().signal;
    const { sessionId, sent, seen, steers, answers, problems } = await sendConversation({
      holdfast, runId: 'planted', pace: atOnce, seed: 1, turnTimeoutMs: 10_000, signal, mayGoOn: async () => undefined, onTurn: () => undefined,
    }, recording);
    if (problems.length > 0) throw new Error(JSON.stringify(problems));
    const ref = { tenant: 'default', id: sessionId ?? '' };
    const session = await holdfast.store.readSession(ref);
    if (session === null) throw new Error('the session is in the store');
    return new ReplayedConversation(recording, {
      entries: [...await holdfast.store.readEntries(ref, { limit: 500 })], session, sent: [...sent], seen: new Map(seen), steers: [...steers], answers: new Map(answers),
      operations: [...(await holdfast.store.listOperations(ref, { limit: 100 })).items], journal: [...readJournals(folder.path)], kills: [],
    });
  } finally {
    await folder.remove();
  }
}

export function entryOf<Kind extends EntryKind>({ entries }: Planted, kind: Kind, place = 0): Mutable<EntryOf<Kind>> {
  const entry = entries.filter((each) => each.kind === kind)[place];
  if (entry === undefined) throw new Error(`the log has a ${kind} at ${place}`);
  return entry as unknown as Mutable<EntryOf<Kind>>;
}

/** Changes the result of a call in the first results of the log. */
export function withResult(planted: Planted, call: number, fields: object): void {
  const entry = entryOf(planted, 'tool-results');
  entry.results = entry.results.map((result) => (result.index === call ? { ...result, ...fields } : result));
}

/** The line of the journal that says that a call of some step began, or ended. */
export function runOf({ journal }: Planted, call: number, phase: 'begin' | 'end' = 'begin'): Mutable<ExecutionLine> {
  const line = journal.find((each) => each.kind === 'tool' && each.phase === phase && each.callKey?.endsWith(`/${call}`) === true);
  if (line === undefined || line.kind === 'note') throw new Error(`call ${call} ran`);
  return line;
}

/** The log goes on with seq after seq, whatever is put in or taken out. */
export function renumber({ entries, session }: Planted): void {
  for (const [index, entry] of entries.entries()) entry.seq = index + 1;
  session.lastSeq = entries.length;
}

/** Another process runs the call again, as after a takeover. */
export function runAgain(planted: Planted, call: number): void {
  planted.journal.push({ ...runOf(planted, call), worker: 2, pid: 2, number: 50 });
}

/** The process that did this is killed just then. */
export function killAfter({ kills }: Planted, { worker, atMs }: Pick<ExecutionLine, 'worker' | 'atMs'>): void {
  kills.push({ worker, killedAtMs: atMs, goneAtMs: atMs });
}
