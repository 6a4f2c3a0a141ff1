import { emptyFeedView, type FeedEvent, type FeedEventBody } from '../../core/feed-event.ts';
import type { SessionRef } from '../../store/store.ts';
import { chanceOf, type Chance } from './chance.ts';
import { httpRequest, type Client } from './client.ts';
import { EventFrames, type EventFrame } from './event-frames.ts';
import { hear, type FollowedView } from './followed-view.ts';
import type { Met } from './met.ts';
import type { PlannedFollower, Weather } from './plan.ts';
import { NoReply, type SimulatedProcess, type StreamedReply } from './simulated-process.ts';
import type { VirtualTime } from './virtual-time.ts';

const replyWithinMs = 8_000;
/** Views that somebody still has open in an old tab, of each follower. */
const oldTabsMax = 1;
/** Of the connections that are cut, so many are not taken up again where they were, but by an old tab. */
const oldTabShare = 0.3;

export interface FollowerSurroundings {
  readonly seed: number;
  readonly time: VirtualTime;
  readonly client: Client;
  readonly met: Met;
  readonly weather: () => Weather;
  /** The processes that can be asked now, dead and paused ones included: a client cannot know. */
  readonly processes: readonly SimulatedProcess[];
  /** Whose the session has been all the time; null: it is gone, or was given away, be it only for a while. */
  readonly ownerOf: (ref: SessionRef) => string | null;
  readonly heard: (follower: Follower, event: FeedEvent) => void;
  /** What messages say in this run; none: whatever. */
  readonly says: readonly string[];
  readonly trace: (line: () => string) => void;
  readonly violated: (guarantee: string, what: string) => void;
}

/** One who follows a session for good: over connections that are cut anywhere and taken up again at any process, where they were or, as by an old tab, where they were long before. It says what it hears, and that it hears all of it, in order. */
export class Follower {
  readonly name: string;
  readonly ref: SessionRef;
  readonly owner: string;
  heard: FollowedView;
  /** The session has been deleted, or is somebody else's now, and it has been told so. */
  isGone = false;
  /** Some views of before, drawn from all of them alike. */
  readonly oldTabs: FollowedView[] = [];
  readonly #surroundings: FollowerSurroundings;
  readonly #chance: Chance;
  /** It begins with a message of its own, whose stream it has not heard anything of yet. */
  #isToSend: boolean;
  /** What it hears is the stream of its message's turn, which has an end. */
  #turnStream: { last: FeedEvent | null } | null = null;
  #eventsHeard = 0;
  #retryMs = 1_000;

