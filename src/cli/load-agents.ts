import { existsSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';
import type { Agent } from '../agent/agent.ts';
import { HoldfastError } from '../core/errors.ts';
import { delay } from '../demo/delay.ts';
import { demoAgent } from '../demo/demo-agent.ts';
import { deskAgent } from '../demo/desk-agent.ts';
import { modelFromEnvironment } from '../demo/model-from-environment.ts';
import type { HoldfastOptions } from '../create-holdfast.ts';

export interface LoadedAgents {
  readonly agents: readonly Agent[];
  /** The module's own check of who sends a request. */
  readonly authenticate?: HoldfastOptions['authenticate'];
  /** The module's own budgets. */
  readonly budgets?: NonNullable<HoldfastOptions['budgets']>;
}

/**
 * The agents of a module: its default export or its export `agents`, one agent or a list; it may also export `authenticate` and `budgets`. The path is
 * relative to the working folder. Without a module: the agents `demo` and `desk`, on the model that the environment asks for. Rejects with `HoldfastError`:
 * `agents_not_found`, `agents_not_loaded`, `agents_invalid`, and those of `modelFromEnvironment`.
 */
export async function loadAgents(module: string | undefined): Promise<LoadedAgents> {
  if (module === undefined) {
    const model = await modelFromEnvironment(process.env);
    return { agents: [demoAgent({ model, delay, journal: process.env['HOLDFAST_DEMO_JOURNAL'] || undefined }), deskAgent({ model })] };
  }
  const { file, exported, found } = await importAgents(module);
  const agents = requireAgents(file, found);
  const { authenticate, budgets } = exported;
  return {
    agents,
    ...(typeof authenticate === 'function' ? { authenticate: authenticate as NonNullable<LoadedAgents['authenticate']> } : {}),
    ...(typeof budgets === 'function' || Array.isArray(budgets) ? { budgets: budgets as NonNullable<LoadedAgents['budgets']> } : {}),
  };
}

/** A module, and what it exports as its agents, whatever that is. Rejects with `HoldfastError`: `agents_not_found`, `agents_not_loaded`. */
export async function importAgents(module: string): Promise<{ readonly file: string; readonly exported: Readonly<Record<string, unknown>>; readonly found: unknown }> {
  const file = path.resolve(module);
  if (!existsSync(file)) throw new HoldfastError('agents_not_found', `there is no file ${file}`);
  let exported: Record<string, unknown>;
  try {
    exported = (await import(pathToFileURL(file).href)) as Record<string, unknown>;
  } catch (error) {
    throw new HoldfastError('agents_not_loaded', `${file} could not be loaded: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  return { file, exported, found: exported['agents'] ?? exported['default'] };
}

/** One agent or several, as a list. Throws `HoldfastError` code `agents_invalid` for anything else. */
export function requireAgents(file: string, found: unknown): readonly Agent[] {
  const agents: readonly unknown[] = Array.isArray(found) ? found : [found];
  if (agents.length > 0 && agents.every(isAgent)) return agents;
  throw new HoldfastError('agents_invalid', `${file} must export what agent({ … }) made, one or a list, as default or as "agents"`);
}

function isAgent(value: unknown): value is Agent {
  return typeof value === 'object' && value !== null && 'name' in value && typeof value.name === 'string' && 'tools' in value && value.tools instanceof Map && 'rules' in value;
}
