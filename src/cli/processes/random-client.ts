import type { ActionAnswer, ActionType } from '../../core/action.ts';
import type { JsonObject, JsonValue } from '../../core/json.ts';
import type { SeededRandom } from '../replay/seeded-random.ts';
import type { ClientCaller } from './client-caller.ts';
import type { ClientCommand, ClientReply, ClientRequest } from './client-history.ts';
import { fieldOf, listOf } from './json-field.ts';
import { plannedTools, planText, type PlannedTool } from './planned-agent.ts';

/** What all clients of a run share. */
export interface ClientWorld {
  readonly agent: string;
  /** Whose history only grows: its counter, its register and its messages are what clients must agree on. */
  readonly growing: string;
  /** Whose history moves. New ones are added. */
  readonly sessions: string[];
}

export interface RandomClientOptions {
  readonly client: number;
  readonly caller: ClientCaller;
  readonly random: SeededRandom;
  readonly world: ClientWorld;
}

/** Sessions beyond these are not made: all have to come to rest in the end. */
const sessionsMax = 60;
const planStepsMax = 2;
const planCallsMax = 3;

/** The parts of a request that differ from one of the same command to another. */
type RequestParts = Omit<ClientRequest, 'command' | 'method' | 'key'> & { readonly method?: ClientRequest['method'] };

/** A client that does one thing after another, whatever comes to its mind. Each of its commands has a key or a message id of its own. */
export class RandomClient {
  readonly #client: number;
  readonly #caller: ClientCaller;
  readonly #random: SeededRandom;
  readonly #world: ClientWorld;
  readonly #things: readonly (readonly [weight: number, act: () => Promise<unknown>])[];
  #named = 0;

  constructor({ client, caller, random, world }: RandomClientOptions) {
    this.#client = client;
    this.#caller = caller;
    this.#random = random;
    this.#world = world;
    this.#things = [
      [10, () => this.#send(world.growing, random.pick(['queue', 'queue', 'steer']))],
      [2, () => this.#misuseKey()], [3, () => this.#sendOnRevision()],
      [18, () => this.#send(this.#session(), random.pick(['queue', 'queue', 'steer', 'interrupt', 'replace', 'reject']))],
      [5, () => this.#create()], [2, () => this.#createAndDelete()],
      [10, () => this.#increment()], [10, () => this.#compareAndSet()], [3, () => this.#setState()],
      [8, () => this.#decide(this.#anySession())], [6, () => this.#changeQueue()], [2, () => this.#cancelOperation()],
      [4, () => this.#stop(this.#anySession())], [5, () => this.#move()], [2, () => this.#fork()],
      [8, () => this.#read(this.#anySession())], [6, () => this.#read(world.growing)],
    ];
  }

  /** Does one thing, to its end: with all that it has to read for it. */
  async act(): Promise<void> {
    let at = this.#random.next() * this.#things.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, act] of this.#things) {
      at -= weight;
      if (at < 0) return void (await act());
    }
  }

  /** Opens a session for everybody, and returns its id; null where it was refused, or the run ended before. */
  async open(): Promise<JsonValue> {
    const reply = await this.#do('create', { path: '/v1/sessions', body: { agent: this.#world.agent } });
    return fieldOf(fieldOf(reply?.body, 'session'), 'id');
  }

  /** What comes to rest only by somebody's doing: answers what a session waits for, and lets its queue go. */
  async settle(sessionId: string): Promise<void> {
    await this.#do('release', { path: `/v1/sessions/${sessionId}/queue/release`, sessionId });
    await this.#decide(sessionId);
  }

  async #send(sessionId: string, whenBusy: string): Promise<void> {
    const messageId = this.#name();
    await this.#do('send', { path: `/v1/sessions/${sessionId}/messages`, body: { messageId, whenBusy, text: this.#plan(messageId) }, sessionId, target: messageId });
  }

  /** Sends only if the session is as it was seen: of two that saw the same, one must lose. */
  async #sendOnRevision(): Promise<void> {
    const sessionId = this.#anySession();
    const read = await this.#get('read-session', `/v1/sessions/${sessionId}`, sessionId);
    const messageId = this.#name();
    if (read?.tag !== null && read !== null) await this.#do('send', { path: `/v1/sessions/${sessionId}/messages`, body: { messageId, text: this.#plan(messageId) }, sessionId, target: messageId, ifMatch: read.tag });
  }

  /** Says something, and then something else under the same key. */
  async #misuseKey(): Promise<void> {
    const sessionId = this.#session();
    const value = this.#name();
    const place = { method: 'PUT', path: `/v1/sessions/${sessionId}/state/conversation/note`, sessionId, key: this.#name() } as const;
    const set = await this.#caller.call(this.#client, { ...place, command: 'set-state', body: { value }, target: value });
    if (set !== null && set.status < 300) await this.#caller.call(this.#client, { ...place, command: 'misuse-key', body: { value: this.#name() } });
  }

  async #create(): Promise<void> {
    if (this.#world.sessions.length >= sessionsMax) return;
    const messageId = this.#name();
    const reply = await this.#do('create', { path: '/v1/sessions', body: { agent: this.#world.agent, message: { messageId, text: this.#plan(messageId) } }, target: messageId });
    this.#add(fieldOf(fieldOf(reply?.body, 'session'), 'id'));
  }

  async #createAndDelete(): Promise<void> {
    const messageId = this.#name();
    const reply = await this.#do('create', { path: '/v1/sessions', body: { agent: this.#world.agent, message: { messageId, text: this.#plan(messageId) } }, target: messageId });
    const sessionId = fieldOf(fieldOf(reply?.body, 'session'), 'id');
    if (typeof sessionId !== 'string') return;
    await this.#do('delete', { method: 'DELETE', path: `/v1/sessions/${sessionId}`, sessionId });
    await this.#get('read-session', `/v1/sessions/${sessionId}`, sessionId);
  }

  #add(sessionId: JsonValue): void {
    if (typeof sessionId === 'string') this.#world.sessions.push(sessionId);
  }

  async #increment(): Promise<void> {
    const value = this.#value('hits');
    await this.#do('increment', { ...value, path: value.path.replace(/(?=\?|$)/, '/increment') });
    if (this.#random.happens(0.3)) await this.#get('read-value', value.path, value.sessionId, value.target);
  }

  async #compareAndSet(): Promise<void> {
    const value = this.#value('register');
    const read = await this.#get('read-value', value.path, value.sessionId, value.target);
    if (read === null) return;
    const version = read.status === 404 ? 0 : fieldOf(read.body, 'version');
    if (typeof version === 'number') await this.#do('compare-and-set', { ...value, method: 'PUT', body: { value: this.#name() }, ifMatch: version });
  }

  /** A value that all clients change: kept in the history of the growing session, or beside all sessions. */
  #value(key: string): { readonly path: string; readonly target: string; readonly sessionId?: string } {
    const { agent, growing } = this.#world;
    if (this.#random.happens(0.5)) return { path: `/v1/state/agent/${key}?agent=${agent}`, target: `agent/${key}` };
    return { path: `/v1/sessions/${growing}/state/conversation/${key}`, target: `conversation/${key}`, sessionId: growing };
  }

  async #setState(): Promise<void> {
    const sessionId = this.#session();
    const value = this.#name();
    await this.#do('set-state', { method: 'PUT', path: `/v1/sessions/${sessionId}/state/conversation/note`, body: { value }, sessionId, target: value });
  }

