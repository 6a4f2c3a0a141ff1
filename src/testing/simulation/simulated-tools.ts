import { jsonSchema } from '@ai-sdk/provider-utils';
import { question, tool, type AgentTool, type ProbeFinding, type ToolOptions } from '../../agent/tool.ts';
import type { JsonValue } from '../../core/json.ts';
import type { AgentSurroundings } from './observed-agents.ts';

/** What each tool of a simulation is asked to do. */
export interface Work {
  /** Decides what is of its own to the tool. */
  readonly n: number;
  /** How long it takes. */
  readonly ms?: number;
  readonly fails?: boolean;
  /** Of so many thousand characters its result is. */
  readonly pages?: number;
}

export const workSchema = jsonSchema<Work>({ type: 'object', required: ['n'] }, {
  validate: (value) => (isWork(value) ? { success: true, value } : { success: false, error: new TypeError('n is a number') }),
});

const placeSchema = jsonSchema<{ readonly place: string }>({ type: 'object', required: ['place'], properties: { place: { type: 'string' } } }, {
  validate: (value) => (typeof value === 'object' && value !== null && 'place' in value ? { success: true, value: value as { place: string } } : { success: false, error: new TypeError('there is no place') }),
});

function isWork(value: unknown): value is Work {
  return typeof value === 'object' && value !== null && 'n' in value && typeof value.n === 'number';
}

export type ToolSurroundings = Pick<AgentSurroundings, 'system' | 'lives' | 'outside' | 'completable'>;

/** Does its work outside, half way through its time: `deaf` goes on when it is told to end. Doing it again with the same key is the same. */
export async function act({ system, lives, outside }: ToolSurroundings, { n, ms = 0, fails = false, pages = 0 }: Work, { callKey, abortSignal }: ToolOptions, isDeaf = false): Promise<JsonValue> {
  const wait = async (delayMs: number): Promise<void> => {
    if (delayMs > 0) await new Promise<void>((resolve) => void system.clock.after(delayMs, resolve));
    if (!isDeaf) abortSignal.throwIfAborted();
  };
  await wait(ms / 2);
  if (fails) throw new Error(`it failed, as ${callKey} was asked to`);
  const output = pages > 0 ? 'page '.repeat(200 * pages) : { n, by: callKey };
  if (lives()) outside.set(callKey, output);
  await wait(ms / 2);
  return output;
}

/** Whether it was done: the truth, as somebody outside knows it. */
function findOut({ outside }: ToolSurroundings, { callKey }: ToolOptions): ProbeFinding {
  const output = outside.get(callKey);
  return output === undefined ? { ran: false } : { ran: true, output };
}

/** Tools of each recovery, with and without somebody's approval, and those that somebody else runs or answers. */
export function plainTools(around: ToolSurroundings): Readonly<Record<string, AgentTool>> {
  const execute = (work: Work, options: ToolOptions): Promise<JsonValue> => act(around, work, options);
  const doing = { inputSchema: workSchema, execute };
  return {
    look: tool({ ...doing, recovery: 'rerun', toModelOutput: ({ input: { n } }) => toldOf(n) }),
    keep: tool({ ...doing, recovery: 'rerun-keyed' }),
    pay: tool({ ...doing, recovery: 'report' }),
    risk: tool({ ...doing, recovery: 'ask' }),
    // What it finds out is not always the whole truth: nobody may know.
    order: tool({ ...doing, recovery: ({ n }, options) => findOutOr(n, () => findOut(around, options)) }),
    sign: tool({ ...doing, needsApproval: true }),
    transfer: tool({ ...doing, needsApproval: ({ n }) => n % 2 === 1, actionExpiresAfterMs: 3_000 }),
    dismiss: tool({ ...doing, needsApproval: true, actionRoles: ['boss'], recovery: 'rerun-keyed' }),
    locate: { inputSchema: workSchema, outputSchema: placeSchema, actionExpiresAfterMs: 5_000 },
    ask_person: question({ inputSchema: workSchema }),
    alone: tool({ ...doing, exclusive: true, recovery: 'rerun' }),
    conclude: tool({ ...doing, stopAfter: true }),
    print: tool({ inputSchema: workSchema, recovery: 'rerun', maxResultBytes: 500, execute: (work, options) => act(around, { ...work, pages: 1 + (work.n % 3) }, options) }),
    deaf: tool({ inputSchema: workSchema, timeoutMs: 1_500, execute: (work, options) => act(around, { ...work, ms: 400 * work.n }, options, true) }),
    endless: tool({ inputSchema: workSchema, timeoutMs: 1_000, execute: async () => new Promise<never>(() => undefined) }),
    odd: tool({ inputSchema: workSchema, recovery: 'rerun', execute: ({ n, pages = 0 }): unknown => (pages > 0 ? odder() : [undefined, new Date(1_000 * n), () => n, 10n, Number.NaN, new Uint8Array([n])])[n] }),
  };
}

/** What the model is told in place of a result: something else, nothing else, and what cannot be made. */
function toldOf(n: number): { readonly type: 'text'; readonly value: string } {
  if (n === 5) throw new Error('it cannot be put into words');
  return { type: 'text', value: `it is ${n}` };
}

/** The truth, in most cases; else nobody knows, or it cannot be asked for. */
function findOutOr(n: number, truth: () => ProbeFinding): ProbeFinding {
  if (n === 4) throw new Error('nobody answers');
  return n === 5 ? { ran: 'unknown' } : truth();
}

/** Results that are no JSON, or become some. */
function odder(): readonly unknown[] {
  const circle: unknown[] = [];
  circle.push({ circle });
  return [circle, new Map([[1, 2]]), new ArrayBuffer(2), [new Date(Number.NaN)], { toJSON: () => 'told' }, { inside: { set: new Set([1]) } }];
}
