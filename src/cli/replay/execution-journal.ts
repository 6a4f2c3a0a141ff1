import { closeSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** Where in the recordings something is done. */
export interface WorkPlace {
  readonly conversation: number;
  readonly turn: number;
  readonly step: number;
}

/** Which process wrote a line: `worker` is the number that the run gave it, never used again as pids are. */
export interface JournalSource {
  readonly worker: number;
  readonly pid: number;
}

/** One execution's begin or end. `number` is the execution's own within its process. */
export interface ExecutionLine extends JournalSource, WorkPlace {
  readonly kind: 'model' | 'tool';
  readonly phase: 'begin' | 'end';
  readonly number: number;
  /** Of a tool: the engine's name of the call. */
  readonly callKey?: string;
  /** Of a generation, where the model is told: whose it is. */
  readonly sessionId?: string;
  readonly atMs: number;
}

/** What a worker said of its work: a lost lease explains a call that ran twice. */
export interface NoteLine extends JournalSource {
  readonly kind: 'note';
  readonly level: string;
  readonly event: string;
  readonly detail: string;
  readonly atMs: number;
}

export type JournalLine = ExecutionLine | NoteLine;

/**
 * Writes down, outside the store, each execution as it begins and as it ends: one line per write, appended, the begin before the effect, so
 * that after a kill the file says what was cut. It survives the death of the process, not of the machine.
 */
export class ExecutionJournal implements Disposable {
  readonly #source: JournalSource;
  readonly #file: number;
  #number = 0;

  constructor(folder: string, source: JournalSource) {
    this.#source = source;
    this.#file = openSync(journalPath(folder, source.worker), 'a');
  }

  /** Notes a begin; the returned function notes the end, once however often it is called. */
  begin(kind: ExecutionLine['kind'], place: WorkPlace, names: Pick<ExecutionLine, 'callKey' | 'sessionId'> = {}): () => void {
    const number = this.#number;
    this.#number += 1;
    const { conversation, turn, step } = place;
    const line = { kind, number, conversation, turn, step, ...names };
    this.#write({ ...line, phase: 'begin' });
    let ended = false;
    return () => {
      if (!ended) this.#write({ ...line, phase: 'end' });
      ended = true;
    };
  }

  note(level: string, event: string, detail: string): void {
    this.#write({ kind: 'note', level, event, detail });
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }

  #write(line: Record<string, unknown>): void {
    writeSync(this.#file, `${JSON.stringify({ ...this.#source, ...line, atMs: Date.now() })}\n`);
  }
}

/** The lines of one worker; empty for one that wrote none. A last line that was cut off counts as not written. */
export function readWorkerJournal(folder: string, worker: number): readonly JournalLine[] {
  return readdirSync(folder).includes(journalName(worker)) ? linesOf(journalPath(folder, worker)) : [];
}

/** The lines of all workers, in the order of their times. */
export function readJournals(folder: string): readonly JournalLine[] {
  const names = readdirSync(folder).filter((name) => name.endsWith(journalSuffix));
  return names.flatMap((name) => linesOf(join(folder, name))).sort((left, right) => left.atMs - right.atMs);
}

/** Executions that began and did not end: in the journal of a dead process, those that its death cut. */
export function cutExecutions(lines: readonly JournalLine[]): readonly ExecutionLine[] {
  const open = new Map<string, ExecutionLine>();
  for (const line of lines) {
    if (line.kind === 'note') continue;
    const key = `${line.worker}/${line.number}`;
    if (line.phase === 'begin') open.set(key, line);
    else open.delete(key);
  }
  return [...open.values()];
}

/** What workers warned of, each once with its count. */
export function notesIn(journal: readonly JournalLine[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const line of journal) {
    if (line.kind === 'note' && line.level !== 'info') counts.set(`${line.level} ${line.event} ${line.detail}`, (counts.get(`${line.level} ${line.event} ${line.detail}`) ?? 0) + 1);
  }
  return [...counts].map(([text, count]) => (count === 1 ? text : `${text} (${count} times)`));
}

const journalSuffix = '.journal.jsonl';

function journalName(worker: number): string {
  return `worker-${worker}${journalSuffix}`;
}

function journalPath(folder: string, worker: number): string {
  return join(folder, journalName(worker));
}

function linesOf(path: string): readonly JournalLine[] {
  const lines = readFileSync(path, 'utf8').split('\n');
  // The text after the last line break is empty, or a line whose writing was cut.
  return lines.slice(0, -1).map((line) => JSON.parse(line) as JournalLine);
}
