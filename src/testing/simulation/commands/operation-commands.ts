import { isLive } from '../../../core/operation.ts';
import type { SimulatedCommand } from '../command.ts';
import { aboutSession } from './about-session.ts';

/** Operations: cancelled; and completed from outside, by the token and by another, again and again, and after the end. */
export const operationCommands: readonly SimulatedCommand[] = [
  aboutSession('operation-cancel', 3, ({ chance, session, operations }) => {
    const known = operations();
    const operation = chance.pick(chance.happens(0.75) ? known.filter(isLive) : known);
    if (operation === undefined && chance.happens(0.9)) return null;
    return { method: 'POST', path: `/v1/operations/${operation?.id ?? 'op_none'}/cancel`, owner: session.owner };
  }),
  {
    kind: 'operation-complete', weight: 10,
    prepare: ({ id, chance, completions }) => {
      const completion = chance.pick(completions.slice(-4));
      if (completion === undefined) return null;
      const { operationId } = completion;
      const token = chance.happens(0.9) ? completion.token : chance.pick([`${completion.token}x`, 'ZGVmYXVsdA.wrong', 'wrong', completions[0]?.token ?? 'wrong']) ?? 'wrong';
      const result = chance.happens(0.75) ? { output: `completed by ${id}` } : { errorText: `failed by ${id}` };
      const path = `/v1/operations/${chance.happens(0.97) ? operationId : 'op_none'}/complete`;
      return chance.happens(0.5)
        ? { method: 'POST', path, owner: 'outside', body: { ...result, token } }
        : { method: 'POST', path, owner: 'outside', body: result, headers: { authorization: `Bearer ${token}` } };
    },
  },
];
