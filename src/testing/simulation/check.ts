import type { LanguageModelV4Prompt } from '@ai-sdk/provider';
import type { ToolRules } from '../../core/decide.ts';
import type { Entry } from '../../core/entry.ts';
import type { FeedEvent } from '../../core/feed-event.ts';
import type { JsonValue } from '../../core/json.ts';
import type { Session } from '../../core/session.ts';
import type { SessionRef } from '../../store/store.ts';
import type { SentRequest } from './client.ts';
import type { World } from './world.ts';

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

/**
 * Holds a run against guarantees: told of everything that happens as it happens, and at last of a world at rest. What it finds it says with `violated`; it never throws for that. One is made for each run.
 */
export interface Check {
  committed?(committed: Committed): void;
  answered?(answered: Answered): void;
  /** Before the first instruction of the tool. */
  toolBegan?(run: ToolRun): void;
  toolEnded?(run: ToolRun, result: { readonly output: unknown } | { readonly error: unknown }): void;
  /** A probe has found out what became of a run. */
  toolProbed?(run: ToolRun, ran: boolean | 'unknown'): void;
  /** A model is asked for a generation. */
  generationBegan?(process: string, prompt: LanguageModelV4Prompt): void;
  heard?(heard: Heard): void;
  /** Faults are over, and everything has come to rest. */
  atRest?(world: World): void | Promise<void>;
}

/** `violated('G2', 'key k1 had two effects: …')`: the guarantee, and what was seen. */
export type Violated = (guarantee: string, what: string) => void;

export type MakeCheck = (violated: Violated, world: World) => Check;
