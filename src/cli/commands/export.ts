import { once } from 'node:events';
import { createWriteStream, renameSync, rmSync } from 'node:fs';
import { Option, type Command } from 'commander';
import type { Entry } from '../../core/entry.ts';
import type { Session } from '../../core/session.ts';
import { foldTranscript } from '../../core/transcript.ts';
import { sessionView } from '../../feed/session-view.ts';
import { chatConversation } from '../chat/chat-conversation.ts';
import { storeCommand, type CommonOptions } from '../command-options.ts';
import { openExistingStore } from '../open-store.ts';
import { progressBar } from '../progress-bar.ts';
import { allSessionIds, findSession, readWholeLog } from '../session-reader.ts';
import { note, print, printJson } from '../terminal.ts';

const formats = {
  /** OpenAI's chat format: `{id, messages}`. */
  openai: chatConversation,
  /** Messages as the AI SDK's `UIMessage`: `{id, messages}`. */
  ui: (session: Session, entries: readonly Entry[]) => ({ id: session.id, messages: foldTranscript(entries, session.visible) }),
  /** The session and its whole log: `{session, entries}`. */
  session: (session: Session, entries: readonly Entry[]) => ({ session: sessionView(session), entries }),
} as const;

interface ExportOptions extends CommonOptions {
  readonly format: keyof typeof formats;
  readonly out?: string;
}

/** Below this many, a progress bar would be gone before it is seen. */
const manySessions = 20;

/** `holdfast export`: sessions as JSON lines, the one that was active longest ago first. */
export function exportCommand(): Command {
  return storeCommand('export', 'write sessions as JSON lines')
    .argument('[session...]', 'ids or external ids (default: all sessions)')
    .addOption(new Option('--format <format>', 'openai: chat format; ui: UIMessages; session: the session and its log').choices(Object.keys(formats)).default('openai'))
    .option('--out <file>', 'write to this file; it appears when it is complete (default: stdout)')
    .action(run);
}

async function run(named: readonly string[], { store, json, format, out }: ExportOptions): Promise<void> {
  await using holdfast = await openExistingStore(store);
  // Named sessions are looked for first, so that a wrong name writes nothing.
  const ids = named.length === 0 ? await allSessionIds(holdfast.store) : await Promise.all(named.map(async (id) => (await findSession(holdfast, id)).id));
  const progress = progressBar('sessions', ids.length, { shown: json !== true && ids.length >= manySessions });
  const target = out === undefined ? null : new OutFile(out);
  let written = 0;
  try {
    for (const id of ids) {
      const session = await holdfast.store.readSession({ tenant: 'default', id });
      progress.advance();
      if (session === null) continue; // deleted meanwhile
      const line = `${JSON.stringify(formats[format](session, await readWholeLog(holdfast.store, session)))}\n`;
      await (target === null ? print(line) : target.write(line));
      written += 1;
    }
    await target?.finish();
  } catch (error) {
    target?.discard();
    throw error;
  } finally {
    progress.stop();
  }
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
