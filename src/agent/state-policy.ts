import { HoldfastError } from '../core/errors.ts';
import { isStateScope, refuseKey, stateScopes, type StatePolicy, type StateScope } from '../core/state.ts';

/** What an agent keeps between turns. */
export interface StateOptions {
  /** Default: all four. */
  readonly scopes?: readonly StateScope[];
  /** Reading or writing the key on the left means the one on the right. */
  readonly aliases?: Readonly<Record<string, string>>;
}

/** The policy, checked. Throws `HoldfastError` with code `agent_invalid` for a scope that there is not, a key that is none, and an alias of an alias. */
export function statePolicyOf(agentName: string, options: StateOptions | false = {}): StatePolicy | null {
  if (options === false) return null;
  const { scopes = stateScopes, aliases = {} } = options;
  const wrong = (what: string): HoldfastError => new HoldfastError('agent_invalid', `state of agent ${agentName} ${what}`);
  for (const scope of scopes) if (!isStateScope(scope)) throw wrong(`has the scope ${JSON.stringify(scope)}; the scopes are ${stateScopes.join(', ')}`);
  for (const [old, key] of Object.entries(aliases)) {
    const refused = refuseKey(old) ?? refuseKey(key);
    if (refused !== null) throw wrong(`has the alias ${JSON.stringify(old)}: ${refused.message}`);
    if (Object.hasOwn(aliases, key)) throw wrong(`has the alias ${JSON.stringify(old)} of ${JSON.stringify(key)}, which is an alias itself`);
  }
  return { scopes: new Set(scopes), aliases: new Map(Object.entries(aliases)) };
}
