import { HoldfastError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';

/**
 * What the model is to know beside the conversation: files, skills, who the user is. Before a generation its version is compared with the one that the visible history holds; another one is
 * loaded and given to the model once, as an entry of the log. One that fails, or takes longer than `limits.contextTimeoutMs`, is left out with a warning and asked again in the next turn.
 */
export interface ContextProvider<Scope> {
  /** Names what `load` would give now; at most 255 characters. Asked before every generation, so it should be cheap. */
  version(scope: Scope): string | Promise<string>;
  /** The text for the model; null: there is none in this version, which is remembered too. */
  load(scope: Scope): string | null | Promise<string | null>;
}

/** How the history is compacted. */
export interface CompactionOptions<Model> {
  /** The model that writes the summary. Default: that of the turn. */
  readonly model?: Model;
  /** What it is told to do, as its system message. Default: `compactionInstructions`. */
  readonly instructions?: string;
}

/** Throws `agent_invalid` for a name that could not be told apart in a prompt, and for what is no provider. */
export function checkContextProviders(agentName: string, providers: Readonly<Record<string, ContextProvider<never>>>): void {
  const { length } = Object.keys(providers);
  if (length > limits.contextProvidersMax) throw new HoldfastError('agent_invalid', `agent ${agentName} has ${length} context providers; it may have ${limits.contextProvidersMax}`);
  for (const [name, provider] of Object.entries(providers)) {
    if (!/^[\w.-]{1,64}$/.test(name)) throw new HoldfastError('agent_invalid', `the context provider ${JSON.stringify(name)} of agent ${agentName} may have letters, digits, _, - and . in its name, at most 64`);
    if (typeof provider.version !== 'function' || typeof provider.load !== 'function') throw new HoldfastError('agent_invalid', `the context provider ${name} of agent ${agentName} needs the functions version and load`);
  }
}
