import type { JsonValue } from '../../core/json.ts';
import { passTime } from '../replay/pace.ts';
import type { SeededRandom } from '../replay/seeded-random.ts';
import type { ClientReply, ClientRequest, HistoryFile } from './client-history.ts';

export interface CallerOptions {
  readonly history: HistoryFile;
  readonly random: SeededRandom;
  /** Where requests are answered now. */
  readonly urls: () => readonly string[];
  /** Ends all calls; what is under way is cut. */
  readonly signal: AbortSignal;
}

/** Shorter than a pause: a request to a stopped process is sent elsewhere, and may be carried out when that one goes on. */
const replyMsMax = 1_500;
const resendMs = 20;
/** Shares of the calls that are sent twice at once, and again after their reply. */
const doubledShare = 0.08;
const repeatedShare = 0.08;

/**
 * Sends requests to whatever process answers, each until it has a reply, always with the same key, and writes to the history what was asked and what is known. Some are sent twice side by side, and some again
 * after they were answered.
 */
export class ClientCaller {
  readonly #options: CallerOptions;
  #calls = 0;

  constructor(options: CallerOptions) {
    this.#options = options;
  }

  /** How many calls there were. */
  get calls(): number {
    return this.#calls;
  }

  /** The reply; null when the signal was aborted before there was one. */
  async call(client: number, request: ClientRequest): Promise<ClientReply | null> {
    const { history, random } = this.#options;
    const call = this.#calls;
    this.#calls += 1;
    history.write({ kind: 'invoke', call, client, request });
    const isCommand = request.method !== 'GET';
    const sendings = isCommand && random.happens(doubledShare) ? 2 : 1;
    const replies = await Promise.all(Array.from({ length: sendings }, () => this.#sendUntilAnswered(call, request, false)));
    const reply = replies.find((each) => each !== null && each.status < 300) ?? replies[0] ?? null;
    if (isCommand && reply !== null && reply.status < 300 && random.happens(repeatedShare)) await this.#sendUntilAnswered(call, request, true);
    return reply;
  }

  async #sendUntilAnswered(call: number, request: ClientRequest, again: boolean): Promise<ClientReply | null> {
    const { history, random, urls, signal } = this.#options;
    while (!signal.aborted) {
      const served = urls();
      const sent = served.length === 0 ? 'nobody answers' : await this.#send(random.pick(served), request);
      if (typeof sent !== 'string') {
        history.write({ kind: 'reply', call, reply: sent, ...(again ? { again } : {}) });
        return sent;
      }
      if (served.length > 0) history.write({ kind: 'cut', call, reason: sent });
      await passTime(resendMs, signal);
    }
    return null;
  }

  /** The reply, or why there is none. */
  async #send(url: string, { method, path, body, key, ifMatch }: ClientRequest): Promise<ClientReply | string> {
    const headers = {
      ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...(key === undefined ? {} : { 'idempotency-key': key }), ...(ifMatch === undefined ? {} : { 'if-match': `"${ifMatch}"` }),
    };
    try {
      const signal = AbortSignal.any([this.#options.signal, AbortSignal.timeout(replyMsMax)]);
      const response = await fetch(`${url}${path}`, { method, headers, signal, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
      const text = await response.text();
      if (response.status >= 500) return `status ${response.status}`;
      const tag = /^"(\d+)"$/.exec(response.headers.get('etag') ?? '')?.[1];
      return { status: response.status, body: text === '' ? null : (JSON.parse(text) as JsonValue), tag: tag === undefined ? null : Number(tag) };
    } catch (error) {
      return error instanceof Error ? (error.cause instanceof Error ? error.cause.message : error.message) : String(error);
    }
  }
}
