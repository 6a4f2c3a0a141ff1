import type { JSONObject, JSONValue, LanguageModelV4Prompt, LanguageModelV4ToolResultPart } from '@ai-sdk/provider';
import { failureKinds, isFailureKind, type FailureKind } from './provider-failure.ts';

/** What the demo model does for a prompt. */
export type DemoAnswer = SpokenAnswer | ToolCallAnswer | FailingAnswer;

/** Text, piece by piece: the first at once, each further one `everyMs` later. */
export interface SpokenAnswer {
  readonly type: 'spoken';
  readonly pieces: Iterable<string>;
  readonly everyMs: number;
}

export interface ToolCallAnswer {
  readonly type: 'tool-call';
  readonly toolName: string;
  readonly input: JSONObject;
}

/** Fails with that kind, `times` in a row and then no more; null is for ever. */
export interface FailingAnswer {
  readonly type: 'failing';
  readonly kind: FailureKind;
  readonly times: number | null;
}

const wordEveryMs = 2;
const countEveryMsDefault = 20;
const countMax = 10_000;

interface Rule {
  readonly pattern: RegExp;
  readonly answer: (match: RegExpExecArray, surroundings: Surroundings) => DemoAnswer;
}

interface Surroundings {
  readonly toolNames: ReadonlySet<string>;
  /** The last tool result since the last user message: the rule has had its call. */
  readonly result: LanguageModelV4ToolResultPart | null;
}

const rules: readonly Rule[] = [
  {
    pattern: /^count\s+to\s+(\d{1,9})(?:\s+every\s+(\d{1,7}))?$/i,
    answer: ([, number, everyMs]) => count(Number(number), everyMs === undefined ? countEveryMsDefault : Number(everyMs)),
  },
  {
    pattern: /^weather\s+in\s+(\S.*)$/i,
    answer: ([, city = ''], surroundings) => throughTool('weather', { city }, surroundings, (output) => weatherInWords(city, output)),
  },
  {
    pattern: /^sleep\s+(\d{1,9})(\s+once)?$/i,
    answer: ([, ms, once], surroundings) =>
      throughTool(once === undefined ? 'sleep' : 'sleep_once', { ms: Number(ms) }, surroundings, () => `Slept for ${Number(ms)} ms.`),
  },
  {
    pattern: /^fail\s+(\S+)(?:\s+(\d{1,4}))?$/i,
    answer: ([, kind = '', times]) => fail(kind.toLowerCase(), times === undefined ? null : Number(times)),
  },
];

/** The answer to a prompt by the demo's rules: from the prompt and the names of the tools on offer alone. */
export function demoAnswer(prompt: LanguageModelV4Prompt, toolNames: ReadonlySet<string>): DemoAnswer {
  const text = lastUserText(prompt);
  if (text === null) return spoken('Hello. Say something, and I will say it back.');
  const result = resultSinceLastUserMessage(prompt);
  for (const { pattern, answer } of rules) {
    const match = pattern.exec(text);
    if (match !== null) return answer(match, { toolNames, result });
  }
  return spoken(text === '' ? 'You sent no text.' : `You said: ${text}`);
}

/** Text said word by word. */
export function spoken(text: string): SpokenAnswer {
  return { type: 'spoken', pieces: words(text), everyMs: wordEveryMs };
}

/** The words of a text, each with the white space before it, so that together they are the text. */
function words(text: string): readonly string[] {
  return text.match(/\s*\S+/g) ?? [];
}

function count(number: number, everyMs: number): DemoAnswer {
  if (number < 1 || number > countMax) return spoken(`I can count to any number from 1 to ${countMax.toLocaleString('en')}.`);
  return { type: 'spoken', pieces: numbersTo(number), everyMs };
}

function* numbersTo(last: number): Generator<string> {
  for (let number = 1; number <= last; number += 1) yield number === 1 ? '1' : ` ${number}`;
}

function fail(kind: string, times: number | null): DemoAnswer {
  if (isFailureKind(kind)) return { type: 'failing', kind, times };
  return spoken(`I do not know the failure "${kind}". I can fail with: ${failureKinds.join(', ')}.`);
}

/** Calls the tool, and says what came of it once its result is in the prompt. */
function throughTool(toolName: string, input: JSONObject, { toolNames, result }: Surroundings, inWords: (output: JSONValue) => string): DemoAnswer {
  if (result?.toolName === toolName) return spoken(outcomeInWords(result, inWords));
  if (!toolNames.has(toolName)) return spoken(`I would call the tool "${toolName}" for that, but I was not given it.`);
  return { type: 'tool-call', toolName, input };
}

/** A call that failed, was stopped or may have run comes back as an error; its text says which. */
function outcomeInWords({ toolName, output }: LanguageModelV4ToolResultPart, inWords: (output: JSONValue) => string): string {
  switch (output.type) {
    case 'text':
    case 'json':
      return inWords(output.value);
    case 'content':
      return inWords(output.value.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n'));
    case 'error-text':
    case 'error-json':
      return `The call of ${toolName} brought no result: ${valueInWords(output.value)}`;
    case 'execution-denied':
      return `The call of ${toolName} was denied${output.reason === undefined ? '.' : `: ${output.reason}`}`;
  }
}

/** A whole sentence where the tool says `{sky, celsius}`, else whatever it says. */
function weatherInWords(city: string, output: JSONValue): string {
  if (output !== null && typeof output === 'object' && 'sky' in output && 'celsius' in output) {
    const { sky, celsius } = output;
    if (typeof sky === 'string' && typeof celsius === 'number') return `The weather in ${city}: ${sky}, ${celsius} °C.`;
  }
  return `The weather in ${city}: ${valueInWords(output)}`;
}

function valueInWords(value: JSONValue): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** The text of the last user message, trimmed; null where there is none, as in a turn that the agent opens. */
function lastUserText(prompt: LanguageModelV4Prompt): string | null {
  const message = prompt.findLast(({ role }) => role === 'user');
  if (message?.role !== 'user') return null;
  return message.content.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n').trim();
}

function resultSinceLastUserMessage(prompt: LanguageModelV4Prompt): LanguageModelV4ToolResultPart | null {
  for (let place = prompt.length - 1; place >= 0; place -= 1) {
    const message = prompt[place];
    if (message === undefined || message.role === 'user') return null;
    if (message.role !== 'tool') continue;
    const result = message.content.findLast((part) => part.type === 'tool-result');
    if (result !== undefined) return result;
  }
  return null;
}
