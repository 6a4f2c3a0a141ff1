import type { Principal } from '../agent/tool.ts';
import type { CommandHost } from '../commands/command-host.ts';
import { HoldfastError, refuse, RefusedError } from '../core/errors.ts';
import { exportLines, type ExportFormat } from '../exchange/export-lines.ts';
import { importLines } from '../exchange/import-lines.ts';
import type { ImportSettings, LineOutcome } from '../exchange/line-outcome.ts';
import { linesOf } from '../exchange/read-lines.ts';
import { stateLines } from '../exchange/state-lines.ts';
import type { EntryCheck } from '../exchange/whole-session.ts';

/** Sessions as lines of a file, and back. */
export interface Exchange {
  /**
   * A session, by its id or external id, as lines of JSON without their line ends, as it stands at this moment: whole by default, so that `import` makes it again, here or on another store. Throws `RefusedError` with code
   * `session_not_found`.
   */
  export(id: string, options?: { readonly format?: ExportFormat; readonly owner?: string }): AsyncGenerator<string, void, void>;
  /** All state beside sessions as lines of JSON, for `import`. */
  exportState(): AsyncGenerator<string, void, void>;
  /**
   * Imports lines, whatever they are: whole sessions, state, conversations in OpenAI's chat format or as UIMessages. Says of each what became of it, in their order; a line that is not taken is `bad`, and changes nothing. An administrator's act: whose the
   * sessions are, the lines say. Importing again is harmless. Read it to its end: what is not asked for is not imported. Rejects with `StoreError`.
   */
  import(lines: Iterable<string> | AsyncIterable<string>, options?: ImportOptions): AsyncGenerator<LineOutcome, void, void>;
}

/** `agent` and `owner` are those of conversations: whole sessions have their own. Default owner: the local one. Default agent: the only one there is. */
export interface ImportOptions extends Partial<Pick<ImportSettings, 'agent' | 'owner' | 'conversations' | 'newIds'>> {
  /** A bad line is the last one that is looked at. */
  readonly strict?: boolean;
}

/** What a Holdfast offers of it. Without an owner or agent of their own, conversations get those of the one whose process it is. */
export function exchangeOf({ store, system, agents }: CommandHost, { tenant, owner: localOwner }: Principal, checkEntry: EntryCheck): Exchange {
  return {
    async *export(id, { format = 'session', owner } = {}) {
      let found = false;
      for await (const line of exportLines(store, { tenant, id, owner }, format)) {
        found = true;
        yield line;
      }
      if (!found) throw new RefusedError(refuse('session_not_found', `there is no session ${id}`));
    },
    exportState: () => stateLines(store, tenant),
    import: (lines, { agent, owner = localOwner, ...options } = {}) => {
      const [only, ...others] = agents.keys();
      const named = agent ?? (others.length === 0 ? only : undefined);
      if (named === undefined) throw new HoldfastError('options_invalid', 'say which agent imported conversations are with: there is not exactly one');
      return importLines(linesOf(lines), { ...options, agent: named, owner, firstAtMs: system.clock.nowMs() }, { store, system, tenant, checkEntry });
    },
  };
}
