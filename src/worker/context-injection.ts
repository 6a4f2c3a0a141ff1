import { cutText } from '../agent/compaction-text.ts';
import type { StepScope } from '../agent/agent.ts';
import type { ContextProvider } from '../agent/context-provider.ts';
import type { InjectedContext } from '../core/compaction.ts';
import { HoldfastError } from '../core/errors.ts';
import { wellFormedText } from '../core/json.ts';
import { limits } from '../core/limits.ts';
import { redact } from './provider-failure.ts';
import type { SessionRun, WorkerHost } from './session-run.ts';
import { stepScope } from './step-scope.ts';
import { withinTime, type TimeBound } from './within-time.ts';

export interface DueContext {
  /** What the visible history does not hold in its present version, by name. */
  readonly injected: readonly InjectedContext[];
  /** What could not be had in this turn. */
  readonly warnings: readonly string[];
}

const none: DueContext = { injected: [], warnings: [] };

/** Asks the agent's context providers what the model has to be told before it generates. A provider that fails, or is late, is warned of and asked again in the next turn: it never fails the turn. */
export async function dueContext(host: WorkerHost, run: SessionRun): Promise<DueContext> {
  const { agent, session } = run;
  if (agent.contextProviders.size === 0) return none;
  const turnId = session.turn?.id ?? '';
  const failed = new Map(run.contextFailures?.turnId === turnId ? run.contextFailures.warnings : []);
  const bound: TimeBound = { clock: host.system.clock, signal: run.abort.signal, timeoutMs: agent.limits.contextTimeoutMs };
  const asked = [...agent.contextProviders].filter(([name]) => !failed.has(name));
  const scope = asked.length === 0 ? null : stepScope(host.store, run);
  const found = await Promise.all(asked.map(async ([name, provider]) => {
    try {
      return await withinTime(present(run, name, provider, scope), bound);
    } catch (error) {
      if (bound.signal.aborted) throw error;
      failed.set(name, wellFormedText(redact(`context provider ${name} failed, and is asked again in the next turn: ${error instanceof Error ? error.message : String(error)}`).slice(0, limits.errorTextCharsMax)));
      return null;
    }
  }));
  run.contextFailures = { turnId, warnings: failed };
  return { injected: found.filter((context) => context !== null), warnings: [...failed.values()] };
}

/** What a provider has that the history does not hold; null: nothing new. */
async function present(run: SessionRun, name: string, provider: ContextProvider<StepScope>, made: Promise<StepScope> | null): Promise<InjectedContext | null> {
  const scope = await made;
  if (scope === null) return null;
  const version: unknown = await provider.version(scope);
  if (typeof version !== 'string' || version === '' || version.length > limits.contextVersionCharsMax || wellFormedText(version) !== version) {
    throw new HoldfastError('context_version_invalid', `its version is ${typeof version === 'string' ? `a text of ${version.length} characters` : `of type ${typeof version}`}; it has to be a text of 1 to ${limits.contextVersionCharsMax}`);
  }
  if (version === run.history.contextVersion(name)) return null;
  const text: unknown = await provider.load(scope);
  if (typeof text !== 'string' && text !== null && text !== undefined) throw new HoldfastError('context_text_invalid', `what it loaded is of type ${typeof text}; it has to be a text or null`);
  const isNone = text === null || text === undefined || text === '';
  return { provider: name, version, text: isNone ? null : cutText(wellFormedText(text), run.agent.limits.toolResultBytesMax) };
}
