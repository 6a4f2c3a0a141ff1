import { canonicalJson, type JsonValue } from '../../core/json.ts';
import { fieldOf } from './json-field.ts';
import { acknowledgedOf, verdictOf, type ClientCall } from './client-history.ts';
import type { HistoryFinding } from './history-finding.ts';
import { disorderIn, type Observation } from './real-time.ts';

/** What is in the register in the end; version 0: nothing. */
export interface RegisterValue {
  readonly version: number;
  readonly value: JsonValue;
}

interface Write extends RegisterValue {
  readonly number: number;
  readonly expected: number;
}

/**
 * Holds what clients saw of a register that is only written on the condition of its version against an order of one at a time: the acknowledged writes are one chain, each made on what the one before it left, but where one of which nobody knows
 * may have come between; every read shows what the write of its version wrote, and nothing older than was seen before; and in the end it holds what the last wrote.
 */
export function checkRegister(calls: readonly ClientCall[], final: RegisterValue): readonly HistoryFinding[] {
  const where = calls[0]?.request.target ?? '';
  const writing = calls.filter(({ request }) => request.command === 'compare-and-set');
  const open = writing.filter((call) => verdictOf(call) === 'open');
  const writes = acknowledgedOf(writing)
    .map(({ number, request, reply }): Write => ({ number, expected: request.ifMatch ?? 0, version: Number(fieldOf(reply.body, 'version')), value: fieldOf(request.body, 'value') }))
    .toSorted((left, right) => left.version - right.version);
  return [
    ...chainFindings(writes, open, final).map((finding): HistoryFinding => ({ ...finding, where })),
    ...valueFindings(calls, writes, open, final).map((problem): HistoryFinding => ({ count: 'lost', where, problem })),
    ...disorderIn(observationsOf(calls)).map(({ earlier, later }): HistoryFinding => ({ count: 'unordered', where, problem: `${later.what} was asked for after ${earlier.what}` })),
  ];
}

function chainFindings(writes: readonly Write[], open: readonly ClientCall[], final: RegisterValue): readonly Omit<HistoryFinding, 'where'>[] {
  const found: Omit<HistoryFinding, 'where'>[] = [];
  const mayFollow = (version: number): boolean => open.some(({ request }) => (request.ifMatch ?? 0) === version);
  const byExpected = new Map<number, Write>();
  for (const write of writes) {
    const { number, expected, version } = write;
    const other = byExpected.get(expected);
    if (other !== undefined) found.push({ count: 'duplicated', problem: `calls ${other.number} and ${number} both wrote on version ${expected}` });
    byExpected.set(expected, write);
    if (version <= expected) found.push({ count: 'unordered', problem: `call ${number} wrote on version ${expected} and made version ${version}` });
  }
  for (const [place, { number, version }] of writes.entries()) {
    const next = writes[place + 1]?.expected ?? final.version;
    if (next === version || mayFollow(version)) continue;
    found.push({ count: 'lost', problem: `call ${number} made version ${version}; what follows was made on version ${next}, and nobody has written in between`, });
  }
  return found;
}

/** Reads that show another value than was written in their version, and an end that nobody wrote. */
function valueFindings(calls: readonly ClientCall[], writes: readonly Write[], open: readonly ClientCall[], final: RegisterValue): readonly string[] {
  const written = new Map(writes.map(({ version, value }) => [version, canonicalJson(value)]));
  const mayBe = new Set(open.map(({ request }) => canonicalJson(fieldOf(request.body, 'value'))));
  const isRight = ({ version, value }: RegisterValue): boolean => {
    const known = written.get(version);
    return version === 0 || (known === undefined ? mayBe.has(canonicalJson(value)) : known === canonicalJson(value));
  };
  const reads = acknowledgedOf(calls).filter(({ request }) => request.command === 'read-value');
  const wrong = reads.filter(({ reply }) => !isRight({ version: Number(fieldOf(reply.body, 'version')), value: fieldOf(reply.body, 'value') }));
  return [
    ...wrong.map(({ number, reply }) => `call ${number} read ${canonicalJson(fieldOf(reply.body, 'value'))} in version ${canonicalJson(fieldOf(reply.body, 'version'))}, which nobody wrote there`),
    ...(isRight(final) ? [] : [`in the end it is ${canonicalJson(final.value)} in version ${final.version}, which nobody wrote there`]),
  ];
}

function observationsOf(calls: readonly ClientCall[]): readonly Observation[] {
  return calls.flatMap(({ number, request, invokedAt, repliedAt, reply }): Observation[] => {
    if (reply === null || repliedAt === null) return [];
    const isRead = request.command === 'read-value';
    // A write that was refused says which version there was.
    const said = reply.status === 404 && isRead ? 0 : fieldOf(reply.body, reply.status < 300 ? 'version' : 'actual');
    if (typeof said !== 'number') return [];
    const advances = !isRead && reply.status < 300;
    return [{ invokedAt, repliedAt, value: said, advances, what: `call ${number}, which ${advances ? 'made' : 'saw'} version ${said},` }];
  });
}
