import type { Agent } from '../../agent/agent.ts';
import type { Entry } from '../../core/entry.ts';
import type { Operation } from '../../core/operation.ts';
import type { Session } from '../../core/session.ts';
import type { Chance } from './chance.ts';
import type { Answered, HttpCall } from './happenings.ts';

/** What a client may know when it sends something. */
export interface CommandScope {
  /** All that is drawn for this command. */
  readonly chance: Chance;
  /** `c7` */
  readonly id: string;
  /** The session that it is about, as it is stored now; null: there is none yet. Its owner sends the command. */
  readonly session: Session | null;
  /** The same about one of the sessions of which this is true. */
  readonly among: (fits: (session: Session) => boolean) => CommandScope;
  /** Those that sessions can be begun with. */
  readonly agents: readonly Agent[];
  /** Of the session. */
  readonly log: () => readonly Entry[];
  /** Of the session, ended ones included. */
  readonly operations: () => readonly Operation[];
  /** Tokens by which operations can be completed from outside, as their tools were given them. */
  readonly completions: readonly { readonly operationId: string; readonly token: string }[];
  /** All that was answered so far, to repeat. */
  readonly answered: readonly Answered[];
}

/** Something that clients of a simulation do. */
export interface SimulatedCommand {
  /** As reports count it: `send`, `rewind`. */
  readonly kind: string;
  /** How often it is drawn, against the others. */
  readonly weight: number;
  /** What is sent; null: there is nothing it could be about just now. */
  readonly prepare: (scope: CommandScope) => HttpCall | null;
  /** What its messages say, for those who send one to hear its stream. */
  readonly says?: readonly string[];
}
