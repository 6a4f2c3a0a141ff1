import process from 'node:process';
import { MultiBar, Presets, type Options, type SingleBar } from 'cli-progress';
import type { OperationView } from '../core/operation.ts';
import { oneLine } from './terminal.ts';

/** What is worth a line in a file or a pipe. */
const fractionStep = 0.1;

/** How far operations are, as lines: one when an operation begins, says something new, or is a tenth further. */
export class OperationLines {
  readonly #said = new Map<string, { readonly status: string; readonly text: string; readonly fraction: number }>();

  linesOf(operations: readonly OperationView[]): readonly string[] {
    return operations.flatMap((operation) => {
      const { id, toolName, status, progress } = operation;
      const { fraction = 0, text = '' } = progress ?? {};
      const said = this.#said.get(id);
      if (said?.status === status && said.text === text && fraction < said.fraction + fractionStep && (fraction < 1 || said.fraction >= 1)) return [];
      this.#said.set(id, { status, text, fraction });
      return [`… ${toolName} ${progress === null ? status : percent(fraction)}${text === '' ? '' : ` ${oneLine(text, 120)}`} (${id})`];
    });
  }
}

interface LiveBars {
  readonly all: MultiBar;
  readonly byOperation: ReadonlyMap<string, SingleBar>;
}

/** How far operations are, as bars on a terminal. They are gone as soon as something else is to be said. */
export class OperationBars {
  readonly #stream: NodeJS.WritableStream;
  #bars: LiveBars | null = null;

  constructor(stream: NodeJS.WritableStream = process.stderr) {
    this.#stream = stream;
  }

  show(operations: readonly OperationView[]): void {
    const ids = operations.map(({ id }) => id);
    if (this.#bars !== null && ids.join() !== [...this.#bars.byOperation.keys()].join()) this.clear();
    if (operations.length === 0) return;
    this.#bars ??= this.#begin(operations);
    for (const operation of operations) this.#bars.byOperation.get(operation.id)?.update(operation.progress?.fraction ?? 0, payloadOf(operation));
  }

  clear(): void {
    this.#bars?.all.stop();
    this.#bars = null;
  }

  #begin(operations: readonly OperationView[]): LiveBars {
    const options: Options = { format: '{name} {bar} {percentage}% {text}', stream: this.#stream, clearOnComplete: true, hideCursor: true, gracefulExit: false };
    const all = new MultiBar(options, Presets.shades_classic);
    return { all, byOperation: new Map(operations.map((operation) => [operation.id, all.create(1, 0, payloadOf(operation))])) };
  }
}

function payloadOf({ toolName, status, progress }: OperationView): { readonly name: string; readonly text: string } {
  return { name: oneLine(toolName, 40), text: oneLine(progress?.text ?? status, 60) };
}

function percent(fraction: number): string {
  return `${Math.round(fraction * 100)}%`;
}
