import { z } from 'zod';
import { isRefusal, refuse } from '../core/errors.ts';
import { canonicalJson, type JsonObject, type JsonValue } from '../core/json.ts';
import { limits } from '../core/limits.ts';
import { isExpired, refuseKey, refuseStateValue, type StateItem, type StateWrite } from '../core/state.ts';
import type { LoadedScope, ScopeChange } from '../core/state-world.ts';
import type { Store } from '../store/store.ts';
import { badLine, type ImportHost, type LineOutcome } from './line-outcome.ts';

/** What the lines of state beside sessions say of themselves. */
export const stateFormat = { format: 'holdfast.state', version: 1 } as const;

/** Values of one scope of an actor, a subject or an agent. A scope with much in it takes several lines, each of which stands by itself. */
export interface StateLine {
  readonly format: 'holdfast.state';
  readonly version: number;
  /** What the scope is bound to. */
  readonly scope: JsonObject;
  /** Versions up to it have been used, by the values of this line and those before it. */
  readonly lastVersion: number;
  readonly items: readonly StateItem[];
}

const scopesAtOnce = 100;
const keysAtOnce = 16;
const lineChars = 4_000_000;

/** All state beside the sessions of a tenant as lines of JSON. Its memory is that of one line. Rejects with `StoreError`. */
export async function* stateLines(store: Store, tenant: string): AsyncGenerator<string, void, void> {
  for (let after: string | null | undefined; after !== null;) {
    const page = await store.state.listScopes({ tenant, limit: scopesAtOnce, after });
    for (const { scopeText, lastVersion } of page.items) yield* linesOfScope(store, tenant, scopeText, lastVersion);
    after = page.nextCursor;
  }
}

/** In the order of their versions, so that each line can be imported after the one before it without using a version twice. */
async function* linesOfScope(store: Store, tenant: string, scopeText: string, lastVersion: number): AsyncGenerator<string, void, void> {
  const ref = { tenant, scopeText };
  const keys = await store.state.readKeys(ref);
  const versions: { readonly key: string; readonly version: number }[] = [];
  for (let at = 0; at < keys.length; at += keysAtOnce) {
    for (const { key, version } of await store.state.readItems(ref, keys.slice(at, at + keysAtOnce))) versions.push({ key, version });
  }
  const inOrder = versions.toSorted((left, right) => left.version - right.version).map(({ key }) => key);
  let items: StateItem[] = [];
  let chars = 0;
  for (let at = 0; at < inOrder.length; at += keysAtOnce) {
    const read = (await store.state.readItems(ref, inOrder.slice(at, at + keysAtOnce))).toSorted((left, right) => left.version - right.version);
    items.push(...read);
    chars += JSON.stringify(read).length;
    const isLast = at + keysAtOnce >= inOrder.length;
    if (chars < lineChars && !isLast) continue;
    yield JSON.stringify({ ...stateFormat, scope: JSON.parse(scopeText) as JsonObject, lastVersion: isLast ? lastVersion : (items.at(-1)?.version ?? lastVersion), items } satisfies StateLine);
    items = [];
    chars = 0;
  }
}

/** Versions grow on from what is imported; no scope comes near it. */
const versionMax = 2 ** 48;

const name = z.string().max(limits.clientIdCharsMax);
const identity = z.strictObject({ type: name, id: name });
const bound = { agent: name.min(1), binding: name.optional(), bot: name.optional(), workspace: name.optional() };

const stateLine = z.strictObject({
  format: z.literal('holdfast.state'), version: z.literal(1, 'is not known here; this software reads version 1'),
  scope: z.discriminatedUnion('scope', [
    z.strictObject({ scope: z.literal('actor'), owner: name, actor: identity, ...bound }),
    z.strictObject({ scope: z.literal('subject'), subject: identity, ...bound }),
    z.strictObject({ scope: z.literal('agent'), ...bound }),
  ]),
  lastVersion: z.int().min(0).max(versionMax),
  items: z.array(z.strictObject({
    key: z.string(), value: z.json(), version: z.int().min(1).max(versionMax), expiresAtMs: z.int().nullable(),
    provenance: z.strictObject({ by: z.enum(['tool', 'api']), turnId: name.optional(), callKey: name.optional(), actor: identity.optional(), atMs: z.number() }),
  })).max(limits.stateKeysMax),
});

