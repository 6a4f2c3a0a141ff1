import type { SessionRef } from '../store/store.ts';

/**
 * The order in which a worker gives its places to tenants: in rounds, and in each round first to the tenant that has not been given one for the longest time. So a
 * worker whose places get free one by one does not give all of them to the tenant with the oldest backlog.
 */
export class TenantTurns {
  /** Tenants that were given places, the last one last. */
  readonly #given = new Set<string>();

  /** A session of this tenant was taken. */
  gave(tenant: string): void {
    this.#given.delete(tenant);
    this.#given.add(tenant);
  }

  /** Brings what was found into the order of turns; a tenant's own sessions stay in theirs. Forgets tenants of which nothing was found. */
  inTurn<Ref extends SessionRef>(found: readonly Ref[]): readonly Ref[] {
    const waiting = new Map<string, Ref[]>();
    for (const ref of found) {
      const ofTenant = waiting.get(ref.tenant);
      if (ofTenant === undefined) waiting.set(ref.tenant, [ref]);
      else ofTenant.push(ref);
    }
    for (const tenant of this.#given) if (!waiting.has(tenant)) this.#given.delete(tenant);
    const turns = [...[...waiting.keys()].filter((tenant) => !this.#given.has(tenant)), ...this.#given];
    const inTurn: Ref[] = [];
    for (let round = 0; inTurn.length < found.length; round += 1) {
      inTurn.push(...turns.flatMap((tenant) => waiting.get(tenant)?.slice(round, round + 1) ?? []));
    }
    return inTurn;
  }
}
