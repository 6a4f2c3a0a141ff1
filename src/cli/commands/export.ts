import { once } from 'node:events';
import { createWriteStream, renameSync, rmSync } from 'node:fs';
import { Option, type Command } from 'commander';
import { exportLines, type ExportFormat } from '../../exchange/export-lines.ts';
import { stateLines } from '../../exchange/state-lines.ts';
import { storeCommand, type CommonOptions } from '../command-options.ts';
import { openExistingStore } from '../open-store.ts';
import { progressBar } from '../progress-bar.ts';
import { allSessionIds, findSession } from '../session-reader.ts';
import { note, print, printJson } from '../terminal.ts';

interface ExportOptions extends CommonOptions {
  readonly format: ExportFormat;
  readonly state?: true;
  readonly out?: string;
}

/** Below this many, a progress bar would be gone before it is seen. */
const manySessions = 20;

/** `holdfast export`: sessions as JSON lines, the one that was active longest ago first. */
export function exportCommand(): Command {
  return storeCommand('export', 'write sessions as JSON lines')
    .argument('[session...]', 'ids or external ids (default: all sessions)')
    .addOption(new Option('--format <format>', 'openai: chat format; ui: UIMessages; session: whole sessions, to be imported again').choices(['openai', 'ui', 'session']).default('openai'))
    .option('--state', 'also all state beside sessions: of agents, subjects and actors')
    .option('--out <file>', 'write to this file; it appears when it is complete (default: stdout)')
    .action(run);
}

async function run(named: readonly string[], { store, json, format, state, out }: ExportOptions): Promise<void> {
  await using holdfast = await openExistingStore(store);
  // Named sessions are looked for first, so that a wrong name writes nothing.
  const ids = named.length === 0 ? await allSessionIds(holdfast.store) : await Promise.all(named.map(async (id) => (await findSession(holdfast, id)).id));
  const progress = progressBar('sessions', ids.length, { shown: json !== true && ids.length >= manySessions });
  const target = out === undefined ? null : new OutFile(out);
  const write = (line: string): Promise<void> => (target === null ? print(`${line}\n`) : target.write(`${line}\n`));
  let written = 0;
  const leftOut = new Map<string, number>();
  const onLeftOut = (kind: string): void => void leftOut.set(kind, (leftOut.get(kind) ?? 0) + 1);
  try {
    for (const id of ids) {
      let lines = 0;
      for await (const line of exportLines(holdfast.store, { tenant: 'default', id }, format, { onLeftOut })) {
        await write(line);
        lines += 1;
      }
      progress.advance();
      if (lines > 0) written += 1; // else deleted meanwhile
    }
    if (state === true) for await (const line of stateLines(holdfast.store, 'default')) await write(line);
    await target?.finish();
  } catch (error) {
    target?.discard();
    throw error;
  } finally {
    progress.stop();
  }
  if (leftOut.size > 0) note(`the format ${format} has no place for: ${[...leftOut].map(([kind, count]) => `${count} × ${kind}`).join(', ')} (--format session keeps everything)`);
  if (out === undefined) return;
  if (json === true) await printJson({ sessions: written, out });
  else note(`${written} ${written === 1 ? 'session' : 'sessions'} written to ${out}`);
}

/** A file that has its name only when it is whole. */
class OutFile {
  readonly #path: string;
  readonly #partial: string;
  readonly #stream: ReturnType<typeof createWriteStream>;
  #failure: Error | null = null;

  constructor(path: string) {
    this.#path = path;
    this.#partial = `${path}.partial`;
    this.#stream = createWriteStream(this.#partial);
    this.#stream.on('error', (error) => {
      this.#failure = error;
    });
  }

  async write(text: string): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    if (!this.#stream.write(text)) await once(this.#stream, 'drain');
  }

  async finish(): Promise<void> {
    this.#stream.end();
    if (!this.#stream.closed) await once(this.#stream, 'close');
    if (this.#failure !== null) throw this.#failure;
    renameSync(this.#partial, this.#path);
  }

  discard(): void {
    this.#stream.destroy();
    rmSync(this.#partial, { force: true });
  }
}
