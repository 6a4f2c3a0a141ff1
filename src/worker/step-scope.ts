import type { StepScope } from '../agent/agent.ts';
import type { Principal } from '../agent/tool.ts';
import { failedCall, type CallName, type CallResult } from '../core/call-result.ts';
import { wellFormedText } from '../core/json.ts';
import { limits } from '../core/limits.ts';
import type { Session } from '../core/session.ts';
import type { Store } from '../store/store.ts';
import { CallState } from './call-state.ts';
import { redact } from './provider-failure.ts';
import type { SessionRun } from './session-run.ts';
import { withinTime, type TimeBound } from './within-time.ts';

/** On whose behalf a session's agent acts: its owner. */
export function principalOf({ tenant, owner }: Session): Principal {
  return { tenant, owner, roles: [] };
}

/** What the agent's functions are given for the present step; the context is made anew for each. */
export async function stepScope(store: Store, { agent, session }: Pick<SessionRun, 'agent' | 'session'>): Promise<StepScope> {
  const principal = principalOf(session);
  const state = new CallState({ store, agent, session, readOnly: 'what an agent is made of reads state and does not write it' });
  const context = agent.context === undefined ? undefined : await agent.context({ session, principal, state });
  return { session, principal, state, context };
}

/** {@link stepScope} for a call that is to run; where it fails, or is not made in time, how the call ends. It did not run. Never throws. */
export async function scopeOfCall(store: Store, run: Pick<SessionRun, 'agent' | 'session'>, call: CallName, bound: TimeBound): Promise<{ readonly scope: StepScope } | { readonly failed: CallResult }> {
  try {
    return { scope: await withinTime(stepScope(store, run), bound) };
  } catch (error) {
    const why = wellFormedText(redact(error instanceof Error ? error.message : String(error)).slice(0, limits.errorTextCharsMax));
    return { failed: failedCall(call, 'context_failed', `the agent's context could not be made: ${why}`) };
  }
}
