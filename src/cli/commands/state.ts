import { InvalidArgumentError, Option, type Command } from 'commander';
import type { StateView } from '../../commands/state.ts';
import { HoldfastError } from '../../core/errors.ts';
import type { JsonValue } from '../../core/json.ts';
import { limits } from '../../core/limits.ts';
import { stateScopes, type StateScope } from '../../core/state.ts';
import type { StateHandle } from '../../library/state-handle.ts';
import { jsonValue, storeCommand, wholeNumber, type CommonOptions } from '../command-options.ts';
import { openForTurn } from '../open-for-turn.ts';
import { printTable } from '../table.ts';
import { forStdout, note, oneLine, printable, printJson, printLine } from '../terminal.ts';

interface StateOptions extends CommonOptions {
  readonly agents?: string;
  readonly set?: JsonValue;
  readonly ttlMs?: number;
  readonly ifVersion?: number;
  readonly increment?: number;
  readonly delete?: true;
  readonly clear?: true;
  readonly prefix?: string;
  readonly cursor?: string;
  readonly limit?: number;
}

/** `holdfast state`: what an agent keeps for a session and those it is about; read or written, as the arguments say. */
export function stateCommand(): Command {
  return storeCommand('state', 'read and write what an agent keeps: all scopes, one scope, or one value')
    .argument('<session>', 'id or external id of the session')
    .argument('[scope]', `one of ${stateScopes.join(', ')}`)
    .argument('[key]', 'one value')
    .option('--set <json>', 'write the value, as JSON: \'5\', \'"text"\', \'{"a": 1}\'', jsonValue)
    .option('--ttl-ms <ms>', 'with --set: the value is gone after so many milliseconds', wholeNumber(1, limits.stateTtlMsMax))
    .option('--if-version <version>', 'with --set and --delete: only if this is the value\'s version; 0: only if there is none', wholeNumber(0, Number.MAX_SAFE_INTEGER))
    .option('--increment <by>', 'add to the number; what is not there counts as 0', finiteNumber)
    .addOption(new Option('--delete', 'delete the value').conflicts(['set', 'increment', 'clear']))
    .addOption(new Option('--clear', 'delete all values of the scope').conflicts(['set', 'increment']))
    .option('--prefix <text>', 'of one scope: only keys that begin with this')
    .option('--cursor <cursor>', 'of one scope: go on after the page that ended with this')
    .option('--limit <number>', 'of one scope: at most so many', wholeNumber(1, limits.statePageMax))
    .option('--agents <file>', 'module that exports an agent or a list of agents (default: the demo agent): it says which scopes are on')
    .action(run);
}

async function run(id: string, scope: string | undefined, key: string | undefined, options: StateOptions): Promise<void> {
  const { store, json, agents } = options;
  requireArguments(scope, key, options);
  await using holdfast = await openForTurn(store, { wait: false, ...(agents === undefined ? {} : { agents }) });
  const { state } = await holdfast.sessions.get(id);
  if (scope === undefined) return await showSnapshot(state, json === true);
  // What is no scope is refused by the engine, with the names of those there are.
  if (key === undefined) return await (options.clear === true ? clear(state, scope as StateScope, json === true) : showScope(state, scope as StateScope, options));
  if (options.delete === true) return await deleteValue(state, scope as StateScope, key, options);
  const view = (await write(state, scope as StateScope, key, options)) ?? (await state.get(scope as StateScope, key));
  if (view === null) throw new HoldfastError('state_not_found', `there is no value ${JSON.stringify(key)} in the scope ${scope}`);
  if (json === true) return await printJson(view);
  await printLine(forStdout(JSON.stringify(view.value)));
  note(`version ${view.version}, written by ${view.provenance.by}${view.expiresAtMs === null ? '' : `, until ${new Date(view.expiresAtMs).toISOString()}`}`);
}

/** Throws `HoldfastError` code `options_invalid` for what does not go together, before anything is opened. */
function requireArguments(scope: string | undefined, key: string | undefined, { set, increment, delete: deletes, clear: clears, prefix, cursor, limit, ttlMs, ifVersion }: StateOptions): void {
  const wrong = (what: string): HoldfastError => new HoldfastError('options_invalid', what);
  const writesValue = set !== undefined || increment !== undefined || deletes === true;
  if (writesValue && key === undefined) throw wrong('--set, --increment and --delete are of one value: name its scope and its key');
  if (set !== undefined && increment !== undefined) throw wrong('--set and --increment are two writes: use one of them');
  if (clears === true && (scope === undefined || key !== undefined)) throw wrong('--clear is of one scope: name it, and no key');
  if (ttlMs !== undefined && set === undefined) throw wrong('--ttl-ms goes with --set');
  if (ifVersion !== undefined && set === undefined && deletes !== true) throw wrong('--if-version goes with --set and --delete');
  if ((prefix ?? cursor ?? limit) !== undefined && (scope === undefined || key !== undefined)) throw wrong('--prefix, --cursor and --limit are of one scope: name it, and no key');
}

/** Null: nothing was to be written. */
async function write(state: StateHandle, scope: StateScope, key: string, { set, increment, ttlMs, ifVersion }: StateOptions): Promise<StateView | null> {
  if (increment !== undefined) return state.increment(scope, key, increment);
  return set === undefined ? null : state.set(scope, key, set, { ...(ttlMs === undefined ? {} : { ttlMs }), ...(ifVersion === undefined ? {} : { ifVersion }) });
}

async function deleteValue(state: StateHandle, scope: StateScope, key: string, { ifVersion, json }: StateOptions): Promise<void> {
  const deleted = await state.delete(scope, key, ifVersion === undefined ? {} : { ifVersion });
  if (json === true) return await printJson({ deleted });
  note(deleted ? 'deleted' : 'there was none');
}

async function clear(state: StateHandle, scope: StateScope, json: boolean): Promise<void> {
  const deleted = await state.clear(scope);
  if (json) return await printJson({ deleted });
  note(`${deleted} deleted`);
}

async function showSnapshot(state: StateHandle, json: boolean): Promise<void> {
  const snapshot = await state.snapshot();
  if (json) return await printJson(snapshot);
  await printTable(['SCOPE', 'KEY', 'VALUE'], stateScopes.flatMap((scope) => Object.entries(snapshot[scope]).map(([key, value]) => [scope, oneLine(key, 60), shownValue(value)])));
  if (!snapshot.complete) note('more: name a scope');
}

async function showScope(state: StateHandle, scope: StateScope, { json, prefix, cursor, limit }: StateOptions): Promise<void> {
  const page = await state.list(scope, { ...(prefix === undefined ? {} : { prefix }), ...(cursor === undefined ? {} : { cursor }), ...(limit === undefined ? {} : { limit }) });
  if (json === true) return await printJson(page);
  await printTable(['KEY', 'VERSION', 'VALUE'], page.items.map(({ key, version, value }) => [oneLine(key, 60), String(version), shownValue(value)]));
  if (page.nextCursor !== null) note(`more: --cursor ${printable(page.nextCursor)}`);
}

function shownValue(value: JsonValue): string {
  return oneLine(JSON.stringify(value), 80);
}

function finiteNumber(text: string): number {
  const number = Number(text);
  if (text.trim() === '' || !Number.isFinite(number)) throw new InvalidArgumentError('It must be a number.');
  return number;
}
