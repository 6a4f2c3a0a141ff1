import type { ActionAnswer } from '../../core/action.ts';
import type { Entry } from '../../core/entry.ts';
import type { Operation } from '../../core/operation.ts';
import type { Session } from '../../core/session.ts';
import type { ExecutionLine, JournalLine, WorkPlace } from './execution-journal.ts';
import type { Recording } from './recording.ts';

/** A user message, or an opening by the assistant, that the store acknowledged. */
export interface SentTurn {
  /** Its place in the recording. */
  readonly turn: number;
  readonly turnId: string;
  /** null: the assistant opened. */
  readonly messageId: string | null;
}

/** A message for a turn that ran, which the store acknowledged. */
export interface SentSteer {
  /** The recorded step whose calls ran. */
  readonly turn: number;
  readonly step: number;
  readonly messageId: string;
  /** The step could not go on before it was acknowledged, so that it is certain where it joins. */
  readonly held: boolean;
}

/** All that is known of one conversation when the run is over. */
export interface ConversationEvidence {
  readonly recording: Recording;
  /** null: it is not in the store. */
  readonly session: Session | null;
  /** The whole log. */
  readonly entries: readonly Entry[];
  readonly sent: readonly SentTurn[];
  /** Digests of the entries that were read during the run, by seq: what was shown once must still be there. */
  readonly seen: ReadonlyMap<number, string>;
  readonly steers: readonly SentSteer[];
  /** Answers that were acknowledged, by action. */
  readonly answers: ReadonlyMap<string, ActionAnswer>;
  /** As the store has them. */
  readonly operations: readonly Operation[];
}

/** A process that was killed: `killedAtMs` before the signal was sent, `goneAtMs` after its end was heard of. */
export interface Kill {
  readonly worker: number;
  readonly killedAtMs: number;
  readonly goneAtMs: number;
}

/** Something that is not as it must be. */
export interface Difference {
  readonly count: 'mismatches' | 'lost' | 'duplicated';
  /** Id of the conversation; empty when it is of the run as a whole. */
  readonly conversation: string;
  /** `turn 2, step 1, call 0 (book_reservation)`, counted from 0; empty for the conversation as a whole. */
  readonly where: string;
  readonly problem: string;
  readonly recorded?: string;
  readonly found?: string;
}

/** What a check finds in one conversation, before it is said whose it is. */
export type Finding = Omit<Difference, 'conversation'>;

/** What happened outside the store, so that the log can be held against it. */
export class RunEvidence {
  readonly kills: readonly Kill[];
  readonly #leaseLosses: readonly { readonly worker: number; readonly atMs: number }[];
  readonly #tools = new Map<string, ExecutionLine[]>();
  readonly #models = new Map<string, ExecutionLine[]>();
  readonly #callKeys = new Map<string, string[]>();

  constructor(journal: readonly JournalLine[], kills: readonly Kill[]) {
    this.kills = kills;
    this.#leaseLosses = journal.flatMap((line) => (line.kind === 'note' && line.event === 'lease-lost' ? [line] : []));
    for (const line of journal) {
      if (line.kind === 'model') add(this.#models, placeName(line), line);
      else if (line.kind === 'tool' && line.callKey !== undefined) {
        if (!this.#tools.has(line.callKey)) add(this.#callKeys, line.callKey.split('/', 1)[0] ?? '', line.callKey);
        add(this.#tools, line.callKey, line);
      }
    }
  }

  /** The begins of a call's real runs. */
  runsOf(callKey: string): readonly ExecutionLine[] {
    return (this.#tools.get(callKey) ?? []).filter(({ phase }) => phase === 'begin');
  }

  /** All calls of a session that really ran. */
  callKeysOf(sessionId: string): readonly string[] {
    return this.#callKeys.get(sessionId) ?? [];
  }

  generationsOf(place: WorkPlace, phase: ExecutionLine['phase']): readonly ExecutionLine[] {
    return (this.#models.get(placeName(place)) ?? []).filter((line) => line.phase === phase);
  }

  /** Whether what a process did at that time was cut by its kill, which the log knew of at `seenAtMs`. */
  isCutByKill({ worker, atMs }: Pick<ExecutionLine, 'worker' | 'atMs'>, seenAtMs: number): boolean {
    return this.kills.some((kill) => kill.worker === worker && atMs <= kill.goneAtMs && kill.killedAtMs <= seenAtMs);
  }

  /** Whether a process died, or lost its lease, after it did this. */
  diedLater({ worker, atMs }: Pick<ExecutionLine, 'worker' | 'atMs'>): boolean {
    return this.kills.some((kill) => kill.worker === worker && atMs <= kill.goneAtMs) || this.#leaseLosses.some((loss) => loss.worker === worker && atMs <= loss.atMs);
  }

  /** Whether any process was killed in that time. */
  anyKilledBetween(fromMs: number, toMs: number): boolean {
    return this.kills.some(({ killedAtMs, goneAtMs }) => goneAtMs >= fromMs && killedAtMs <= toMs);
  }

  /** Whether any process died, or lost its lease, in that time. */
  anyDiedBetween(fromMs: number, toMs: number): boolean {
    return this.kills.some(({ killedAtMs, goneAtMs }) => goneAtMs >= fromMs && killedAtMs <= toMs) || this.#leaseLosses.some(({ atMs }) => atMs >= fromMs && atMs <= toMs);
  }
}

function add<Value>(lists: Map<string, Value[]>, key: string, value: Value): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}

function placeName({ conversation, turn, step }: WorkPlace): string {
  return `${conversation}/${turn}/${step}`;
}
