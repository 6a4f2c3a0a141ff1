/** The measuring process of `waiting-sessions.ts`: `measure-waiting.ts DATABASE SESSIONS`, on `node --expose-gc`. */
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import type { ToolOptions } from '../src/agent/tool.ts';
import { createHoldfast, type Holdfast } from '../src/create-holdfast.ts';
import type { SessionStatus } from '../src/core/session.ts';
import { agent, tool } from '../src/index.ts';
import { scriptedModel } from '../src/testing/scripted-model.ts';

export interface WaitingMemory {
  readonly waitsFor: string;
  readonly sessions: number;
  /** What as many sessions before them left on the heap: the caches, and what is loaded when it is first needed. */
  readonly firstHeapBytes: number;
  readonly heapBytes: number;
  /** Buffers and other memory that the heap's objects hold outside of it. */
  readonly externalBytes: number;
  /** Sessions that hold a place of the worker. */
  readonly runs: number;
}

const inputSchema = z.object({});
const tools = {
  approval: tool({ inputSchema, needsApproval: true, execute: () => 'done' }),
  delegate: tool({ inputSchema, background: 'await', execute: async (_input, { externalCompletion }: ToolOptions) => (await externalCompletion()).operationId }),
  // Only agents of another process run these.
  elsewhere: tool({ inputSchema, background: 'await', execute: () => 'done' }),
};
type Kind = keyof typeof tools;

/** Ends in a call of the tool that the message names. The model keeps no list of its calls. */
function waitingAgent() {
  const model = scriptedModel([], {
    otherwise: ({ prompt }) => {
      const last = prompt.at(-1);
      const text = last?.role === 'user' && last.content[0]?.type === 'text' ? last.content[0].text : '';
      (model.calls as unknown[]).length = 0;
      return [{ call: text }];
    },
  });
  return agent({ name: 'waiting', model, tools });
}

async function make(holdfast: Holdfast, kind: Kind, status: SessionStatus, sessions: number, atATime = 50): Promise<void> {
  const before = (await holdfast.sessions.list({ status, count: true, limit: 1 })).count ?? 0;
  for (let made = 0; made < sessions; made += atATime) {
    await Promise.all(Array.from({ length: Math.min(atATime, sessions - made) }, () => holdfast.sessions.create({ agent: 'waiting', message: { text: kind } })));
  }
  while (((await holdfast.sessions.list({ status, count: true, limit: 1 })).count ?? 0) < before + sessions) await pause(20);
}

/** What is left after the garbage collector, once nothing runs. */
async function memory(holdfast: Holdfast): Promise<{ readonly heap: number; readonly external: number }> {
  while ((holdfast.worker?.runs ?? 0) + (holdfast.worker?.operationRuns ?? 0) > 0) await pause(20);
  for (let times = 0; times < 5; times += 1) {
    globalThis.gc?.();
    await pause(50);
  }
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return { heap: heapUsed, external: external + arrayBuffers };
}

async function measure(holdfast: Holdfast, kind: Kind, status: SessionStatus, waitsFor: string, sessions: number): Promise<WaitingMemory> {
  const start = await memory(holdfast);
  await make(holdfast, kind, status, sessions);
  const filled = await memory(holdfast);
  await make(holdfast, kind, status, sessions);
  const after = await memory(holdfast);
  return {
    waitsFor, sessions, firstHeapBytes: filled.heap - start.heap, heapBytes: after.heap - filled.heap, externalBytes: after.external - filled.external, runs: holdfast.worker?.runs ?? 0,
  };
}

const [file = '', sessions = ''] = process.argv.slice(2);
const measured: WaitingMemory[] = [];
{
  await using holdfast = await createHoldfast({ agents: [waitingAgent()], store: `sqlite:${file}` });
  measured.push(await measure(holdfast, 'approval', 'requires_action', 'an approval', Number(sessions)));
  measured.push(await measure(holdfast, 'delegate', 'waiting', 'an operation that somebody outside completes', Number(sessions)));
}
{
  await using holdfast = await createHoldfast({ agents: [waitingAgent()], store: `sqlite:${file}-elsewhere`, worker: { operationsMax: 0 } });
  measured.push(await measure(holdfast, 'elsewhere', 'waiting', 'an operation of another process', Number(sessions)));
}
process.send?.(measured);
process.disconnect?.();
