import type { JsonObject, JsonValue } from '../../../core/json.ts';
import type { Chance } from '../chance.ts';
import { some } from './about-session.ts';

/** What a message says, in words or in parts, with all that can come with it. */
export function messageFields(chance: Chance, id: string): JsonObject {
  const said = chance.happens(0.85) ? { text: `message of ${id}` } : { parts: parts(chance, id) };
  return {
    ...said,
    ...some(chance, {
      model: [0.08, () => (chance.happens(0.8) ? 'fast' : 'forbidden')],
      clientTools: [0.08, () => clientTools(chance)],
      actor: [0.1, () => ({ type: 'person', id: chance.pick(['ada', 'guest']) ?? 'ada' })],
      metadata: [0.05, () => ({ from: id })],
      visibility: [0.06, () => chance.pick(['user', 'model'])],
    }),
  };
}

function parts(chance: Chance, id: string): JsonValue[] {
  const file = chance.happens(0.5)
    ? { type: 'file', mediaType: 'text/plain', data: Buffer.from(`file of ${id}`).toString('base64'), filename: `${id}.txt` }
    : { type: 'file', mediaType: 'image/png', url: `https://example.org/${id}.png` };
  return [{ type: 'text', text: `see the file of ${id}` }, file];
}

/** Of names that are free, one is the agent's own now and then. */
function clientTools(chance: Chance): JsonValue[] {
  return [{ name: chance.happens(0.8) ? 'pick_file' : 'look', description: 'runs at the client', inputSchema: { type: 'object' } }];
}
