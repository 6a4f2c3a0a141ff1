import path from 'node:path';
import process from 'node:process';
import type { Command } from 'commander';
import type { Holdfast } from '../../create-holdfast.ts';
import { readTurn } from '../../feed/turn-view.ts';
import type { Hooks } from '../../worker/hooks.ts';
import { storeCommand, withConnectionOptions, withListenOptions, type CommonOptions, type ConnectionOptions, type ListenOptions } from '../command-options.ts';
import { loadAgents } from '../load-agents.ts';
import { serveUntilStopped } from '../serve-until-stopped.ts';
import { isPostgresUrl, sqlitePath, withoutPassword } from '../../store-url.ts';
import { oneLine, printJson, printLine } from '../terminal.ts';

/** `holdfast dev`: the demo agents with everything on, for trying it out. */
export function devCommand(): Command {
  return withConnectionOptions(withListenOptions(storeCommand('dev', 'serve the demo agents, and say what happens'))).action(async ({ store, connections, json, host, port }: CommonOptions & ListenOptions & ConnectionOptions) => {
    const loaded = await loadAgents(undefined);
    await serveUntilStopped({
      ...loaded, store, connections, host, port, worker: true,
      ...(json === true ? {} : { hooks: turnEndLines }),
      onListening: (url) => (json === true ? printJson({ url, store: withoutPassword(store), agents: loaded.agents.map(({ name }) => name) }) : printLine(banner(url, store))),
    });
  });
}

function banner(url: string, store: string): string {
  const data = isPostgresUrl(store) ? withoutPassword(store) : store === 'sqlite::memory:' ? store : path.resolve(sqlitePath(store));
  const model = process.env['HOLDFAST_MODEL'];
  return `
Holdfast is running at ${url}

  Open it in a browser and talk to the agent "demo". Try:
    count to 100
    weather in Lisbon and refund 20
    locate me
    index 50 in the background
    sleep 5000 once
    fail overloaded 2
  With ?agent=desk you talk to the agent "desk", whose conversations have places in them:
    weather in Lisbon
    go to memory
    bye

  Model   ${model === undefined || model === '' ? 'offline rules; for a real one set HOLDFAST_MODEL, as in HOLDFAST_MODEL=openai/gpt-5.1' : oneLine(model, 100)}
  Data    ${data}
          Kill this process at any moment and start it again: every conversation goes on.
  Stop    Ctrl-C
`;
}

/** One line for each turn that ends, whoever started it. */
function turnEndLines(opened: () => Holdfast): Hooks {
  return {
    onTurnEnd: async ({ tenant, sessionId, entry }) => {
      const { store } = opened();
      const session = await store.readSession({ tenant, id: sessionId });
      const turn = session === null ? null : await readTurn(store, session, entry.turnId);
      const took = turn?.startedAtMs == null ? '' : ` ${entry.atMs - turn.startedAtMs} ms`;
      const error = entry.error === undefined ? '' : ` ${entry.error.code}: ${oneLine(entry.error.message, 200)}`;
      await printLine(`${entry.turnId} ${entry.reason}${took}${error}`);
    },
  };
}
