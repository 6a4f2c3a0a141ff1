import type { ToolRules } from '../../core/decide.ts';
import type { Entry } from '../../core/entry.ts';
import type { FeedEvent } from '../../core/feed-event.ts';
import type { JsonValue } from '../../core/json.ts';
import type { Session } from '../../core/session.ts';
import type { SessionRef } from '../../store/store.ts';

/** A request of the HTTP API, as a command makes it. */
export interface HttpCall {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly body?: JsonValue;
  readonly headers?: Readonly<Record<string, string>>;
  /** With an `Idempotency-Key`, so that it can be sent again. Default true. */
  readonly keyed?: boolean;
  /** The key of an earlier request, in place of one of its own. */
  readonly repeats?: string;
  /** Who sends it. Default `ada`. */
  readonly owner?: string;
  readonly roles?: readonly string[];
}

/** A request as it was sent, once or again and again. */
export interface SentRequest extends HttpCall {
  /** `c7`: the command that it belongs to. */
  readonly id: string;
  /** The command's kind. */
  readonly kind: string;
  /** null: it has no key. */
  readonly key: string | null;
  /** When it was sent first. */
  readonly sentAtMs: number;
}

/** A change of a session, as it was committed. */
export interface Committed {
  readonly ref: SessionRef;
  /** Name of the process that committed it. */
  readonly process: string;
  /** As it was at the change before; null: there was none. */
  readonly before: Session | null;
  /** null: it was deleted. */
  readonly session: Session | null;
  /** What came to its log. */
  readonly added: readonly Entry[];
  /** All of its log, `added` included. */
  readonly log: readonly Entry[];
}

/** A request with the reply that somebody got. */
export interface Answered {
  readonly request: SentRequest;
  readonly status: number;
  readonly headers: Headers;
  /** What the body says; null: it has none. */
  readonly body: JsonValue;
}

/** A tool that really runs, in a process that lives. */
export interface ToolRun {
  readonly callKey: string;
  readonly sessionId: string;
  readonly toolName: string;
  /** What its tool says of a call in flight when its worker dies. */
  readonly recovery: ToolRules['recovery'];
  readonly process: string;
  readonly input: JsonValue;
}

/** Something that somebody who follows a session was sent. */
export interface Heard {
  readonly follower: string;
  /** Whose session it was when the follower began. */
  readonly owner: string;
  readonly ref: SessionRef;
  readonly event: FeedEvent;
}

/** What was seen that no guarantee allows. */
export interface Violation {
  /** `G2`, or what else it is about. */
  readonly guarantee: string;
  readonly what: string;
  readonly atMs: number;
}

/** `violated('G2', 'key k1 had two effects: …')`: the guarantee, and what was seen. */
export type Violated = (guarantee: string, what: string) => void;
