import type { Agent } from '../../../agent/agent.ts';
import type { Entry, EntryKind, EntryOf } from '../../../core/entry.ts';
import { isVisible } from '../../../core/intervals.ts';
import type { JsonObject } from '../../../core/json.ts';
import type { Session } from '../../../core/session.ts';
import type { Chance } from '../chance.ts';
import type { CommandScope, SimulatedCommand } from '../command.ts';
import type { HttpCall } from '../happenings.ts';

/** What a client knows of a session that there is. */
export interface SessionScope extends CommandScope {
  readonly session: Session;
}

/** In so many draws a command is about whatever session, whether it fits or not. */
const unfittingShare = 0.1;

/** A command about a session: about one that it fits, in most draws. */
export function aboutSession(kind: string, weight: number, prepare: (scope: SessionScope) => HttpCall | null, fits?: (session: Session) => boolean): SimulatedCommand {
  return {
    kind, weight,
    prepare: (given) => {
      const scope = fits === undefined || given.chance.happens(unfittingShare) ? given : given.among(fits);
      return scope.session === null ? null : prepare({ ...scope, session: scope.session });
    },
  };
}

export type CallExtras = Pick<HttpCall, 'headers' | 'keyed' | 'roles'>;

/** A request of the session's owner, about the session or something of it: `path` is what follows its id. It is named by its external id, too. */
export function ownersCall({ chance, session }: Pick<SessionScope, 'chance' | 'session'>, method: HttpCall['method'], path: string, body?: JsonObject, extras: CallExtras = {}): HttpCall {
  const name = session.externalId !== null && chance.happens(0.3) ? session.externalId : session.id;
  return { method, path: `/v1/sessions/${encodeURIComponent(name)}${path}`, owner: session.owner, ...(body === undefined ? {} : { body }), ...extras };
}

/** As {@link ownersCall}, for commands that take a revision: some name the one that was seen, some one that is long gone. */
export function guardedCall(scope: SessionScope, method: HttpCall['method'], path: string, body?: JsonObject, extras: CallExtras = {}): HttpCall {
  const { chance, session } = scope;
  const seen = chance.happens(0.15) ? session.revision : chance.happens(0.06) ? Math.max(0, session.revision - chance.between(1, 5)) : null;
  return ownersCall(scope, method, path, body, seen === null ? extras : { ...extras, headers: { ...extras.headers, 'if-match': `"${seen}"` } });
}

/** A read: it needs no key. */
export function read(scope: SessionScope, path: string): HttpCall {
  return ownersCall(scope, 'GET', path, undefined, { keyed: false });
}

/** The fields, each of which is there in its share of all draws. */
export function some(chance: Chance, fields: Readonly<Record<string, readonly [share: number, draw: () => JsonObject[string] | undefined]>>): JsonObject {
  return Object.fromEntries(Object.entries(fields).flatMap(([name, [share, draw]]) => {
    const value = chance.happens(share) ? draw() : undefined;
    return value === undefined ? [] : [[name, value]];
  }));
}

/** One of them; one that there is not, in a few draws. null: there is none. */
export function mostly(chance: Chance, ids: readonly string[], missing: string): string | null {
  return chance.happens(0.04) ? missing : (chance.pick(ids) ?? null);
}

export function entriesOf<Kind extends EntryKind>(log: readonly Entry[], kind: Kind): readonly EntryOf<Kind>[] {
  return log.filter((entry): entry is EntryOf<Kind> => entry.kind === kind);
}

/** The session's agent, as a process has it now. */
export function agentOf({ agents, session }: Pick<SessionScope, 'agents' | 'session'>): Agent | undefined {
  return agents.find(({ name }) => name === session.agent);
}

/** Turns of the session's log: those that are visible, in most draws, else all. */
export function turnIds({ chance, log, session }: SessionScope): readonly string[] {
  const isAny = chance.happens(0.15);
  return log().flatMap((entry) => (((entry.kind === 'user-message' && entry.steered !== true) || entry.kind === 'turn-started') && (isAny || isVisible(session.visible, entry.seq)) ? [entry.turnId] : []));
}