  /** Answers everything that a session waits for; now and then in two ways at once, of which one must lose. */
  async #decide(sessionId: string): Promise<void> {
    const listed = await this.#get('read-list', `/v1/sessions/${sessionId}/actions`, sessionId);
    for (const action of listOf(listed?.body)) {
      const [actionId, type] = [fieldOf(action, 'id') as string, fieldOf(action, 'type') as ActionType];
      const decide = (answer: ActionAnswer): Promise<unknown> =>
        this.#do('decide', { path: `/v1/sessions/${sessionId}/actions/${actionId}`, body: answer as unknown as JsonObject, sessionId, target: actionId });
      const answer = this.#answer(type);
      const also = this.#random.happens(0.2) ? [answer] : this.#random.happens(0.2) ? [this.#answer(type)] : [];
      await Promise.all([answer, ...also].map(decide));
    }
  }

  #answer(type: ActionType): ActionAnswer {
    if (this.#random.happens(0.3)) return { type: 'deny', reason: 'not now' };
    if (type === 'client-tool') return { type: 'result', output: { at: this.#client } };
    return type === 'question' ? { type: 'answer', value: this.#client } : { type: 'approve' };
  }

  async #changeQueue(): Promise<void> {
    const sessionId = this.#anySession();
    const queue = await this.#get('read-list', `/v1/sessions/${sessionId}/queue`, sessionId);
    const messageIds = listOf(queue?.body).map((item) => fieldOf(item, 'messageId') as string);
    const path = `/v1/sessions/${sessionId}/queue`;
    if (messageIds.length === 0 || this.#random.happens(0.2)) {
      await this.#do('hold', { path: `${path}/hold`, sessionId });
      await this.#do('release', { path: `${path}/release`, sessionId });
      return;
    }
    const target = this.#random.pick(messageIds);
    await this.#random.pick([
      () => this.#do('edit-queued', { method: 'PATCH', path: `${path}/${target}`, body: { text: this.#plan(this.#name()) }, sessionId, target }),
      () => this.#do('delete-queued', { method: 'DELETE', path: `${path}/${target}`, sessionId, target }),
      () => this.#do('promote', { path: `${path}/${target}/promote`, sessionId, target }),
    ])();
  }

  async #cancelOperation(): Promise<void> {
    const sessionId = this.#anySession();
    const listed = await this.#get('read-list', `/v1/sessions/${sessionId}/operations?status=running`, sessionId);
    const target = fieldOf(listOf(listed?.body)[0], 'id');
    if (typeof target === 'string') await this.#do('cancel-operation', { path: `/v1/operations/${target}/cancel`, sessionId, target });
  }

  async #stop(sessionId: string): Promise<void> {
    await this.#do('stop', { path: `/v1/sessions/${sessionId}/stop`, sessionId });
  }

  /** Moves through a session's history. */
  async #move(): Promise<void> {
    const sessionId = this.#session();
    const path = `/v1/sessions/${sessionId}`;
    const transcript = await this.#get('read-messages', `${path}/messages?limit=20`, sessionId);
    const turnIds = listOf(transcript?.body).flatMap((message) => (fieldOf(message, 'role') === 'user' ? [fieldOf(fieldOf(message, 'metadata'), 'turnId')] : []));
    const turnId = turnIds.length === 0 ? null : this.#random.pick(turnIds);
    const messageId = this.#name();
    await this.#random.pick<() => Promise<unknown>>([
      () => this.#do('rewind', { path: `${path}/rewind`, body: { turnId, stop: true }, sessionId }),
      () => this.#do('redo', { path: `${path}/redo`, sessionId }),
      async () => turnId !== null && this.#do('edit', { path: `${path}/edit`, body: { turnId, messageId, text: this.#plan(messageId), stop: true }, sessionId, target: messageId }),
      () => this.#do('retry', { path: `${path}/retry`, body: { stop: true }, sessionId }),
      () => this.#restore(sessionId),
    ])();
  }

  async #restore(sessionId: string): Promise<void> {
    const branches = await this.#get('read-list', `/v1/sessions/${sessionId}/branches`, sessionId);
    const branchId = fieldOf(listOf(branches?.body)[0], 'id');
    if (typeof branchId === 'string') await this.#do('restore', { path: `/v1/sessions/${sessionId}/branches/${branchId}/restore`, body: { stop: true }, sessionId, target: branchId });
  }

  async #fork(): Promise<void> {
    if (this.#world.sessions.length >= sessionsMax) return;
    const sessionId = this.#session();
    const reply = await this.#do('fork', { path: `/v1/sessions/${sessionId}/fork`, sessionId });
    this.#add(fieldOf(reply?.body, 'sessionId'));
  }

  async #read(sessionId: string): Promise<void> {
    await this.#random.pick([
      () => this.#get('read-session', `/v1/sessions/${sessionId}`, sessionId),
      () => this.#get('read-entries', `/v1/sessions/${sessionId}/entries?limit=100&after=${this.#random.integer(0, 60)}`, sessionId),
      () => this.#get('read-messages', `/v1/sessions/${sessionId}/messages?limit=100`, sessionId),
    ])();
  }

  #get(command: ClientCommand, path: string, sessionId?: string, target?: string): Promise<ClientReply | null> {
    return this.#caller.call(this.#client, { command, method: 'GET', path, ...(sessionId === undefined ? {} : { sessionId }), ...(target === undefined ? {} : { target }) });
  }

  /** A command, under a key of its own where it takes one. */
  #do(command: ClientCommand, { method = 'POST', ...parts }: RequestParts): Promise<ClientReply | null> {
    // A message id is a key too, where there is no other. To cancel takes none: it says how the operation ended, however often.
    const isKeyless = command === 'cancel-operation' || (command === 'send' && this.#random.happens(0.5));
    return this.#caller.call(this.#client, { command, method, ...parts, ...(isKeyless ? {} : { key: this.#name() }) });
  }

  #plan(name: string): string {
    const names = (): readonly PlannedTool[] => Array.from({ length: this.#random.integer(1, planCallsMax) }, () => this.#random.pick(plannedTools));
    return planText(name, Array.from({ length: this.#random.integer(0, planStepsMax) }, names));
  }

  /** A name that nothing else has, in other runs on the same store neither. */
  #name(): string {
    this.#named += 1;
    return `${this.#world.agent}.${this.#client}.${this.#named}`;
  }

  #session(): string {
    return this.#random.pick(this.#world.sessions);
  }

  #anySession(): string {
    return this.#random.happens(0.2) ? this.#world.growing : this.#session();
  }
}
