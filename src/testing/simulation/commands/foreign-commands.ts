import type { SimulatedCommand } from '../command.ts';

/**
 * The same commands, sent by somebody whose session it is not: to them it does not exist (G13). Of those about a session only; what is about no session, or comes with a token, is anybody's, and what takes the role `system` is refused to all others, whatever it is about, as is what is malformed.
 */
export function foreignCommands(all: readonly SimulatedCommand[]): readonly SimulatedCommand[] {
  const commands = all.filter(({ kind }) => kind !== 'transfer' && kind !== 'malformed');
  return [{
    kind: 'foreign', weight: 4,
    prepare: (scope) => {
      const { chance, session } = scope;
      const call = chance.weighted(commands).prepare(scope);
      if (call === null || session === null || call.roles?.includes('system') === true || !call.path.startsWith(`/v1/sessions/${session.id}`)) return null;
      return { ...call, owner: 'eve', roles: [] };
    },
  }];
}
