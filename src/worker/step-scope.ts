import type { StepScope } from '../agent/agent.ts';
import type { Principal } from '../agent/tool.ts';
import type { Session } from '../core/session.ts';
import type { SessionRun } from './session-run.ts';

/** On whose behalf a session's agent acts: its owner. */
export function principalOf({ tenant, owner }: Session): Principal {
  return { tenant, owner, roles: [] };
}

/** What the agent's functions are given for the present step; the context is made anew for each. */
export async function stepScope({ agent, session }: Pick<SessionRun, 'agent' | 'session'>): Promise<StepScope> {
  const principal = principalOf(session);
  const context = agent.context === undefined ? undefined : await agent.context({ session, principal });
  return { session, principal, context };
}
