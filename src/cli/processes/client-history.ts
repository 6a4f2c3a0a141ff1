import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import type { JsonValue } from '../../core/json.ts';

/** What clients ask for. Everything from `read-session` on changes nothing. */
export type ClientCommand =
  | 'create' | 'send' | 'edit' | 'retry' | 'edit-queued' | 'delete-queued' | 'promote' | 'hold' | 'release' | 'stop' | 'decide' | 'cancel-operation'
  | 'rewind' | 'redo' | 'restore' | 'fork' | 'delete' | 'set-state' | 'increment' | 'compare-and-set'
  /** Another request under a key that was used: to be refused. */
  | 'misuse-key'
  | 'read-session' | 'read-entries' | 'read-messages' | 'read-value' | 'read-list';

/** A request as a client means it: one effect, however often it is sent. */
export interface ClientRequest {
  readonly command: ClientCommand;
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly body?: JsonValue;
  /** Sent as `Idempotency-Key`; absent where the command is harmless to repeat, or goes by its message id. */
  readonly key?: string;
  /** Sent as `If-Match`. */
  readonly ifMatch?: number;
  /** The session that it is about. */
  readonly sessionId?: string;
  /** What it names in the session, or makes: a message, an action, an operation, a value of state. */
  readonly target?: string;
}

/** What came back whole: status, body, and the revision or version that the `ETag` names. */
export interface ClientReply {
  readonly status: number;
  readonly body: JsonValue;
  readonly tag: number | null;
}

/** A line of the outside file: `invoke` is written before a request is sent for the first time, the others when it is known how a sending ended. */
export type HistoryLine =
  | { readonly kind: 'invoke'; readonly call: number; readonly client: number; readonly request: ClientRequest }
  /** A reply was read to its end. `again`: it is that to a repetition, sent when another reply had been read. */
  | { readonly kind: 'reply'; readonly call: number; readonly reply: ClientReply; readonly again?: true }
  /** No reply came, or one that leaves open what became of the request: it may have been carried out, or may yet be. */
  | { readonly kind: 'cut'; readonly call: number; readonly reason: string };

/** One request of a client with all that it knows of it. Times are places in the file, which are the order in which everything was seen outside. */
export interface ClientCall {
  readonly number: number;
  readonly client: number;
  readonly request: ClientRequest;
  readonly invokedAt: number;
  /** When the first reply was read; null: it never had one. */
  readonly repliedAt: number | null;
  /** Of those sent side by side one that was carried out, else the first. */
  readonly reply: ClientReply | null;
  /** Replies to repetitions, and to what was sent beside it. */
  readonly others: readonly { readonly reply: ClientReply; readonly again: boolean }[];
  readonly cuts: readonly string[];
}

/** What must be true of a call's effect: it is there once; it is not there; or nobody outside can know. */
export type Verdict = 'acknowledged' | 'refused' | 'open';

/** A refusal after a cut says nothing of what was cut: a process that was stopped may carry it out later. */
export function verdictOf({ reply, cuts }: Pick<ClientCall, 'reply' | 'cuts'>): Verdict {
  if (reply === null) return 'open';
  if (isDone(reply)) return 'acknowledged';
  return cuts.length > 0 ? 'open' : 'refused';
}

export function isDone({ status }: ClientReply): boolean {
  return status < 300;
}

/** The calls that were acknowledged, each with its reply and when it was read. */
export function acknowledgedOf(calls: readonly ClientCall[]): readonly AcknowledgedCall[] {
  return calls.filter((call): call is AcknowledgedCall => call.reply !== null && call.repliedAt !== null && verdictOf(call) === 'acknowledged');
}

export type AcknowledgedCall = ClientCall & { readonly reply: ClientReply; readonly repliedAt: number };

/** The outside file: appended line by line, by the one process that nobody kills. */
export class HistoryFile implements Disposable {
  readonly #path: string;
  readonly #file: number;

  constructor(path: string) {
    this.#path = path;
    this.#file = openSync(path, 'a');
  }

  write(line: HistoryLine): void {
    writeSync(this.#file, `${JSON.stringify(line)}\n`);
  }

  /** All that was written, as calls. */
  read(): readonly ClientCall[] {
    const lines = readFileSync(this.#path, 'utf8').split('\n').filter((line) => line !== '');
    return callsOf(lines.map((line) => JSON.parse(line) as HistoryLine));
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }
}

/** The lines of a history as calls, in the order in which they were invoked. */
export function callsOf(lines: readonly HistoryLine[]): readonly ClientCall[] {
  const calls = new Map<number, ClientCall>();
  for (const [at, line] of lines.entries()) {
    if (line.kind === 'invoke') {
      calls.set(line.call, { number: line.call, client: line.client, request: line.request, invokedAt: at, repliedAt: null, reply: null, others: [], cuts: [] });
      continue;
    }
    const call = calls.get(line.call);
    if (call !== undefined) calls.set(line.call, line.kind === 'cut' ? { ...call, cuts: [...call.cuts, line.reason] } : withReply(call, line.reply, line.again === true, at));
  }
  return [...calls.values()];
}

function withReply(call: ClientCall, reply: ClientReply, again: boolean, at: number): ClientCall {
  if (call.reply === null) return { ...call, reply, repliedAt: at };
  // Of two sent side by side the one may be refused before the other is carried out: that one counts, and when it was read.
  if (!again && isDone(reply) && !isDone(call.reply)) return { ...call, reply, repliedAt: at, others: [...call.others, { reply: call.reply, again: false }] };
  return { ...call, others: [...call.others, { reply, again }] };
}
