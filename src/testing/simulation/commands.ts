import type { SimulatedCommand } from './command.ts';

/** Everything that clients can do to a session, each with every choice that it has. */
export const allCommands: readonly SimulatedCommand[] = [
  {
    kind: 'create', weight: 1,
    prepare: ({ id, chance }) => ({ method: 'POST', path: '/v1/sessions', owner: chance.pick(['ada', 'bob']) ?? 'ada', body: { agent: 'simulated', ...(chance.happens(0.5) ? { message: { text: `message of ${id}` } } : {}) } }),
  },
  {
    kind: 'send', weight: 10,
    prepare: ({ id, chance, session }) => (session === null ? null : {
      method: 'POST', path: `/v1/sessions/${session.id}/messages`, owner: session.owner,
      body: { text: `message of ${id}`, messageId: `m_${id}`, whenBusy: chance.pick(['queue', 'queue', 'steer', 'interrupt', 'replace', 'reject']) ?? 'queue' },
    }),
  },
];
