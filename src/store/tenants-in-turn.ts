/** The first of each tenant, then the second of each, and so on; otherwise in the given order. */
export function tenantsInTurn<Item extends { readonly tenant: string }>(items: readonly Item[]): readonly Item[] {
  const places = new Map<string, number>();
  return items
    .map((item) => {
      const round = places.get(item.tenant) ?? 0;
      places.set(item.tenant, round + 1);
      return { item, round };
    })
    .sort((left, right) => left.round - right.round)
    .map(({ item }) => item);
}

/** How to look into a backlog, one tenant at a time. */
export interface Backlog<Item> {
  /** Tenants that may have something due. */
  readonly tenants: () => readonly string[];
  /** The oldest of each of these tenants, at most `count` of each kind that there is. */
  readonly oldestOf: (tenants: readonly string[], count: number) => readonly Item[];
}

/** Of each tenant the oldest, as many as make its share of the places, however many of other tenants are older. Nothing where there is one tenant only. */
export function shareOfEachTenant<Item extends { readonly tenant: string }>({ tenants, oldestOf }: Backlog<Item>, places: number): readonly Item[] {
  const all = tenants();
  if (all.length < 2) return [];
  const oldest = oldestOf(all, 1);
  // Of many tenants most may have something due only later.
  const waiting = [...new Set(oldest.map(({ tenant }) => tenant))];
  return waiting.length < 2 || waiting.length >= places ? oldest : oldestOf(waiting, Math.ceil(places / waiting.length));
}
