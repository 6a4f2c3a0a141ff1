import type { Agent } from '../../../agent/agent.ts';
import type { JsonObject, JsonValue } from '../../../core/json.ts';
import type { Chance } from '../chance.ts';
import type { CommandScope } from '../command.ts';
import { some } from './about-session.ts';

/** What a message says, in words or in parts, with all that can come with it. */
export function messageFields({ chance, id }: Pick<CommandScope, 'chance' | 'id'>, agent: Agent | undefined): JsonObject {
  const said = chance.happens(0.85) ? { text: `message of ${id}` } : { parts: parts(chance, id) };
  return {
    ...said,
    ...some(chance, {
      model: [0.08, () => modelName(agent, chance)],
      clientTools: [0.08, () => clientTools(agent, chance)],
      actor: [0.1, () => ({ type: 'person', id: chance.pick(['ada', 'guest']) ?? 'ada' })],
      metadata: [0.05, () => ({ from: id })],
      visibility: [0.06, () => chance.pick(['user', 'model'])],
    }),
  };
}

/** A model that the agent offers; one that it does not, now and then. */
export function modelName(agent: Agent | undefined, chance: Chance): string | undefined {
  return chance.happens(0.2) ? 'forbidden' : chance.pick(Object.keys(agent?.models ?? {}));
}

function parts(chance: Chance, id: string): JsonValue[] {
  const file = chance.happens(0.5)
    ? { type: 'file', mediaType: 'text/plain', data: Buffer.from(`file of ${id}`).toString('base64'), filename: `${id}.txt` }
    : { type: 'file', mediaType: 'image/png', url: `https://example.org/${id}.png` };
  return [{ type: 'text', text: `see the file of ${id}` }, file];
}

/** Of names that are free, one is the agent's own now and then. */
function clientTools(agent: Agent | undefined, chance: Chance): JsonValue[] {
  return [{ name: (chance.happens(0.2) ? agent?.tools.keys().next().value : undefined) ?? 'pick_file', ...(chance.happens(0.7) ? { description: 'runs at the client' } : {}), inputSchema: { type: 'object' } }];
}
