/** How often something was said, and of which conversations, the first few. */
export interface ReportLine {
  readonly what: string;
  readonly count: number;
  readonly examples: readonly string[];
}

/** What came of a migration, or would come of it. */
export interface MigrationReport {
  readonly dryRun: boolean;
  /** Conversations in the source. */
  readonly found: number;
  /** Sessions that were made, or would be. */
  readonly imported: number;
  /** They are there already, as they are in the source. */
  readonly existing: number;
  /** They are there already, and something else was said in the source since: they are left as they are. */
  readonly changed: readonly string[];
  readonly messages: number;
  readonly skipped: readonly ReportLine[];
  readonly warnings: readonly ReportLine[];
  /** What is in the source and is not read. */
  readonly notes: readonly string[];
  readonly seconds: number;
}

const examplesMax = 3;
const textCharsMax = 1_000;
/** Kinds that are told apart; what comes after them is counted together. */
const kindsMax = 100;

/** Counts what is said by its kind: texts that differ in names and numbers alone are of one kind. */
export class Tally {
  readonly #lines = new Map<string, { count: number; readonly examples: string[] }>();

  add(said: string, of: string): void {
    // What a source says is in it, at whatever length.
    const text = said.slice(0, textCharsMax);
    const kind = kindOf(text);
    const what = this.#lines.has(kind) || this.#lines.size < kindsMax ? kind : 'something else';
    const line = this.#lines.get(what) ?? { count: 0, examples: [] };
    this.#lines.set(what, line);
    line.count += 1;
    if (line.examples.length < examplesMax) line.examples.push(`${of}: ${text}`);
  }

  get lines(): readonly ReportLine[] {
    return [...this.#lines].map(([what, { count, examples }]) => ({ what, count, examples })).sort((left, right) => right.count - left.count);
  }
}

function kindOf(text: string): string {
  return text.replace(/^message \d+: /, '').replaceAll(/"(?:[^"\\]|\\.)*"/g, '"…"').replaceAll(/\d+/g, 'n').slice(0, 200);
}
