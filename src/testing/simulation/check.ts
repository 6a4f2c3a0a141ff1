import type { LanguageModelV4Prompt } from '@ai-sdk/provider';
import type { EntryKind } from '../../core/entry.ts';
import type { JsonValue } from '../../core/json.ts';
import type { Session } from '../../core/session.ts';
import type { Follower } from './follower.ts';
import type { Answered, Committed, Heard, ToolRun, Violated } from './happenings.ts';
import type { Observer } from './observer.ts';
import type { Plan } from './plan.ts';
import type { SharedDatabase } from './shared-database.ts';
import type { SimulatedProcess } from './simulated-process.ts';
import type { ToldHooks } from './told-hooks.ts';
import type { VirtualTime } from './virtual-time.ts';

/** A run as those see it who watch. */
export interface WatchedWorld {
  readonly plan: Plan;
  readonly time: VirtualTime;
  readonly database: SharedDatabase;
  /** Sessions and their logs, as of the last commit. */
  readonly observer: Observer;
  /** The sessions that there are. */
  readonly sessions: readonly Session[];
  readonly processes: readonly SimulatedProcess[];
  readonly answered: readonly Answered[];
  readonly followers: readonly Follower[];
  readonly hooks: ToldHooks;
  /** What tools have done to the world outside. */
  readonly outside: ReadonlyMap<string, JsonValue>;
  /** Kinds of entries that hooks are told of. */
  readonly outboxKinds: ReadonlySet<EntryKind>;
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
  atRest?(world: WatchedWorld): void | Promise<void>;
}

/** What a check is told of as it happens. */
export type ToldName = Exclude<keyof Check, 'atRest'>;

export type MakeCheck = (violated: Violated, world: WatchedWorld) => Check;
