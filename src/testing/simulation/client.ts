import type { JsonValue } from '../../core/json.ts';
import type { Chance } from './chance.ts';
import type { Weather } from './plan.ts';
import { NoReply, type SimulatedProcess } from './simulated-process.ts';
import type { VirtualTime } from './virtual-time.ts';
import type { Answered, SentRequest } from './happenings.ts';

export interface ClientSurroundings {
  readonly time: VirtualTime;
  readonly weather: () => Weather;
  /** The processes that take requests now, dead and paused ones included: a client cannot know. */
  readonly processes: () => readonly SimulatedProcess[];
  readonly answered: (answered: Answered) => void;
}

const replyWithinMs = 8_000;
const triesMax = 8;

/** Sends requests as clients do who do not trust the network: again, with the same key and to another process, until there is a reply that says what became of it; some twice at once, some again much later. */
export class Client {
  readonly #surroundings: ClientSurroundings;
  /** Requests that are under way. */
  open = 0;

  constructor(surroundings: ClientSurroundings) {
    this.#surroundings = surroundings;
  }

  /** Resolves with the first reply; null: there was none in all tries, and nobody knows what became of it. */
  async send(request: SentRequest, chance: Chance): Promise<Answered | null> {
    const { time, weather } = this.#surroundings;
    this.open += 1;
    try {
      const isKeyed = request.key !== null;
      const twin = isKeyed && chance.happens(weather().requestsDoubled) ? this.#try(request, chance) : null;
      const answered = await this.#try(request, chance);
      await twin;
      if (isKeyed && answered !== null && chance.happens(weather().requestsLate)) {
        await time.sleep(chance.between(1, 20) * 1_000);
        await this.#try(request, chance);
      }
      return answered;
    } finally {
      this.open -= 1;
    }
  }

  async #try(request: SentRequest, chance: Chance): Promise<Answered | null> {
    const { time, weather, answered } = this.#surroundings;
    for (let tries = 1; tries <= (request.key === null ? 1 : triesMax); tries += 1) {
      const reply = await this.#once(request, chance);
      // Where the store did not answer in time nobody knows whether it had an effect, as with no reply at all.
      if (reply !== null && reply.status < 500 && !chance.happens(weather().repliesLost)) {
        answered(reply);
        return reply;
      }
      if (reply !== null && reply.status === 500) answered(reply);
      await time.sleep(chance.between(50, 1_500));
    }
    return null;
  }

  async #once(request: SentRequest, chance: Chance): Promise<Answered | null> {
    const process = chance.pick(this.#surroundings.processes());
    if (process === undefined) return null;
    try {
      const { status, headers, text } = await process.fetch(httpRequest(request), replyWithinMs);
      return { request, status, headers, body: bodyOf(headers, text) };
    } catch (error) {
      if (error instanceof NoReply) return null;
      throw error;
    }
  }
}

/** What is no one JSON value, as lines of them and streams are not, is a text. */
function bodyOf(headers: Headers, text: string): JsonValue {
  if (text === '') return null;
  return /^application\/(problem\+)?json/.test(headers.get('content-type') ?? '') ? (JSON.parse(text) as JsonValue) : text;
}

/** The request as a process is given it. Who sends it is in a header that only a simulation believes. */
export function httpRequest({ method, path, body, headers = {}, key, owner = 'ada', roles = [] }: Omit<SentRequest, 'id' | 'kind' | 'sentAtMs'>): Request {
  return new Request(`http://127.0.0.1${path}`, {
    method,
    headers: {
      authorization: [owner, ...roles].join(' '),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(key === null ? {} : { 'idempotency-key': key }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}