  constructor(surroundings: FollowerSurroundings, { id }: PlannedFollower, session: SessionRef & { readonly owner: string; readonly lastSeq: number }) {
    this.#surroundings = surroundings;
    this.#chance = chanceOf(surroundings.seed, id);
    this.name = id;
    this.ref = { tenant: session.tenant, id: session.id };
    this.owner = session.owner;
    this.#isToSend = this.#chance.happens(0.4);
    this.heard = { from: this.#isToSend || this.#chance.happens(0.6) ? null : String(this.#chance.between(0, session.lastSeq)), view: emptyFeedView };
    if (this.#isToSend) surroundings.client.open += 1;
  }

  async follow(): Promise<void> {
    const { time, processes } = this.#surroundings;
    while (!this.isGone) {
      const process = this.#chance.pick(processes);
      const isSending = this.#isToSend;
      try {
        const reply = await process?.stream(this.#request(), replyWithinMs);
        this.#turnStream = isSending ? { last: null } : null;
        if (reply?.status === 200) await this.#hearAll(reply);
        else if (reply !== undefined) await this.#refused(reply);
      } catch (error) {
        if (!(error instanceof NoReply)) this.#violated('no internal errors', String(error));
      }
      await time.sleep(this.#retryMs * (0.5 + this.#chance.next()));
    }
  }

  #request(): Request {
    const headers = { accept: 'text/event-stream' };
    const path = `/v1/sessions/${this.ref.id}`;
    const { from, view: { position } } = this.heard;
    if (this.#isToSend) {
      const { seed, says, trace } = this.#surroundings;
      const text = chanceOf(seed, this.name, 'says').pick(says) ?? `message of ${this.name}`;
      const body = { text, messageId: `m_${this.name}`, whenBusy: chanceOf(seed, this.name, 'whenBusy').pick(['queue', 'steer']) ?? 'queue' };
      trace(() => `${this.name} sends, to hear its stream: POST ${path}/messages ${JSON.stringify(body)}`);
      return httpRequest({ method: 'POST', path: `${path}/messages`, owner: this.owner, key: this.name, headers, body });
    }
    const after = position ?? from;
    return httpRequest({ method: 'GET', path: `${path}/events`, owner: this.owner, key: null, headers: { ...headers, ...(after === null ? {} : { 'last-event-id': after }) } });
  }

  async #hearAll(reply: StreamedReply): Promise<void> {
    const frames = new EventFrames();
    for (;;) {
      const bytes = await reply.read();
      if (bytes === null) return this.#heardEnd();
      const isCut = this.#chance.happens(this.#surroundings.weather().followersCut);
      for (const frame of frames.of(isCut ? bytes.subarray(0, this.#chance.below(bytes.length)) : bytes)) this.#take(frame);
      if (!isCut) continue;
      reply.leave();
      this.#surroundings.met.weather('followersCut');
      if (this.#chance.happens(oldTabShare)) this.heard = this.#chance.pick(this.oldTabs) ?? this.heard;
      return;
    }
  }

  #take({ id, data, retry }: EventFrame): void {
    if (retry !== undefined) this.#retryMs = Number(retry);
    if (data === undefined) return;
    const body = JSON.parse(data) as FeedEventBody | { readonly type: 'deleted' };
    if (body.type === 'deleted') return this.#sessionIsGone();
    const event: FeedEvent = { position: id ?? '', ...body };
    this.#surroundings.heard(this, event);
    if (this.#isToSend) this.#sent(event);
    if (this.#turnStream !== null) this.#turnStream.last = event;
    const next = hear(this.heard, event);
    if ('violates' in next) return this.#violated(next.violates, next.what);
    this.heard = next;
    this.#remember();
  }

  /** Following begins with its message, or with the end of the turn before. */
  #sent(event: FeedEvent): void {
    if (event.type === 'entry') this.heard = { ...this.heard, from: String(event.entry.seq - 1) };
    else this.#violated('G5', `the stream of a message begins with ${event.type} at ${event.position}`);
    this.#doneSending();
  }

  #doneSending(): void {
    if (!this.#isToSend) return;
    this.#isToSend = false;
    this.#surroundings.client.open -= 1;
  }

  #remember(): void {
    this.#eventsHeard += 1;
    const place = this.oldTabs.length < oldTabsMax ? this.oldTabs.length : this.#chance.below(this.#eventsHeard);
    if (place < oldTabsMax) this.oldTabs[place] = this.heard;
  }

  #heardEnd(): void {
    const last = this.#turnStream?.last;
    const ends = last?.type === 'status' ? last.status === 'requires_action' : last?.type === 'entry' && (last.entry.kind === 'turn-ended' || last.entry.kind === 'message-unqueued');
    if (!this.isGone && !ends) this.#violated('G5', `a stream ends in order after ${this.heard.view.position}, though its session goes on`);
  }

  async #refused(reply: StreamedReply): Promise<void> {
    const problem = new TextDecoder().decode((await reply.read()) ?? undefined);
    const { code } = JSON.parse(problem) as { readonly code: string };
    if (reply.status === 404) return this.#sessionIsGone();
    if (reply.status === 503 || code === 'too_many_streams') return;
    if (reply.status < 500 && this.#isToSend) return this.#doneSending();
    this.#violated(reply.status === 500 ? 'no internal errors' : 'G5', `following after ${this.heard.view.position} is refused: ${problem}`);
  }

  #sessionIsGone(): void {
    this.isGone = true;
    this.#doneSending();
    if (this.#surroundings.ownerOf(this.ref) === this.owner) this.#violated('G5', 'is told that the session is gone, though it is there');
  }

  #violated(guarantee: string, what: string): void {
    this.#surroundings.violated(guarantee, `${this.name}, who follows ${this.ref.id}: ${what}`);
  }
}
