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

/** A process that was stopped for longer than its lease, and went on: `pausedAtMs` before the one signal was sent, `resumedAtMs` after the other. */
export interface Pause {
  readonly worker: number;
  readonly pausedAtMs: number;
  readonly resumedAtMs: number;
}

/** When a process was cut off from its work: killed, paused, or without its lease. `untilMs` is after what it did last before it knew. */
interface Cut {
  readonly kind: 'kill' | 'pause' | 'lease-loss';
  readonly worker: number;
  readonly fromMs: number;
  readonly untilMs: number;
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
  readonly #cuts: readonly Cut[];
  readonly #tools = new Map<string, ExecutionLine[]>();
  readonly #models = new Map<string, ExecutionLine[]>();
  readonly #callKeys = new Map<string, string[]>();
  readonly #generations = new Map<string, ExecutionLine[]>();

  constructor(journal: readonly JournalLine[], kills: readonly Kill[], pauses: readonly Pause[] = []) {
    const ends: readonly Cut[] = [
      ...kills.map(({ worker, killedAtMs, goneAtMs }): Cut => ({ kind: 'kill', worker, fromMs: killedAtMs, untilMs: goneAtMs })),
      ...journal.flatMap((line): Cut[] => (line.kind === 'note' && line.event === 'lease-lost' ? [{ kind: 'lease-loss', worker: line.worker, fromMs: line.atMs, untilMs: line.atMs }] : [])),
    ];
    this.#cuts = [...ends, ...pauses.map((pause) => pauseCut(pause, ends))];
    for (const line of journal) {
      if (line.kind === 'model') {
        add(this.#models, placeName(line), line);
        if (line.sessionId !== undefined && line.phase === 'begin') add(this.#generations, line.sessionId, line);
      }
      if (line.kind === 'tool' && line.callKey !== undefined) {
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

  /** The begins of a session's real generations, where the model was told whose they are. */
  generationsIn(sessionId: string): readonly ExecutionLine[] {
    return this.#generations.get(sessionId) ?? [];
  }

  /** Whether the process was cut off from what it did at that time, and the log knew of that at `seenAtMs`. */
  isCutOff({ worker, atMs }: Pick<ExecutionLine, 'worker' | 'atMs'>, seenAtMs: number): boolean {
    return this.#cuts.some((cut) => cut.worker === worker && atMs <= cut.untilMs && cut.fromMs <= seenAtMs);
  }

  /** Whether the process was cut off after it did this. */
  isCutOffLater({ worker, atMs }: Pick<ExecutionLine, 'worker' | 'atMs'>): boolean {
    return this.#cuts.some((cut) => cut.worker === worker && atMs <= cut.untilMs);
  }

  /** Whether the process was paused before it did this, and had not found out yet that its lease was over. */
  isByPaused({ worker, atMs }: Pick<ExecutionLine, 'worker' | 'atMs'>): boolean {
    return this.#cuts.some((cut) => cut.kind === 'pause' && cut.worker === worker && cut.fromMs <= atMs && atMs <= cut.untilMs);
  }

  /** Whether any process was cut off in that time. */
  anyCutOffBetween(fromMs: number, toMs: number): boolean {
    return this.#cuts.some((cut) => cut.untilMs >= fromMs && cut.fromMs <= toMs);
  }
}

/** A paused process is cut off until it says that its lease is lost, or is killed. */
function pauseCut({ worker, pausedAtMs, resumedAtMs }: Pause, ends: readonly Cut[]): Cut {
  const known = ends.filter((end) => end.worker === worker && end.untilMs >= pausedAtMs).map(({ untilMs }) => untilMs);
  return { kind: 'pause', worker, fromMs: pausedAtMs, untilMs: known.length === 0 ? resumedAtMs : Math.max(resumedAtMs, Math.min(...known)) };
}

function add<Value>(lists: Map<string, Value[]>, key: string, value: Value): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}

function placeName({ conversation, turn, step }: WorkPlace): string {
  return `${conversation}/${turn}/${step}`;
}
