import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { agent } from '../../src/agent/agent.ts';
import type { Entry, EntryOf } from '../../src/core/entry.ts';
import type { Holdfast } from '../../src/create-holdfast.ts';
import { realSystem } from '../../src/system.ts';
import { recordedResponses, streamsMissing } from '../support/provider-streams.ts';
import { RecordedProviderServer, type ProviderReply, type ProviderRequest } from '../support/recorded-provider-server.ts';
import { recordings, type Recording } from '../support/recorded-models.ts';
import { temporaryHoldfast } from '../support/temporary-holdfast.ts';
import { writtenAnswer } from '../support/written-answer.ts';

/** Where a stream is cut: so many events of a response arrive, or half an event more, then the body ends or the socket goes. */
interface Cut {
  readonly response: number;
  readonly events: number;
  readonly half?: true;
  readonly ending: 'end' | 'destroy';
}

/** What a turn came to, without what differs from try to try. */
interface Result {
  readonly answer: readonly unknown[];
  readonly failures: readonly EntryOf<'attempt-failed'>[];
}

/** Sessions that run at the same time. */
const atOnce = 48;

describe('a recorded stream that is cut', () => {
  let server: RecordedProviderServer;
  let holdfast: Holdfast;
  let runs = 0;
  const replies = new Map<string, (request: ProviderRequest) => ProviderReply>();

  beforeAll(async () => {
    server = await RecordedProviderServer.start();
    server.reply = (request) => replies.get(/run (\d+)\./.exec(request.text)?.[1] ?? '')?.(request) ?? { kind: 'error', httpStatus: 418, body: '{}' };
    const agents = recordings(server.url).map(({ name, model, tools }) => agent({ name, model, tools }));
    // Full jitter drawn as zero: a retry follows at once.
    holdfast = await temporaryHoldfast({ agents, system: { ...realSystem(), random: { next: () => 0 } } });
  });

  beforeEach(({ skip }) => skip(streamsMissing !== undefined, streamsMissing));

  afterAll(async () => {
    await holdfast[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  /** Plays one turn; the response named by the cut is cut the first time it is asked for. */
  async function play(recording: Recording, responses: readonly (readonly string[])[], cut: Cut | null): Promise<Result> {
    runs += 1;
    const run = String(runs);
    const seen: number[] = [];
    let served = cut === null;
    replies.set(run, (request) => {
      const results = resultsIn(request);
      if (!seen.includes(results)) seen.push(results);
      const place = seen.indexOf(results);
      const wire = responses[place] ?? [];
      if (served || cut === null || cut.response !== place) return { kind: 'stream', wire };
      served = true;
      return { kind: 'stream', wire: [...wire.slice(0, cut.events), ...(cut.half ? [halfOf(wire[cut.events] ?? '')] : [])], ending: cut.ending };
    });
    const session = await holdfast.sessions.create({ agent: recording.name, message: { text: `run ${run}.` } });
    await session.firstTurn?.result;
    const entries = await session.entries();
    replies.delete(run);
    return { answer: answerOf(entries), failures: entries.filter((entry) => entry.kind === 'attempt-failed') };
  }

  it.each([
    'anthropic.text', 'anthropic.thinking', 'anthropic.tool-use', 'anthropic.refusal', 'openai-chat-completions.text', 'openai-compatible.tool-call',
    'openai-responses.insufficient-quota', 'openai-responses.mcp-approval', 'openai-responses.parallel-tool-calls',
    'openai-responses.provider-executed-web-search', 'openai-responses.reasoning',
  ])('is tried again, or was whole already: %s', { timeout: 60_000 }, async (name) => {
    const recording = recordings(server.url).find((each) => each.name === name);
    if (recording === undefined) throw new Error(`no recording ${name}`);
    const recorded = recordedResponses(name, recording.protocol);
    const responses = [...recorded, writtenAnswer(recording.protocol)];
    const uncut = await play(recording, responses, null);
    const cuts = recorded.flatMap((events, response) => cutsOf(events, response));
    const faults: string[] = [];
    await inParallel(cuts, atOnce, async (cut) => {
      const played = await play(recording, responses, cut);
      const fault = faultOf(played, uncut, isSaid(recorded[cut.response] ?? [], cut), cut.ending);
      if (fault !== null) faults.push(`${JSON.stringify(cut)}: ${fault}`);
    });
    expect(faults).toEqual([]);
    expect(cuts.length).toBeGreaterThan(recorded.flat().length);
  });

  it('between its reason to finish and its usage is whole, and its usage is unknown', async () => {
    const wire = recordedResponses('openai-chat-completions.text', 'openai-chat')[0] ?? [];
    replies.set('0', () => ({ kind: 'stream', wire: wire.slice(0, -2) }));
    const session = await holdfast.sessions.create({ agent: 'openai-chat-completions.text', message: { text: 'run 0.' } });
    expect((await session.firstTurn?.result)?.reason).toBe('complete');
    expect((await session.entries()).filter((entry) => entry.kind === 'assistant-step')).toMatchObject([{ finishReason: 'stop', attempt: { number: 1, usage: null } }]);
  });
});

/** What is wrong with the outcome of a turn whose stream was cut; `said`: all that mattered had arrived. null: nothing is. */
function faultOf(played: Result, uncut: Result, said: boolean, ending: Cut['ending']): string | null {
  const answer = JSON.stringify(played.answer);
  if (answer !== JSON.stringify(uncut.answer)) return `the answer is another: ${answer.slice(0, 300)}`;
  const failures = played.failures.slice(0, played.failures.length - uncut.failures.length);
  // Of a socket that was destroyed, it is not certain whether what it brought was still read.
  const expected = said ? (ending === 'end' ? [0] : [0, 1]) : [1];
  if (!expected.includes(failures.length)) return `${failures.length} attempts failed of the cut, not ${expected.join(' or ')}`;
  const code = ending === 'end' ? 'truncated_stream' : 'connection_reset';
  const other = failures.find(({ error, retry }) => error.code !== code || error.httpStatus !== undefined || !error.retryable || retry === undefined);
  return other === undefined ? null : `it failed as ${other.error.code} (${other.error.message})`;
}

/** Whether all that a turn hangs on comes before the cut. */
function isSaid(events: readonly string[], { events: count }: Cut): boolean {
  return events.slice(0, count).some((event) => /"finish_reason":"|"type":"(message_stop|response\.completed|error)"/.test(event));
}

/** After each event a clean end. After each tenth, and each that is no addition to a text, also a destroyed socket, and both in the middle of the next. */
function cutsOf(events: readonly string[], response: number): readonly Cut[] {
  return events.flatMap((_event, count): Cut[] => {
    const end: Cut = { response, events: count, ending: 'end' };
    if (count % 10 !== 0 && isDelta(events[count - 1] ?? '')) return [end];
    return [end, { ...end, half: true }, { ...end, ending: 'destroy' }, { ...end, half: true, ending: 'destroy' }];
  });
}

/** The beginning of an event: never the whole of what it says. */
function halfOf(event: string): string {
  return event.slice(0, Math.floor(event.length / 2));
}

function isDelta(event: string): boolean {
  return /^event: \S*delta\n/.test(event) || /"delta":\{("role":"assistant",)?"(content|reasoning_content)":/.test(event);
}

/** How many tool results a model call brings: which response of the recording it asks for. */
function resultsIn({ text }: ProviderRequest): number {
  return text.match(/"type":"(?:function_call_output|tool_result)"|"role":"tool"/g)?.length ?? 0;
}

/** What the turn said and did and how it ended, without times and ids made up on the way. */
function answerOf(entries: readonly Entry[]): readonly unknown[] {
  return entries.flatMap((entry): unknown[] => {
    switch (entry.kind) {
      case 'assistant-step':
        return [{
          response: entry.attempt.providerResponseId, finishReason: entry.finishReason,
          parts: entry.parts.map((part) => {
            if (part.type === 'source') return { ...part, id: '' };
            if (part.type === 'tool-call' && part.dynamic === true) return { ...part, toolCallId: '' };
            if (part.type === 'other') return { ...part, value: { ...part.value, toolCallId: '' } };
            return part;
          }),
        }];
      case 'tool-results':
        return [entry.results.map(({ toolCallId, outcome, output }) => ({ toolCallId, outcome, output }))];
      case 'turn-ended':
        return [{ reason: entry.reason, code: entry.error?.code }];
      default:
        return [];
    }
  });
}

async function inParallel<Item>(items: readonly Item[], width: number, work: (item: Item) => Promise<void>): Promise<void> {
  const waiting = items.values();
  await Promise.all(Array.from({ length: width }, async () => {
    for (const item of waiting) await work(item);
  }));
}
