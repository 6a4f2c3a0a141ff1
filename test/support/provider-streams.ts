import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

const corpus = process.env['HOLDFAST_CORPUS'] ?? path.join(import.meta.dirname, '..', '..', '..', 'shared', 'data');
const folder = path.join(corpus, 'provider-streams');

/** Why tests of recorded streams are skipped; undefined where the recordings are. */
export const streamsMissing = existsSync(folder) ? undefined : 'no recorded provider streams: set HOLDFAST_CORPUS to the folder that holds provider-streams/';

export type WireProtocol = 'anthropic' | 'openai-responses' | 'openai-chat';

/** The responses of a recording, each as the texts of its server-sent events. A recording of several model calls holds several responses. */
export function recordedResponses(name: string, protocol: WireProtocol): readonly (readonly string[])[] {
  const lines = readFileSync(path.join(folder, `${name}.jsonl`), 'utf8').split('\n').filter((line) => line !== '').map(whole);
  const responses: string[][] = [];
  for (const line of lines) {
    const { type } = JSON.parse(line) as { readonly type?: string };
    if (responses.length === 0 || type === 'response.created') responses.push([]);
    responses.at(-1)?.push(wireEvent(protocol, line));
  }
  if (protocol === 'openai-chat') for (const response of responses) response.push('data: [DONE]\n\n');
  return responses;
}

/** One event as the provider writes it on the wire. */
export function wireEvent(protocol: WireProtocol, json: string): string {
  if (protocol === 'openai-chat') return `data: ${json}\n\n`;
  const { type } = JSON.parse(json) as { readonly type: string };
  return `event: ${type}\ndata: ${json}\n\n`;
}

/** Two lines of the recording of parallel tool calls lost their last brace when it was made. */
function whole(line: string): string {
  try {
    JSON.parse(line);
    return line;
  } catch {
    JSON.parse(`${line}}`);
    return `${line}}`;
  }
}