/**
 * Imports the values of a line in one commit. A key that has a value here keeps it, so that nothing is overwritten and importing again is harmless. Values come with their versions, but for those that the scope has used
 * already: these get new ones, for a version is never used twice. Values whose time is over are left out. Rejects only with a `StoreError`.
 */
export async function importStateLine(line: number, value: JsonValue, { store, tenant, system }: ImportHost): Promise<LineOutcome> {
  const parsed = stateLine.safeParse(value);
  if (!parsed.success) return badLine(line, `${parsed.error.issues[0]?.path.join('.') ?? ''}: ${parsed.error.issues[0]?.message ?? 'not valid'}`);
  // Checked, and taken as it is.
  const { scope, lastVersion, items } = value as unknown as StateLine;
  for (const [place, item] of items.entries()) {
    const refused = refuseKey(item.key) ?? refuseStateValue(item.value);
    if (refused !== null) return badLine(line, `items.${place}: ${refused.message}`);
  }
  if (new Set(items.map(({ key }) => key)).size < items.length) return badLine(line, 'items: a key is there twice');
  const scopeText = canonicalJson(scope);
  const lasting = items.filter(({ expiresAtMs }) => !isExpired(expiresAtMs, system.clock.nowMs()));
  if (lasting.length === 0) return { line, status: 'exists', scope, values: { imported: 0, existing: 0, kept: 0 }, warnings: [] };
  const writes = lasting.map(({ key, value: to }): StateWrite => ({ op: 'set', scopeText, key, value: to }));
  const result = await store.state.changeIfCurrent<{ imported: number; existing: number; kept: number }>({
    tenant, writes, transition: ({ scopes }) => {
      const there = scopes.get(scopeText) ?? { lastVersion: 0, keys: 0, items: new Map<string, StateItem>() };
      const merged = merge(there, scopeText, lasting, lastVersion);
      return there.keys + merged.row.puts.length > limits.stateKeysMax
        ? refuse('state_quota', `with these the scope would have ${there.keys + merged.row.puts.length} keys; it may have ${limits.stateKeysMax}`)
        : { rows: merged.row.puts.length === 0 ? [] : [merged.row], reply: merged.values };
    },
  });
  if (result.kind === 'refused') return badLine(line, isRefusal(result.refusal) ? result.refusal.message : 'the store refused it');
  const values = result.reply as { imported: number; existing: number; kept: number };
  return { line, status: values.imported > 0 ? 'imported' : 'exists', scope, values, warnings: values.kept === 0 ? [] : [`${values.kept} keys of the scope ${scopeText.slice(0, 200)} have another value here, which stays`] };
}

function merge(there: LoadedScope, scopeText: string, items: readonly StateItem[], lastVersion: number): { readonly row: ScopeChange; readonly values: { imported: number; existing: number; kept: number } } {
  const values = { imported: 0, existing: 0, kept: 0 };
  let used = there.lastVersion;
  const puts = items.toSorted((left, right) => left.version - right.version).flatMap((item): StateItem[] => {
    const before = there.items.get(item.key);
    if (before !== undefined) {
      values[canonicalJson(before.value) === canonicalJson(item.value) ? 'existing' : 'kept'] += 1;
      return [];
    }
    values.imported += 1;
    used = Math.max(used + 1, item.version);
    return [{ ...item, version: used }];
  });
  return { row: { scopeText, lastVersion: Math.max(used, lastVersion), clears: false, puts, removes: [] }, values };
}
