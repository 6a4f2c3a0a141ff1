import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { agent } from '../../src/agent/agent.ts';
import type { Holdfast } from '../../src/create-holdfast.ts';
import type { Entry, EntryOf } from '../../src/core/entry.ts';
import { recordedResponses, streamsMissing } from '../support/provider-streams.ts';
import { RecordedProviderServer, type ProviderRequest } from '../support/recorded-provider-server.ts';
import { canaryKey, recordings, shortAnswer } from '../support/recorded-models.ts';
import { temporaryHoldfast } from '../support/temporary-holdfast.ts';

/** What came of a recorded conversation: one turn from the recording, and what the next turn sent to the provider. */
interface Played {
  readonly entries: readonly Entry[];
  readonly steps: readonly EntryOf<'assistant-step'>[];
  readonly end: EntryOf<'turn-ended'>;
  /** Messages (or input items) of the second turn's first model call. */
  readonly prompt: readonly Record<string, unknown>[];
  readonly calls: readonly ProviderRequest[];
}

describe.skipIf(streamsMissing !== undefined)(`recorded provider streams${streamsMissing === undefined ? '' : ` (${streamsMissing})`}`, () => {
  let server: RecordedProviderServer;
  let holdfast: Holdfast;

  beforeAll(async () => {
    server = await RecordedProviderServer.start();
    const agents = recordings(server.url).map(({ name, model, tools }) => agent({ name, model, tools, instructions: 'Be brief.' }));
    holdfast = await temporaryHoldfast({ agents });
  });

  afterAll(async () => {
    await holdfast[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  /** Plays a recording as the first turn, and a second turn after it. */
  async function play(name: string): Promise<Played> {
    const recording = recordings(server.url).find((each) => each.name === name);
    if (recording === undefined) throw new Error(`no recording ${name}`);
    const responses = recordedResponses(name, recording.protocol);
    server.requests.length = 0;
    server.reply = () => ({ kind: 'stream', wire: responses[server.requests.length - 1] ?? shortAnswer(recording.protocol) });
    const session = await holdfast.sessions.create({ agent: name, message: { text: 'first' } });
    await session.firstTurn?.result;
    const entries = await session.entries();
    const calls = [...server.requests];
    await (await session.send('second')).result;
    const next = server.requests[calls.length]?.body;
    const steps = entries.filter((entry) => entry.kind === 'assistant-step');
    const end = entries.find((entry) => entry.kind === 'turn-ended');
    if (end === undefined) throw new Error('the turn did not end');
    return { entries, steps, end, calls, prompt: (next?.['input'] ?? next?.['messages'] ?? []) as Played['prompt'] };
  }

  it('debug', async () => {
    const p = await play('openai-responses.mcp-approval');
    expect(p.prompt).toEqual([]);
  });
});
void canaryKey;
