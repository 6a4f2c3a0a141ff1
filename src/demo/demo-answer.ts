import type { JSONObject, JSONValue, LanguageModelV4Prompt } from '@ai-sdk/provider';
import { readPrompt, type DemoPrompt, type OperationNews } from './demo-prompt.ts';
import { demoSummary } from './demo-summary.ts';
import { newsInWords, outcomeInWords, valueInWords, type CallWords } from './outcome-in-words.ts';
import { failureKinds, isFailureKind, type FailureKind } from './provider-failure.ts';

/** What the demo model does for a prompt. */
export type DemoAnswer = SpokenAnswer | ToolCallsAnswer | FailingAnswer;

/** Text, piece by piece: the first at once, each further one `everyMs` later. */
export interface SpokenAnswer {
  readonly type: 'spoken';
  readonly pieces: Iterable<string>;
  readonly everyMs: number;
}

/** Calls, all in one step. */
export interface ToolCallsAnswer {
  readonly type: 'tool-calls';
  readonly calls: readonly DemoCall[];
}

export interface DemoCall {
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
/** As many as the tool takes. */
const documentsMax = 10_000;

interface Rule {
  readonly pattern: RegExp;
  /** null: it is not meant. */
  readonly answer: (match: RegExpExecArray, surroundings: Surroundings) => DemoAnswer | null;
}

interface Surroundings extends Pick<DemoPrompt, 'results'> {
  readonly toolNames: ReadonlySet<string>;
}

/** A call, and how its outcome is said. */
interface SpokenCall extends DemoCall {
  readonly words: CallWords;
}

const rules: readonly Rule[] = [
  {
    pattern: /^count\s+to\s+(\d{1,9})(?:\s+every\s+(\d{1,7}))?$/i,
    answer: ([, number, everyMs]) => count(Number(number), everyMs === undefined ? countEveryMsDefault : Number(everyMs)),
  },
  {
    pattern: /^weather\s+in\s+(\S.*?)\s+and\s+refund\s+(\d{1,9}(?:\.\d{1,2})?)$/i,
    answer: ([, city = '', amount], surroundings) => throughTools([weatherCall(city), refundCall(Number(amount))], surroundings),
  },
  { pattern: /^weather\s+in\s+(\S.*)$/i, answer: ([, city = ''], surroundings) => throughTools([weatherCall(city)], surroundings) },
  { pattern: /^refund\s+(\d{1,9}(?:\.\d{1,2})?)$/i, answer: ([, amount], surroundings) => throughTools([refundCall(Number(amount))], surroundings) },
  { pattern: /^locate\s+me$/i, answer: (_match, surroundings) => throughTools([locationCall], surroundings) },
  {
    pattern: /^index\s+(\d{1,9})(\s+in\s+the\s+background)?$/i,
    answer: ([, number, background], surroundings) => index(Number(number), background !== undefined, surroundings),
  },
  { pattern: /^ask\s+me\s+(\S.*)$/is, answer: ([, asked = ''], surroundings) => throughTools([questionCall(asked)], surroundings) },
  {
    pattern: /^sleep\s+(\d{1,9})(\s+once)?$/i,
    answer: ([, ms, once], surroundings) => throughTools([sleepCall(Number(ms), once !== undefined)], surroundings),
  },
  {
    pattern: /^remember\s+([^=]{1,255}?)\s*=\s*(\S.*)$/is,
    answer: ([, key = '', value = ''], surroundings) => throughTools([rememberCall(key, value)], surroundings),
  },
  { pattern: /^recall\s+(\S.{0,254})$/i, answer: ([, key = ''], surroundings) => throughTools([recallCall(key)], surroundings) },
  { pattern: /^go\s+to\s+([\w-]{1,50})$/i, answer: ([, node = ''], surroundings) => goTo(node.toLowerCase(), surroundings) },
  { pattern: /^(?:good)?bye\W?$/i, answer: (_match, surroundings) => goTo('goodbye', surroundings) },
  {
    pattern: /^fail\s+(\S+)(?:\s+(\d{1,4}))?$/i,
    answer: ([, kind = '', times]) => fail(kind.toLowerCase(), times === undefined ? null : Number(times)),
  },
];

/**
 * The answer to a prompt by the demo's rules: from the prompt and the names of the tools on offer alone. What background operations came to is
 * said first, once.
 */
export function demoAnswer(prompt: LanguageModelV4Prompt, toolNames: ReadonlySet<string>): DemoAnswer {
  const summary = demoSummary(prompt);
  if (summary !== null) return spoken(summary);
  const { request, answered, results, news } = readPrompt(prompt);
  const tellNews = spoken(news.map(inWords).join(' '));
  if (news.length > 0 && (answered || request === null)) return tellNews;
  const answer = answerTo(request, { toolNames, results });
  if (news.length === 0 || answer.type === 'tool-calls') return answer;
  return answer.type === 'failing' ? tellNews : { ...answer, pieces: inTurn(tellNews.pieces, answer.pieces) };
}

function answerTo(request: string | null, surroundings: Surroundings): DemoAnswer {
  if (request === null) return spoken('Hello. Say something, and I will say it back.');
  for (const { pattern, answer } of rules) {
    const match = pattern.exec(request);
    const answered = match === null ? null : answer(match, surroundings);
    if (answered !== null) return answered;
  }
  return spoken(request === '' ? 'You sent no text.' : `You said: ${request}`);
}

/** Text said word by word. */
export function spoken(text: string): SpokenAnswer {
  return { type: 'spoken', pieces: words(text), everyMs: wordEveryMs };
}

/** The words of a text, each with the white space before it, so that together they are the text. */
function words(text: string): readonly string[] {
  return text.match(/\s*\S+/g) ?? [];
}

function* inTurn(first: Iterable<string>, second: Iterable<string>): Generator<string> {
  yield* first;
  let gap = ' ';
  for (const piece of second) {
    yield `${gap}${piece}`;
    gap = '';
  }
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

/** Makes the calls in one step, and says what came of each once the results are in the prompt. */
function throughTools(calls: readonly SpokenCall[], { toolNames, results }: Surroundings): DemoAnswer {
  const outcomes = calls.flatMap(({ toolName, words: said }) => {
    const result = results.findLast((each) => each.toolName === toolName);
    return result === undefined ? [] : [outcomeInWords(result, said)];
  });
  if (outcomes.length > 0) return spoken(outcomes.join(' '));
  const missing = calls.find(({ toolName }) => !toolNames.has(toolName));
  const way = missing === undefined ? undefined : wayTo(desks[missing.toolName] ?? '', toolNames);
  if (way !== undefined) return { type: 'tool-calls', calls: [{ toolName: way, input: {} }] };
  if (missing !== undefined) return spoken(`I would call the tool "${missing.toolName}" for that, but I was not given it.`);
  return { type: 'tool-calls', calls: calls.map(({ toolName, input }) => ({ toolName, input })) };
}

/** Where the tools are that the agent `desk` does not have everywhere. */
const desks: Readonly<Record<string, string>> = { weather: 'weather', remember: 'memory', recall: 'memory' };

/** The tool that leads to a node; undefined: none does from here. */
function wayTo(node: string, toolNames: ReadonlySet<string>): string | undefined {
  const name = `go_to_${node}`;
  return toolNames.has(name) ? name : undefined;
}

/** Only where there are nodes at all; else the words mean nothing. */
function goTo(node: string, { toolNames, results }: Surroundings): DemoAnswer | null {
  const taken = results.findLast(({ toolName }) => toolName === `go_to_${node}`);
  if (taken !== undefined) return spoken(outcomeInWords(taken, { what: `The way to ${node}`, done: () => (node === 'goodbye' ? 'Goodbye.' : `This is ${node}.`) }));
  const way = wayTo(node, toolNames);
  if (way !== undefined) return { type: 'tool-calls', calls: [{ toolName: way, input: {} }] };
  return [...toolNames].some((name) => name.startsWith('go_to_')) ? spoken(`No way leads to ${node} from here.`) : null;
}

function weatherCall(city: string): SpokenCall {
  return { toolName: 'weather', input: { city }, words: { what: `The question about the weather in ${city}`, done: (output) => weatherInWords(city, output) } };
}

function refundCall(amount: number): SpokenCall {
  const done = (output: JSONValue, changedInput: JSONValue | undefined): string => {
    const refunded = numberIn(output, 'refunded') ?? amount;
    return changedInput === undefined ? `I refunded ${refunded}.` : `I refunded ${refunded} in place of ${amount}, as you changed it.`;
  };
  return { toolName: 'refund', input: { amount }, words: { what: `The refund of ${amount}`, done } };
}

const locationCall: SpokenCall = {
  toolName: 'location', input: {},
  words: { what: 'The question where you are', done: (output) => `You are at ${placeInWords(output)}.` },
};

function placeInWords(output: JSONValue): string {
  const latitude = numberIn(output, 'latitude');
  const longitude = numberIn(output, 'longitude');
  return latitude !== null && longitude !== null ? `${latitude}, ${longitude}` : (textIn(output, 'place') ?? valueInWords(output));
}

function index(documents: number, inBackground: boolean, surroundings: Surroundings): DemoAnswer {
  if (documents < 1 || documents > documentsMax) return spoken(`I can index any number of documents from 1 to ${documentsMax.toLocaleString('en')}.`);
  return throughTools([indexCall(documents, inBackground)], surroundings);
}

function indexCall(count: number, inBackground: boolean): SpokenCall {
  return {
    toolName: 'index_documents', input: inBackground ? { count, inBackground } : { count },
    words: { what: `The indexing of ${documentsInWords(count)}`, done: (output) => `I indexed ${documentsInWords(numberIn(output, 'indexed') ?? count)}.` },
  };
}

function documentsInWords(documents: number): string {
  return documents === 1 ? '1 document' : `${documents} documents`;
}

/** `Tea or coffee? tea / coffee` is a question with answers to choose from. */
function questionCall(asked: string): SpokenCall {
  const [, asking = asked, choices = ''] = /^(.*\?)\s*([^?]*\/[^?]*)$/s.exec(asked) ?? [];
  const options = choices.split('/').map((option) => option.trim()).filter((option) => option !== '');
  return {
    toolName: 'ask_user', input: options.length < 2 ? { question: asked } : { question: asking, options },
    words: { what: 'My question', done: (output) => `You answered: ${valueInWords(output)}` },
  };
}

function sleepCall(ms: number, once: boolean): SpokenCall {
  return { toolName: once ? 'sleep_once' : 'sleep', input: { ms }, words: { what: `The sleep of ${ms} ms`, done: () => `Slept for ${ms} ms.` } };
}

function rememberCall(key: string, value: string): SpokenCall {
  return { toolName: 'remember', input: { key, value }, words: { what: `The note of ${key}`, done: () => `I will remember that ${key} is ${value}.` } };
}

function recallCall(key: string): SpokenCall {
  const done = (output: JSONValue): string => {
    const value = textIn(output, 'value');
    return value === null ? `I remember nothing of ${key}.` : `${key} is ${value}.`;
  };
  return { toolName: 'recall', input: { key }, words: { what: `The look for ${key}`, done } };
}

/** A whole sentence where the tool says `{sky, celsius}`, else whatever it says. */
function weatherInWords(city: string, output: JSONValue): string {
  const sky = textIn(output, 'sky');
  const celsius = numberIn(output, 'celsius');
  return `The weather in ${city}: ${sky !== null && celsius !== null ? `${sky}, ${celsius} °C.` : valueInWords(output)}`;
}

function inWords(news: OperationNews): string {
  if (news.toolName !== 'index_documents') {
    return newsInWords(news, { what: `The operation of ${news.toolName}`, done: (output) => `The operation of ${news.toolName} is done: ${valueInWords(output)}` });
  }
  const done = (output: JSONValue): string => `The indexing in the background is done: ${documentsInWords(numberIn(output, 'indexed') ?? 0)}.`;
  return newsInWords(news, { what: 'The indexing in the background', done });
}

function memberOf(value: JSONValue, name: string): JSONValue | undefined {
  return value !== null && typeof value === 'object' ? (value as JSONObject)[name] : undefined;
}

function numberIn(value: JSONValue, name: string): number | null {
  const member = memberOf(value, name);
  return typeof member === 'number' ? member : null;
}

function textIn(value: JSONValue, name: string): string | null {
  const member = memberOf(value, name);
  return typeof member === 'string' ? member : null;
}
