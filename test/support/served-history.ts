import type { EditedReply, MovedReply } from '../../src/commands/history.ts';
import type { Effect, EffectPage } from '../../src/commands/effects.ts';
import type { Branch } from '../../src/core/history.ts';
import type { Reply, ServedOptions } from './http-server.ts';
import { serveSession, type ServedSession } from './paused-turn.ts';

/** A session over HTTP, with what tests of moves through its history ask of it. */
export interface ServedHistory extends ServedSession {
  /** Sends a text and waits for the end of its turn, whose id it returns. */
  say(text: string): Promise<string>;
  /** The texts of the visible user messages. */
  said(): Promise<readonly string[]>;
  branches(): Promise<readonly Branch[]>;
  effects(query?: string): Promise<EffectPage>;
}

export async function serveHistory(options: ServedOptions = {}): Promise<ServedHistory> {
  return historyOf(await serveSession(options));
}

export function historyOf(session: ServedSession): ServedHistory {
  return {
    ...session,
    say: async (text) => {
      const { turnId } = (await session.post('/messages', { text })).json;
      await session.settled(turnId);
      return turnId;
    },
    said: async () => (await session.get('/messages?limit=100')).json.items.filter(({ role }) => role === 'user').map(({ parts }) => parts.map(({ text }) => text).join('')),
    branches: async () => (await session.get('/branches?limit=100')).json.items as unknown as readonly Branch[],
    effects: async (query = '') => (await session.get(`/effects${query}`)).json as unknown as EffectPage,
  };
}

export function moved({ json }: Reply): MovedReply {
  return json as unknown as MovedReply;
}

export function edited({ json }: Reply): EditedReply {
  return json as unknown as EditedReply;
}

export function effectNames(effects: readonly Effect[]): readonly string[] {
  return effects.map(({ toolName, outcome, mayHaveRun }) => `${toolName} ${outcome}${mayHaveRun === true ? ', may have run' : ''}`);
}
